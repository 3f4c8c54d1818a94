"""Which questions nobody needs an answer to any more."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from sqlalchemy.engine import Connection

from holdfast.phases.turn import Turn
from holdfast.project import Project
from holdfast.records import Ids, QuestionChange
from holdfast.store import labels, questions, samples
from holdfast.store.questions import Question


@dataclass(frozen=True, slots=True)
class Outdated:
    """A question to be withdrawn, and why."""

    question: Question
    reason: str

    @property
    def sample_id(self) -> int:
        """Return the sample it is about."""
        return self.question.sample_id

    @property
    def external_id(self) -> str | None:
        """Return the oracle's own id of it."""
        return self.question.external_id

    @property
    def withdrawn(self) -> QuestionChange:
        """Return the change that withdraws it."""
        return QuestionChange(
            query_key=self.question.query_key,
            sample_id=self.sample_id,
            state="withdrawn",
            reason=self.reason,
        )


def outdated(turn: Turn, answered: Collection[int]) -> list[Outdated]:
    """Return the unanswered questions that no longer matter.

    Their sample is in quarantine; it got a confirmed label from elsewhere or by a newer
    question; or the label that looked wrong is of a class that is no longer used.

    Parameters
    ----------
    answered : collection of int
        Samples of the newest query that are answered already, in the ledger or about to be.
    """
    project = turn.project
    with project.ledger.read() as connection:
        waiting = questions.standing(connection, ("open", "sent"))
        waiting = [one for one in waiting if one.sample_id not in answered]
        if not waiting:
            return []
        ids = np.unique([one.sample_id for one in waiting])
        usable = set(samples.usable_among(connection, ids).tolist())
        verified_at = labels.verified_at(connection, ids)
        of_retired = _of_retired_classes(connection, project, ids)
    found = []
    for one in waiting:
        if one.sample_id not in usable:
            found.append(Outdated(one, "the sample is in quarantine"))
        elif one.ask_reason == "gold":
            if one.round_number < turn.round_number:
                found.append(Outdated(one, "its round went on without it"))
        elif verified_at.get(one.sample_id, "") > one.opened_at:
            found.append(Outdated(one, "its label was settled elsewhere"))
        elif one.ask_reason == "suspect" and one.sample_id in of_retired:
            found.append(Outdated(one, "the class of its label is no longer used"))
    return found


def _of_retired_classes(connection: Connection, project: Project, ids: Ids) -> set[int]:
    """Return those of some samples whose label is of a class no longer in use."""
    retired = project.config.data.retired
    if not retired:
        # Spares the pass over all label events.
        return set()
    names = labels.class_names(connection)
    classes = [k for k, name in enumerate(names) if name in retired]
    table = labels.resolve(connection, labels.open_scope(connection))
    found = np.isin(table.class_ids_n, classes) & np.isin(table.sample_ids_n, ids)
    return set(table.sample_ids_n[found].tolist())
