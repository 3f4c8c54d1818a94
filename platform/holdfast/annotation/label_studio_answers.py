"""What changed in a Label Studio project since the last time, as answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from holdfast.annotation.label_studio_client import LabelStudioClient, Page, Task
from holdfast.annotation.label_studio_memory import Memory, moment
from holdfast.annotation.label_studio_tasks import COUNTS, drop_twins
from holdfast.annotation.labeling_interface import read_interface
from holdfast.annotation.oracle import Collected
from holdfast.annotation.task_content import (
    ANNOTATION_FIELDS,
    TASK_FIELDS,
    read_answers,
    uid_of,
)
from holdfast.annotation.task_filters import Filter, ids_filter, number_filter, time_filter
from holdfast.records import Answer, Query

# A change is stamped before it is committed: SQLite may keep it waiting for its lock so long.
OVERLAP = timedelta(seconds=30)
# The server tells its time in whole seconds, and stamps a change before it answers.
_SKEW = timedelta(seconds=2)
_IDS_A_LOOKUP = 200

ReadIds = Callable[[Sequence[str]], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class _Inventory:
    """All tasks of a project.

    Attributes
    ----------
    twins : mapping of str to list of int
        Tasks of samples that have several with answers, by uid.
    """

    sample_ids: Collection[int]
    twins: Mapping[str, list[int]]
    num_tasks: int
    highest: int


def fetch_news(
    client: LabelStudioClient,
    memory: Memory,
    head: Page,
    *,
    query: Query,
    class_names: Collection[str],
    read_ids: ReadIds,
) -> Collected:
    """Return all answers about samples one of whose tasks changed.

    Parameters
    ----------
    memory : Memory
        Of a project that exists.
    head : Page
        The newest task of the project, asked for just now.
    query : Query
        The samples to look for among tasks, if some were deleted.

    Raises
    ------
    ConfigError, TransientError
        As the client raises them; nothing counts as collected then.
    """
    project = memory.project
    assert project is not None  # noqa: S101
    missing: tuple[int, ...] = ()
    before = memory
    if (head.total, _highest(head)) != (memory.tasks, memory.highest):
        found = _take_inventory(client, project, read_ids)
        missing = tuple(
            item.sample_id for item in query.items if item.sample_id not in found.sample_ids
        )
        memory = replace(memory, twins=found.twins, tasks=found.num_tasks, highest=found.highest)
    listings = _what_to_list(client, project, memory, head)
    if listings is None:
        if memory.annotations is None:
            memory = replace(memory, annotations=head.total_annotations)
        changed = None if memory == before else memory.as_json()
        return Collected(missing=missing, state=changed)
    fields = (*TASK_FIELDS, *ANNOTATION_FIELDS)
    listed = {
        task["id"]: task
        for filters in listings
        for task in client.tasks(project, filters, include=fields, annotations=True)
    }
    tasks = [listed[number] for number in sorted(listed)]
    tail = client.page(project, size=1) if tasks else head
    settled = tail.total_annotations == head.total_annotations
    memory = replace(
        _after(memory, tasks, head, tail),
        annotations=head.total_annotations if settled else None,
    )
    tasks += _twins_of(client, project, memory, tasks)
    sample_ids = read_ids(sorted({uid for task in tasks if (uid := uid_of(task))}))
    answers = _answers(client, project, tasks, sample_ids, class_names)
    ours = {sample_ids[uid]: None for task in tasks if (uid := uid_of(task) or "") in sample_ids}
    return Collected(
        answers=answers,
        complete_for=tuple(ours),
        missing=missing,
        state=None if memory == before else memory.as_json(),
        strangers=sum(
            bool(task["annotations"]) and uid_of(task) not in sample_ids for task in tasks
        ),
    )


def _what_to_list(
    client: LabelStudioClient, project: int, memory: Memory, head: Page
) -> list[list[Filter]] | None:
    """Return filters for the tasks that may have changed, list by list; None where none has."""
    if memory.watermark is None or memory.newest is None or memory.seen is None:
        # Nothing was collected yet, so nothing can have been taken back: tasks without an
        # answer, which are most of them after sending, say nothing.
        return [
            [number_filter("total_annotations", "greater", 0)],
            [
                number_filter("total_annotations", "equal", 0),
                number_filter("cancelled_annotations", "greater", 0),
            ],
        ]
    if _time(head) < moment(memory.seen) - _SKEW:
        # The server's clock was set back: changes carry times that were over before.
        return [[]]
    since = time_filter("updated_at", "greater", moment(memory.watermark))
    newest = time_filter("updated_at", "greater", moment(memory.newest))
    if client.page(project, [newest], size=1).total:
        return [[since]]
    if memory.newest != memory.watermark:
        # Changes from before the newest known one may have been committed after we looked.
        # Once all must be there, they are listed a last time; until then counts tell.
        if _time(head) >= moment(memory.newest) + OVERLAP:
            return [[since]]
        if memory.zone is not None:
            zone = client.page(project, [since], size=1)
            if [zone.total, zone.total_annotations] != list(memory.zone):
                return [[since]]
    if memory.annotations not in (None, head.total_annotations):
        # Answers came or went without a newer time: the clock was set back, and went on.
        return [[]]
    return None


def _after(memory: Memory, tasks: Sequence[Task], head: Page, tail: Page) -> Memory:
    """Return the memory once these tasks are known, listed between two looks."""
    times = [moment(task["updated_at"]) for task in tasks]
    if memory.newest is not None:
        times.append(moment(memory.newest))
    if not times:
        return memory
    # A time yet to come, from before a clock was set back, would hide all until then.
    newest = min(max(times), _time(tail) + _SKEW)
    watermark = min(newest, _time(head) - OVERLAP)
    zone = [task for task in tasks if moment(task["updated_at"]) > watermark]
    answers = [one for task in zone for one in task["annotations"] if not one["was_cancelled"]]
    # The first listing leaves tasks without an answer out, which the server will count.
    counts = (len(zone), len(answers))
    return replace(
        memory,
        newest=newest.isoformat(),
        watermark=watermark.isoformat(),
        seen=_time(head).isoformat(),
        zone=counts if memory.seen is not None else None,
    )


def _time(page: Page) -> datetime:
    return page.server_time or datetime.now(UTC)


def _take_inventory(client: LabelStudioClient, project: int, read_ids: ReadIds) -> _Inventory:
    tasks: dict[str, list[Task]] = defaultdict(list)
    num_tasks, highest = 0, 0
    for task in client.tasks(project, include=("id", "data", *COUNTS)):
        num_tasks, highest = num_tasks + 1, task["id"]
        if uid := uid_of(task):
            tasks[uid].append({name: task[name] for name in ("id", *COUNTS)})
    known = read_ids(list(tasks))
    several = {uid: ours for uid, ours in tasks.items() if len(ours) > 1 and uid in known}
    return _Inventory(
        sample_ids=set(known.values()),
        twins=drop_twins(client, project, several),
        num_tasks=num_tasks,
        highest=highest,
    )


def _twins_of(
    client: LabelStudioClient, project: int, memory: Memory, tasks: Iterable[Task]
) -> list[Task]:
    """Return the other tasks of samples that have several."""
    listed = {task["id"] for task in tasks}
    uids = {uid_of(task) for task in tasks}
    others = sorted(
        twin
        for uid, twins in memory.twins.items()
        if uid in uids
        for twin in twins
        if twin not in listed
    )
    return [
        task
        for start in range(0, len(others), _IDS_A_LOOKUP)
        for task in client.tasks(
            project,
            [ids_filter(others[start : start + _IDS_A_LOOKUP])],
            include=(*TASK_FIELDS, *ANNOTATION_FIELDS),
            annotations=True,
        )
    ]


def _answers(
    client: LabelStudioClient,
    project: int,
    tasks: Iterable[Task],
    sample_ids: Mapping[str, int],
    class_names: Collection[str],
) -> tuple[Answer, ...]:
    annotations: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for task in tasks:
        uid = uid_of(task)
        if uid in sample_ids and uid is not None:
            annotations[sample_ids[uid]] += task["annotations"]
    if not any(annotations.values()):
        return ()
    xml = client.request("GET", f"/api/projects/{project}")["label_config"]
    control = read_interface(xml).control
    # A user without a name here keeps the number.
    users = client.request("GET", "/api/users/")
    people = {one["id"]: one["email"] for one in users if one.get("email")}
    known = set(class_names)
    return tuple(
        answer
        for sample_id, given in annotations.items()
        for answer in read_answers(sample_id, given, control, known, people)
    )


def _highest(head: Page) -> int:
    return max((task["id"] for task in head.tasks), default=0)
