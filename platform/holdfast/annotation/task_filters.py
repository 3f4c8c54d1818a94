"""Filters on tasks, as Label Studio's data manager takes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

Filter = dict[str, object]


def number_filter(field: str, operator: str, value: int) -> Filter:
    """Return a filter on a number of a task, as `number_filter("id", "greater", 7)`."""
    return {
        "filter": f"filter:tasks:{field}",
        "operator": operator,
        "type": "Number",
        "value": value,
    }


def text_filter(field: str, operator: str, value: str) -> Filter:
    """Return a filter on a text of a task, as `text_filter("data.uid", "regex", "^a")`."""
    return {
        "filter": f"filter:tasks:{field}",
        "operator": operator,
        "type": "String",
        "value": value,
    }


def time_filter(field: str, operator: str, moment: datetime) -> Filter:
    """Return a filter on a time of a task, to the microsecond."""
    value = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "filter": f"filter:tasks:{field}",
        "operator": operator,
        "type": "Datetime",
        "value": value,
    }


def ids_filter(ids: Sequence[int]) -> Filter:
    """Return a filter that lets tasks with these ids pass."""
    return {"filter": "filter:tasks:id", "operator": "in_list", "type": "List", "value": list(ids)}
