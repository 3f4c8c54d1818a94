"""Samples out of quarantine, and back: by a person's word, on record, checked first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from holdfast.data.integrity import inspect
from holdfast.errors import LedgerError
from holdfast.phases.sample_life import find
from holdfast.project import Project
from holdfast.store import quarantine, samples


@dataclass(frozen=True, slots=True)
class Moved:
    """A sample that left the quarantine, or is back in it, and the reason it lay there for."""

    uid: str
    reason: str


def release(project: Project, names: Sequence[str], who: str) -> list[Moved]:
    """Take samples out of quarantine: all of those named, or none.

    Raises
    ------
    LedgerError
        If one of them is not in quarantine, or cannot be read as an image.
    """
    moved = []
    for sample_id, uid, reason in _named(project, names):
        if reason is None:
            raise LedgerError(
                f"{uid[:12]} is not in quarantine; `holdfast quarantine list` shows what is"
            )
        unreadable = _unreadable(project, uid)
        if unreadable is not None:
            raise LedgerError(
                f"{uid[:12]} cannot be released, because it cannot be read: {unreadable or reason}"
            )
        moved.append((sample_id, Moved(uid, reason)))
    with project.ledger.write() as connection:
        quarantine.release(connection, [sample_id for sample_id, _ in moved], who)
    return [one for _, one in moved]


def undo(project: Project, names: Sequence[str], who: str) -> list[Moved]:
    """Put released samples back into quarantine, for the reason they lay there before.

    Raises
    ------
    LedgerError
        If one of them was never released, or lies in quarantine.
    """
    rows = _named(project, names)
    with project.ledger.write() as connection:
        before = quarantine.released_for(connection, [sample_id for sample_id, _, _ in rows])
        for sample_id, uid, reason in rows:
            if reason is not None or sample_id not in before:
                state = "is in quarantine" if reason is not None else "was never released"
                raise LedgerError(f"{uid[:12]} {state}: there is no release to undo")
        quarantine.set_aside(connection, {i: before[i] for i, _, _ in rows}, who)
    return [Moved(uid, before[sample_id]) for sample_id, uid, _ in rows]


def _named(project: Project, names: Sequence[str]) -> list[tuple[int, str, str | None]]:
    """Return id, uid and reason of each sample once, None for those not in quarantine."""
    ids = np.array(list(dict.fromkeys(find(project, name) for name in names)), np.int64)
    with project.ledger.read() as connection:
        uids = samples.uids_of(connection, ids)
        reasons = samples.reasons_of(connection, ids)
    return [(i, uid, reasons.get(i)) for i, uid in zip(ids.tolist(), uids, strict=True)]


def _unreadable(project: Project, uid: str) -> str | None:
    """Return why an image cannot be used, "" where it was never taken in; None if it can."""
    try:
        (payload,) = project.images.read([uid])
    except LedgerError:
        return ""
    return inspect(payload).reason
