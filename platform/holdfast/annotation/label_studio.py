"""Questions and answers through a project in Label Studio: one task a sample, for ever."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from holdfast.annotation.label_studio_answers import fetch_news
from holdfast.annotation.label_studio_client import LabelStudioClient, Task
from holdfast.annotation.label_studio_memory import Memory
from holdfast.annotation.labeling_project import (
    LabelingProject,
    find_project,
    gone,
    make_project,
    offer_classes,
    show_guesses_of,
)
from holdfast.annotation.oracle import Card, Collected, Sent
from holdfast.annotation.task_content import (
    new_task,
    prediction,
    queries_of,
    task_data,
    uid_of,
)
from holdfast.annotation.task_filters import ids_filter, number_filter, text_filter
from holdfast.errors import ConfigError, TransientError
from holdfast.records import Query

# A look-up names so many samples: its URL stays below the 4,094 characters that the
# strictest of usual servers takes.
_UIDS_A_LOOKUP = 200
_TAIL = 12
_IDS_A_LOOKUP = 200
# Up to so many tasks, and where most of them are looked for, reading all is faster.
_SCAN_AT_MOST = 4


class LabelStudioOracle:
    """Asks people in Label Studio.

    Parameters
    ----------
    client : LabelStudioClient
        See `connect`.
    state : mapping
        What this oracle returned last, as JSON; empty in the beginning. A text under
        `marker` names the project in Label Studio for us: give a random one in the
        beginning where two projects of one title may share a server.
    title : str
        What a new project is called.
    class_names : sequence of str
        What people choose from.
    read_ids : callable
        Sample ids by uid; uids that nobody knows are left out.
    link_images : callable
        What goes into the image field of each card's task.
    batch_size : int
        Tasks imported in one request.
    adopt : int
        Id of a project somebody else made; 0 makes one.
    prepare : callable, optional
        Called with the client and the project's id before tasks are made.
    """

    name = "label-studio"

    def __init__(
        self,
        client: LabelStudioClient,
        *,
        state: Mapping[str, object],
        title: str,
        class_names: Sequence[str],
        read_ids: Callable[[Sequence[str]], Mapping[str, int]],
        link_images: Callable[[Sequence[Card]], Sequence[str]],
        batch_size: int,
        adopt: int = 0,
        prepare: Callable[[LabelStudioClient, int], None] | None = None,
    ) -> None:
        self._client = client
        memory = Memory.read(state, adopt)
        self._marker = memory.marker or _marker(title)
        self._memory = replace(memory, marker=self._marker)
        self._title = title
        self._class_names = tuple(class_names)
        self._read_ids = read_ids
        self._link_images = link_images
        self._batch_size = batch_size
        self._adopt = adopt
        self._prepare = prepare

    def send(self, query: Query, cards: Sequence[Card]) -> Sent:
        """Make a task for every sample that has none, and ask again where there is one.

        Whatever a lost response or a crash left behind is found and used. A sample asked
        again comes up for somebody who has not answered it, with its new reason and guess.

        Raises
        ------
        ConfigError
            If the project to adopt is gone or does not fit, the server refuses the token, or
            answers use a choice that is no class any more.
        TransientError
            If the server cannot be reached or does not do all it was asked to.
        """
        project = self._project()
        memory = self._memory.of_project(project.id, adopted=project.adopted)
        if self._prepare is not None:
            self._prepare(self._client, project.id)
        before = self._client.newest(project.id)
        if before is None:
            raise TransientError(gone(self._client, project.id))
        there = self._find(project.id, [card.uid for card in cards], before.total)
        twins = _drop_twins(self._client, project.id, there)
        again = [card for card in cards if card.uid in there]
        self._ask_again(project, query, again, there)
        fresh = [card for card in cards if card.uid not in there]
        made: dict[str, int] = {}
        for start in range(0, len(fresh), self._batch_size):
            made |= self._import(project, query, fresh[start : start + self._batch_size])
        # Only now: the server takes no model version that has not guessed anything.
        model = next((c.model for c in cards if prediction(c, project.interface)), "")
        shown = show_guesses_of(self._client, project, model, ours=memory.model_version)
        highest = max((task["id"] for task in before.tasks), default=0)
        memory = replace(memory, twins={**memory.twins, **twins}).after_sending(
            tasks_before=before.total,
            highest_before=highest,
            made=tuple(made.values()),
            model_version=shown,
        )
        ids = {uid: tasks[0]["id"] for uid, tasks in there.items()} | made
        return Sent(
            external_ids={card.sample_id: str(ids[card.uid]) for card in cards},
            state=memory.as_json(),
        )

    def collect(self, query: Query) -> Collected:
        """Return every answer given, changed or deleted since the last time.

        Where nothing is new this takes three requests. A project that somebody deleted makes
        all of the query `missing`: sent again, it is made anew.

        Raises
        ------
        ConfigError
            If the server refuses the token, or the project to adopt is gone.
        TransientError
            If the server cannot be reached, or the project vanishes in the middle.
        """
        missing = tuple(item.sample_id for item in query.items)
        project = self._adopt or self._memory.project
        if project is None:
            return Collected(missing=missing)
        head = self._client.newest(project)
        if head is None:
            if self._adopt:
                raise ConfigError(gone(self._client, project))
            return Collected(missing=missing, state={"marker": self._marker})
        return fetch_news(
            self._client,
            self._memory.of_project(project, adopted=bool(self._adopt)),
            head,
            query=query,
            class_names=self._class_names,
            read_ids=self._read_ids,
        )

    def withdraw(self, external_ids: Mapping[int, str]) -> None:
        """Delete the tasks of these samples, but for those that somebody answered.

        Raises
        ------
        ConfigError, TransientError
            As `send`.
        """
        project = self._adopt or self._memory.project
        if project is None or self._client.newest(project) is None:
            return
        wanted = sorted(int(task) for task in external_ids.values())
        for start in range(0, len(wanted), _IDS_A_LOOKUP):
            some = ids_filter(wanted[start : start + _IDS_A_LOOKUP])
            there = list(self._client.tasks(project, [some], include=("id", "data")))
            known = self._read_ids([uid for task in there if (uid := uid_of(task))])
            # INVARIANT: a task goes only if it is about the sample meant. Label Studio gives
            # the number of a deleted newest task to the next one.
            ours = [
                task["id"]
                for task in there
                if external_ids.get(known.get(uid_of(task) or "", -1)) == str(task["id"])
            ]
            if ours:
                _delete_unanswered(self._client, project, ours)

    def where(self, query: Query) -> str:  # noqa: ARG002
        """Return where people answer; before anything was sent, where the server is."""
        if self._memory.project is None:
            return self._client.url
        return f"{self._client.url}/projects/{self._memory.project}/data"

    def _project(self) -> LabelingProject:
        project = find_project(
            self._client, known=self._memory.project, marker=self._marker, adopt=self._adopt
        )
        if project is None:
            project = make_project(
                self._client,
                title=self._title,
                marker=self._marker,
                class_names=self._class_names,
            )
        return offer_classes(self._client, project, self._class_names)

    def _find(self, project: int, uids: Sequence[str], total: int) -> dict[str, list[Task]]:
        """Return the tasks of samples by uid, the one that counts first."""
        found: dict[str, list[Task]] = defaultdict(list)
        wanted = set(uids)
        fields = ("id", "data", "overlap", "total_annotations", "cancelled_annotations")
        if not total:
            return found
        if total <= _SCAN_AT_MOST * len(uids):
            lookups: Iterable[list[dict[str, object]]] = [[]]
        else:
            lookups = (
                [_tails(uids[start : start + _UIDS_A_LOOKUP])]
                for start in range(0, len(uids), _UIDS_A_LOOKUP)
            )
        for filters in lookups:
            for task in self._client.tasks(project, filters, include=fields):
                uid = uid_of(task)
                if uid in wanted and uid is not None:
                    found[uid].append(task)
        for tasks in found.values():
            tasks.sort(key=lambda task: (-_num_annotations(task), task["id"]))
        return found

    def _import(
        self, project: LabelingProject, query: Query, cards: Sequence[Card]
    ) -> dict[str, int]:
        """Make the tasks of some cards; return their ids by uid."""
        images = self._link_images(cards)
        tasks = [
            new_task(card, image, query.key, project.interface)
            for card, image in zip(cards, images, strict=True)
        ]
        answer = self._client.write(
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
            _replace_guesses(self._client, project.id, ids, guesses)
        return dict(zip((card.uid for card in cards), ids, strict=True))

    def _ask_again(
        self,
        project: LabelingProject,
        query: Query,
        cards: Sequence[Card],
        there: Mapping[str, Sequence[Task]],
    ) -> None:
        """Let tasks that are there come up again, each once a query."""
        due = [card for card in cards if query.key not in queries_of(there[card.uid][0]["data"])]
        if not due:
            return
        task_ids = [there[card.uid][0]["id"] for card in due]
        guesses = [
            {"task": task_id, **guess}
            for task_id, card in zip(task_ids, due, strict=True)
            if (guess := prediction(card, project.interface)) is not None
        ]
        _replace_guesses(self._client, project.id, task_ids, guesses)
        for card, image in zip(due, self._link_images(due), strict=True):
            task = there[card.uid][0]
            keys = (*queries_of(task["data"]), query.key)
            # INVARIANT: the query's key, the wish for one more answer and the flag that brings
            # the task up again change in one request, after all else: sent again, a question
            # asks for one answer more only if this never arrived.
            self._client.write(
                "ask-again",
                "PATCH",
                f"/api/tasks/{task['id']}",
                json={
                    "data": {**task["data"], **task_data(card, image, keys, project.interface)},
                    "overlap": max(task["overlap"], project.answers_of(task) + 1),
                    "is_labeled": False,
                },
            )


def _drop_twins(
    client: LabelStudioClient, project: int, there: Mapping[str, Sequence[Task]]
) -> dict[str, list[int]]:
    """Delete unanswered second tasks of a sample; return the answered ones, by uid.

    They come about when a request that counts as lost still runs while it is repeated.
    """
    doubled = {uid: tasks for uid, tasks in there.items() if len(tasks) > 1}
    empty = [
        task["id"] for tasks in doubled.values() for task in tasks[1:] if not _num_annotations(task)
    ]
    if empty:
        _delete_unanswered(client, project, empty)
    answered = {
        uid: [task["id"] for task in tasks if task is tasks[0] or _num_annotations(task)]
        for uid, tasks in doubled.items()
    }
    return {uid: ids for uid, ids in answered.items() if len(ids) > 1}


def _delete_unanswered(client: LabelStudioClient, project: int, tasks: Sequence[int]) -> None:
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


def _num_annotations(task: Mapping[str, Any]) -> int:
    count: int = task["total_annotations"] + task["cancelled_annotations"]
    return count


def _tails(uids: Sequence[str]) -> dict[str, object]:
    tails = "|".join(sorted({re.escape(uid[-_TAIL:]) for uid in uids}))
    return text_filter("data.uid", "regex", f"({tails})$")


def _marker(title: str) -> str:
    return f"holdfast-{hashlib.sha256(title.encode()).hexdigest()[:16]}"
