"""What a phase gets and what it gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from holdfast.errors import PendingError
from holdfast.project import Project
from holdfast.records import Changes
from holdfast.seeds import generator
from holdfast.store import models
from holdfast.store.models import StoredVersion
from holdfast.store.rounds import PhaseRecord

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One round at the moment a phase begins.

    Attributes
    ----------
    done : tuple of PhaseRecord
        Phases of the round that are done, in order.
    progress : callable or None
        Told (what, done, total) while a long phase works.
    """

    project: Project
    round_number: int
    done: tuple[PhaseRecord, ...]
    progress: Progress | None = None

    def rng(self, name: str) -> np.random.Generator:
        """Return the generator of one place in this round; the same on every attempt."""
        return generator(self.project.config.seed, name, self.round_number)

    def outcome(self, phase: str) -> Mapping[str, Any]:
        """Return what the phase recorded last in this round, empty if it did not run."""
        for record in reversed(self.done):
            if record.phase == phase:
                return record.outcome
        return {}


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseResult:
    """What a phase found out, what it changes, and where it leads if not to the next.

    Attributes
    ----------
    outcome : mapping
        JSON; kept in the ledger beside the phase.
    back_to : str or None
        An earlier phase to go on from.
    pending : PendingError or None
        What must happen first: the changes are kept, but the phase is not done.
    """

    outcome: Mapping[str, object]
    changes: Changes = field(default_factory=Changes)
    back_to: str | None = None
    pending: PendingError | None = None


def version_of(turn: Turn) -> StoredVersion:
    """Return the version this round's snapshot made."""
    with turn.project.ledger.read() as connection:
        version = models.newest_version(connection, turn.round_number, "training")
    # INVARIANT: snapshot is done before anything here runs.
    assert version is not None  # noqa: S101
    return version
