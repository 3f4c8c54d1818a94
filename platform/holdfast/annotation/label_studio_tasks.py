"""Tasks in Label Studio: found by their sample, made, asked again, deleted."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from holdfast.annotation.label_studio_client import LabelStudioClient, Task
from holdfast.annotation.labeling_project import LabelingProject
from holdfast.annotation.oracle import Card
from holdfast.annotation.task_content import (
    new_task,
    prediction,
    queries_of,
    task_data,
    uid_of,
)
from holdfast.annotation.task_filters import Filter, number_filter, text_filter
from holdfast.errors import TransientError

# What says whether a task was answered, or skipped.
COUNTS = ("total_annotations", "cancelled_annotations")
# A look-up names so many samples: its URL stays below the 4,094 characters that the
# strictest of usual servers takes.
_UIDS_A_LOOKUP = 200
_TAIL = 12
# Up to so many tasks for each one looked for, reading all is faster.
_SCAN_AT_MOST = 4


def find_tasks(
    client: LabelStudioClient, project: int, uids: Sequence[str], total: int
) -> dict[str, list[Task]]:
    """Return the tasks of samples by uid, of several the one that counts first.

    Parameters
    ----------
    total : int
        How many tasks the project has.
    """
    found: dict[str, list[Task]] = defaultdict(list)
    wanted = set(uids)
    fields = ("id", "data", "overlap", *COUNTS)
    if not total:
        return {}
    if total <= _SCAN_AT_MOST * len(uids):
        lookups: Iterable[list[Filter]] = [[]]
    else:
        lookups = (
            [_tails(uids[start : start + _UIDS_A_LOOKUP])]
            for start in range(0, len(uids), _UIDS_A_LOOKUP)
        )
    for filters in lookups:
        for task in client.tasks(project, filters, include=fields):
            uid = uid_of(task)
            if uid in wanted and uid is not None:
                found[uid].append(task)
    return {uid: _best_first(tasks) for uid, tasks in found.items()}


def import_tasks(
    client: LabelStudioClient,
    project: LabelingProject,
    query_key: str,
    cards: Sequence[Card],
    images: Sequence[str],
) -> dict[str, int]:
    """Make the tasks of some cards in one request; return their ids by uid.

    Raises
    ------
    TransientError
        If the server makes another number of tasks than it was sent.
    """
    tasks = [
        new_task(card, image, query_key, project.interface)
        for card, image in zip(cards, images, strict=True)
    ]
    answer = client.write(
        "import",
        "POST",
        f"/api/projects/{project.id}/import",
        params={"return_task_ids": "true"},
        json=tasks,
    )
    ids = answer.get("task_ids") or []
    if len(ids) != len(cards):
        # What was made is found by its uid the next time.
        raise TransientError(
            f"Label Studio made {len(ids)} of {len(cards)} tasks sent to project "
            f"{project.id}; run again to send what is missing"
        )
    guesses = [
        {"task": task_id, **guess}
        for task_id, card in zip(ids, cards, strict=True)
        if (guess := prediction(card, project.interface)) is not None
    ]
    if answer["prediction_count"] != len(guesses):
        # SQLite was locked: the server then tries again, without the guesses it had taken
        # out the first time (1.23.2, tasks/serializers.py, retry_database_locked).
        _replace_guesses(client, project.id, ids, guesses)
    return dict(zip((card.uid for card in cards), ids, strict=True))


def ask_again(
    client: LabelStudioClient,
    project: LabelingProject,
    query_key: str,
    cards: Sequence[Card],
    link_images: Callable[[Sequence[Card]], Sequence[str]],
    there: Mapping[str, Sequence[Task]],
) -> None:
    """Let tasks that are there come up for somebody else, each once a query.

    Parameters
    ----------
    there : mapping of str to sequence of dict
        The tasks of each card's sample, by uid; see `find_tasks`.
    """
    due = [card for card in cards if query_key not in queries_of(there[card.uid][0]["data"])]
    if not due:
        return
    task_ids = [there[card.uid][0]["id"] for card in due]
    guesses = [
        {"task": task_id, **guess}
        for task_id, card in zip(task_ids, due, strict=True)
        if (guess := prediction(card, project.interface)) is not None
    ]
    _replace_guesses(client, project.id, task_ids, guesses)
    for card, image in zip(due, link_images(due), strict=True):
        task = there[card.uid][0]
        keys = (*queries_of(task["data"]), query_key)
        # INVARIANT: the query's key, the wish for one more answer and the flag that brings
        # the task up again change in one request, after all else: sent again, a question
        # asks for one answer more only if this never arrived.
        client.write(
            "ask-again",
            "PATCH",
            f"/api/tasks/{task['id']}",
            json={
                "data": {**task["data"], **task_data(card, image, keys, project.interface)},
                "overlap": max(task["overlap"], project.answers_of(task) + 1),
                "is_labeled": False,
            },
        )


def drop_twins(
    client: LabelStudioClient, project: int, there: Mapping[str, Sequence[Task]]
) -> dict[str, list[int]]:
    """Delete unanswered second tasks of a sample; return the answered ones, by uid.

    They come about when a request that counts as lost still runs while it is repeated.
    """
    doubled = {uid: _best_first(tasks) for uid, tasks in there.items() if len(tasks) > 1}
    empty = [
        task["id"] for tasks in doubled.values() for task in tasks[1:] if not _num_annotations(task)
    ]
    if empty:
        delete_unanswered(client, project, empty)
    answered = {
        uid: [task["id"] for task in tasks if task is tasks[0] or _num_annotations(task)]
        for uid, tasks in doubled.items()
    }
    return {uid: ids for uid, ids in answered.items() if len(ids) > 1}


def delete_unanswered(client: LabelStudioClient, project: int, tasks: Sequence[int]) -> None:
    """Delete those of some tasks that have no answer and no skip; gone already is fine."""
    # INVARIANT: never with an empty list, which would select every task of the project.
    assert tasks  # noqa: S101
    client.write(
        "delete-tasks",
        "POST",
        "/api/dm/actions",
        params={"id": "delete_tasks", "project": project},
        json={
            "selectedItems": {"all": False, "included": list(tasks)},
            # The server looks again: an answer given in the meantime keeps its task.
            "filters": {
                "conjunction": "and",
                "items": [
                    number_filter("total_annotations", "equal", 0),
                    number_filter("cancelled_annotations", "equal", 0),
                ],
            },
        },
    )


def _replace_guesses(
    client: LabelStudioClient,
    project: int,
    tasks: Sequence[int],
    guesses: Sequence[Mapping[str, object]],
) -> None:
    client.write(
        "drop-guesses",
        "POST",
        "/api/dm/actions",
        params={"id": "delete_tasks_predictions", "project": project},
        json={"selectedItems": {"all": False, "included": list(tasks)}},
    )
    if guesses:
        made = client.write(
            "import-guesses",
            "POST",
            f"/api/projects/{project}/import/predictions",
            json=list(guesses),
        )
        if made["created"] != len(guesses):
            raise TransientError(
                f"Label Studio took {made['created']} of {len(guesses)} guesses for project "
                f"{project}; run again"
            )


def _best_first(tasks: Sequence[Task]) -> list[Task]:
    return sorted(tasks, key=lambda task: (-_num_annotations(task), task["id"]))


def _num_annotations(task: Mapping[str, Any]) -> int:
    count: int = sum(task[name] for name in COUNTS)
    return count


def _tails(uids: Sequence[str]) -> Filter:
    tails = "|".join(sorted({re.escape(uid[-_TAIL:]) for uid in uids}))
    return text_filter("data.uid", "regex", f"({tails})$")
