"""Questions and answers through a project in Label Studio: one task a sample, for ever."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from holdfast.annotation.label_studio_answers import fetch_news
from holdfast.annotation.label_studio_client import LabelStudioClient
from holdfast.annotation.label_studio_memory import Memory
from holdfast.annotation.label_studio_tasks import (
    ask_again,
    delete_unanswered,
    drop_twins,
    find_tasks,
    import_tasks,
)
from holdfast.annotation.labeling_project import (
    LabelingProject,
    find_project,
    gone,
    make_project,
    offer_classes,
    show_guesses_of,
)
from holdfast.annotation.oracle import Card, Collected, Sent
from holdfast.annotation.task_content import prediction, uid_of
from holdfast.annotation.task_filters import ids_filter
from holdfast.errors import ConfigError, TransientError
from holdfast.records import Query

_IDS_A_LOOKUP = 200


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
        memory = self._memory.of_project(project.id, project.created_at, adopted=project.adopted)
        if self._prepare is not None:
            self._prepare(self._client, project.id)
        before = self._client.newest(project.id)
        if before is None:
            raise TransientError(gone(self._client, project.id))
        there = find_tasks(self._client, project.id, [card.uid for card in cards], before.total)
        twins = drop_twins(self._client, project.id, there)
        again = [card for card in cards if card.uid in there]
        ask_again(self._client, project, query.key, again, self._link_images, there)
        fresh = [card for card in cards if card.uid not in there]
        made: dict[str, int] = {}
        for start in range(0, len(fresh), self._batch_size):
            part = fresh[start : start + self._batch_size]
            made |= import_tasks(self._client, project, query.key, part, self._link_images(part))
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
        project = self._memory.project
        if project is None:
            return Collected(missing=missing)
        head = self._client.newest(project)
        if head is None:
            if self._adopt:
                raise ConfigError(gone(self._client, project))
            return Collected(missing=missing, state={"marker": self._marker})
        return fetch_news(
            self._client,
            self._memory,
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
        project = self._memory.project
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
                delete_unanswered(self._client, project, ours)

    def where(self, query: Query) -> str:  # noqa: ARG002
        """Return where people answer; before anything was sent, where the server is."""
        if self._memory.project is None:
            return self._client.url
        return f"{self._client.url}/projects/{self._memory.project}/data"

    def _project(self) -> LabelingProject:
        project = find_project(
            self._client,
            known=self._memory.project,
            created_at=self._memory.created_at,
            marker=self._marker,
            adopt=self._adopt,
        )
        if project is None:
            project = make_project(
                self._client,
                title=self._title,
                marker=self._marker,
                class_names=self._class_names,
            )
        return offer_classes(self._client, project, self._class_names)


def _marker(title: str) -> str:
    return f"holdfast-{hashlib.sha256(title.encode()).hexdigest()[:16]}"
