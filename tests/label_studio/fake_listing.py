"""Filters, orders and pages of a task list as Label Studio 1.23.2 applies them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.label_studio.fake_interface import RefusalError, unmodeled
from tests.label_studio.fake_rows import Task

TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
DEFAULT_PAGE_SIZE = 100
TRUE = ("true", "1", "t")

FIELDS: dict[str, Callable[[Task], Any]] = {
    "id": lambda task: task.id,
    "inner_id": lambda task: task.inner_id,
    "overlap": lambda task: task.overlap,
    "is_labeled": lambda task: task.is_labeled,
    "total_annotations": lambda task: task.total_annotations,
    "cancelled_annotations": lambda task: task.cancelled_annotations,
    "total_predictions": lambda task: task.total_predictions,
    "created_at": lambda task: task.created_at,
    "updated_at": lambda task: task.updated_at,
    "completed_at": lambda task: task.completed_at,
}

ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "less": lambda left, right: left < right,
    "greater": lambda left, right: left > right,
    "less_or_equal": lambda left, right: left <= right,
    "greater_or_equal": lambda left, right: left >= right,
}


def read_query(params: Mapping[str, str], body: object) -> dict[str, Any]:
    """Return what the list is asked for.

    Only `query` as a JSON string counts (or, without it, the same keys in the request's
    body); a `query` object in the body is ignored, text that is no JSON object fails.
    """
    if "query" not in params:
        return body if isinstance(body, dict) else {}
    try:
        query = json.loads(params["query"])
    except ValueError:
        raise RefusalError(500, "Expected object or value") from None
    if not isinstance(query, dict):
        raise RefusalError(500, f"'{type(query).__name__}' object has no attribute 'get'")
    return query


def select(tasks: Sequence[Task], query: Mapping[str, Any]) -> list[Task]:
    """Return the tasks that a query selects, in its order (by id without one)."""
    passes = _test(query.get("filters"))
    chosen = [task for task in tasks if passes(task)]
    items = query.get("selectedItems") or {}
    if items.get("all") is False and items.get("included"):
        chosen = [task for task in chosen if task.id in set(items["included"])]
    elif items.get("all") is True and items.get("excluded"):
        chosen = [task for task in chosen if task.id not in set(items["excluded"])]
    chosen.sort(key=lambda task: task.id)
    if query.get("ordering"):
        # Only the first order counts.
        _sort(chosen, str(query["ordering"][0]))
    return chosen


def page_of(chosen: Sequence[Task], params: Mapping[str, str]) -> Sequence[Task]:
    """Return one page; one past the end is a 404, as is a page that is no number."""
    size = _positive(params.get("page_size")) or DEFAULT_PAGE_SIZE
    num_pages = max(1, -(-len(chosen) // size))
    asked = params.get("page", "1")
    page = num_pages if asked == "last" else _positive(asked)
    if page is None or page > num_pages:
        raise RefusalError(404, "Invalid page.")
    return chosen[(page - 1) * size : page * size]


def _positive(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() and int(text) > 0 else None


def _name(raw: str) -> tuple[str, bool]:
    ascending = not raw.startswith("-")
    name = raw.removeprefix("-").removeprefix("filter:").removeprefix("tasks:")
    if ascending and name.startswith("-"):
        ascending, name = False, name[1:]
    return name, ascending


def _getter(name: str) -> Callable[[Task], Any]:
    if name.startswith("data."):
        key = name.removeprefix("data.")
        return lambda task: task.data.get(key)
    if name not in FIELDS:
        raise RefusalError(500, f"Cannot resolve keyword '{name}' into field.")
    return FIELDS[name]


def _sort(chosen: list[Task], raw: str) -> None:
    name, ascending = _name(raw)
    get = _getter(name)
    known = sorted((t for t in chosen if get(t) is not None), key=get, reverse=not ascending)
    chosen[:] = known + [task for task in chosen if get(task) is None]


def _test(filters: Mapping[str, Any] | None) -> Callable[[Task], bool]:
    """Return what a task has to pass; filters that cannot be read fail before any task is seen."""
    filters = filters or {"conjunction": "and"}
    if filters.get("conjunction") not in ("and", "or"):
        raise RefusalError(500, "1 validation error for PrepareParams\nfilters.conjunction")
    tests = [
        _item_test(item)
        for item in filters.get("items", ())
        if item["filter"].startswith("filter:tasks:") and item["value"] is not None
    ]
    join = all if filters["conjunction"] == "and" else any
    return lambda task: not tests or join(test(task) for test in tests)


def _item_test(item: Mapping[str, Any]) -> Callable[[Task], bool]:
    name, _ = _name(item["filter"])
    operator, value = item["operator"], item["value"]
    if name == "annotators":
        if operator not in ("contains", "not_contains"):
            raise unmodeled(f"the filter {operator} on annotators")
        who = int(value)
        return lambda task: (
            (who in {a.completed_by for a in task.annotations}) == (operator == "contains")
        )
    get, cast = _getter(name), _caster(name, item["type"])
    if operator == "empty":
        wanted = str(value).lower() in TRUE
        return lambda task: (get(task) in (None, "")) == wanted
    if operator in ("in_list", "not_in_list"):
        return lambda task: (get(task) in value) == (operator == "in_list")
    if operator in ("contains", "not_contains"):
        # SQLite's LIKE: letters of either case.
        part = str(value).lower()
        return lambda task: (part in str(get(task)).lower()) == (operator == "contains")
    if operator == "regex":
        pattern = re.compile(str(value))
        return lambda task: pattern.search(str(get(task))) is not None
    if operator in ("in", "not_in"):
        low, high = cast(value["min"]), cast(value["max"])
        return lambda task: (
            ((found := get(task)) is not None and low <= found <= high) == (operator == "in")
        )
    limit = cast(value)
    if operator in ORDERS:
        return lambda task: (found := get(task)) is not None and ORDERS[operator](found, limit)
    # An operator it does not know is "equal".
    return lambda task: (get(task) == limit) == (operator != "not_equal")


def _caster(name: str, kind: str) -> Callable[[Any], Any]:
    if kind == "Datetime" or name.endswith("_at"):
        return read_time
    if kind == "Boolean" or name == "is_labeled":
        return lambda value: str(value).lower() in TRUE
    if kind == "Number" or not name.startswith("data."):
        return float
    return str


def read_time(text: str) -> datetime:
    """Return a time as filters read it: with a fraction of a second, or it fails."""
    try:
        return datetime.strptime(text, TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError as error:
        raise RefusalError(500, str(error)) from None
