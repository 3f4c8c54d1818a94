"""Samples kept aside: why, since when, and who took one out or put it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.store import held_labels, labels
from holdfast.store.ledger import now
from holdfast.store.many import among, chunks
from holdfast.store.samples import reasons_of
from holdfast.store.schema import quarantine_event, sample


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptAside:
    """A sample in quarantine.

    Attributes
    ----------
    who : str
        Who put it there; `ingest` where nobody has since it was taken in.
    since : str
        UTC, ISO 8601.
    """

    sample_id: int
    uid: str
    source: str
    reason: str
    who: str
    since: str


@dataclass(frozen=True, kw_only=True, slots=True)
class QuarantineEvent:
    """A sample put into quarantine, or taken out of it, after ingest."""

    kind: str
    reason: str
    who: str
    when: str


def set_aside(connection: Connection, reasons: Mapping[int, str], who: str) -> None:
    """Put samples into quarantine, each with its reason: none of them has a label then."""
    if not reasons:
        return
    # INVARIANT: before any row is changed, so that two writers cannot wait for each other.
    held_labels.hold_still(connection)
    connection.execute(
        sa.update(sample)
        .where(sample.c.id == sa.bindparam("one"))
        .values(state="quarantined", reason=sa.bindparam("why")),
        [{"one": sample_id, "why": reason} for sample_id, reason in reasons.items()],
    )
    _record(connection, "set_aside", reasons, who)
    held_labels.refresh(connection, list(reasons), labels.open_scope(connection))


def release(connection: Connection, sample_ids: Sequence[int], who: str) -> None:
    """Take samples out of quarantine; those that are not in it stay as they are."""
    if not sample_ids:
        return
    held_labels.hold_still(connection)
    reasons = reasons_of(connection, np.array(sample_ids, np.int64))
    if not reasons:
        return
    for chunk in chunks(list(reasons)):
        connection.execute(
            sa.update(sample).where(among(sample.c.id, chunk)).values(state="ok", reason=None)
        )
    _record(connection, "released", reasons, who)
    held_labels.refresh(connection, list(reasons), labels.open_scope(connection))


def kept_aside(connection: Connection, limit: int) -> list[KeptAside]:
    """Return samples in quarantine, the newest first."""
    rows = connection.execute(
        sa.select(sample)
        .where(sample.c.state == "quarantined")
        .order_by(sample.c.id.desc())
        .limit(limit)
    ).all()
    newest = _newest(connection, [row.id for row in rows], "set_aside")
    return [
        KeptAside(
            sample_id=row.id,
            uid=row.uid,
            source=row.source,
            reason=row.reason or "",
            who=newest[row.id].who if row.id in newest else "ingest",
            since=newest[row.id].when if row.id in newest else row.created_at,
        )
        for row in rows
    ]


def num_kept_aside(connection: Connection) -> int:
    """Return how many samples are in quarantine. Cost: independent of those that are not."""
    number = connection.scalar(
        sa.select(sa.func.count()).select_from(sample).where(sample.c.state == "quarantined")
    )
    return int(number or 0)


def by_reason(connection: Connection) -> dict[str, int]:
    """Return how many samples lie in quarantine for each reason, the most frequent first.

    Reasons that differ in what stands in parentheses only are one.
    """
    rows = connection.execute(
        sa.select(sample.c.reason, sa.func.count())
        .where(sample.c.state == "quarantined")
        .group_by(sample.c.reason)
    )
    found: dict[str, int] = {}
    for reason, number in rows.tuples():
        short = (reason or "").partition(" (")[0].partition(";")[0]
        found[short] = found.get(short, 0) + number
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def released_for(connection: Connection, sample_ids: Sequence[int]) -> dict[int, str]:
    """Return why each of some samples lay in quarantine when it was last released."""
    return {i: e.reason for i, e in _newest(connection, sample_ids, "released").items()}


def _newest(
    connection: Connection, sample_ids: Sequence[int], kind: str
) -> dict[int, QuarantineEvent]:
    found: dict[int, QuarantineEvent] = {}
    for chunk in chunks(sample_ids):
        rows = connection.execute(
            sa.select(quarantine_event)
            .where(among(quarantine_event.c.sample_id, chunk), quarantine_event.c.kind == kind)
            .order_by(quarantine_event.c.id)
        )
        found.update((row.sample_id, _event(row)) for row in rows)
    return found


def _event(row: sa.Row[tuple[int, ...]]) -> QuarantineEvent:
    return QuarantineEvent(kind=row.kind, reason=row.reason, who=row.who, when=row.created_at)


def _record(connection: Connection, kind: str, reasons: Mapping[int, str], who: str) -> None:
    stamp = now()
    connection.execute(
        sa.insert(quarantine_event),
        [
            {"sample_id": i, "kind": kind, "reason": reason, "who": who, "created_at": stamp}
            for i, reason in reasons.items()
        ],
    )
