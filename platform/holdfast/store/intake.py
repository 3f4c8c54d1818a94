"""What ingest asks the ledger about the samples it already has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.store.many import among, chunks
from holdfast.store.samples import Split
from holdfast.store.schema import finding, label_event, sample

CONFLICT = "label_conflict"


@dataclass(frozen=True, slots=True)
class KnownSample:
    """A sample that was ingested before.

    Attributes
    ----------
    untouched : bool
        Nobody ever labeled it, so no model ever learned from it.
    group : str or None
    """

    id: int
    split: Split
    usable: bool
    untouched: bool
    group: str | None


def known_samples(connection: Connection, uids: Sequence[str]) -> dict[str, KnownSample]:
    """Return those of the uids that the ledger has."""
    spoken_of = sa.exists().where(label_event.c.sample_id == sample.c.id)
    found = {}
    for chunk in chunks(uids):
        rows = connection.execute(
            sa.select(
                sample.c.uid,
                sample.c.id,
                sample.c.split,
                sample.c.state,
                spoken_of,
                sample.c.group,
            ).where(among(sample.c.uid, chunk))
        )
        for uid, sample_id, split, state, labeled, group in rows:
            found[uid] = KnownSample(sample_id, split, state == "ok", not labeled, group)
    return found


def group_splits(
    connection: Connection, groups: Sequence[str], besides: set[int]
) -> dict[str, set[Split]]:
    """Return the sides on which each group's samples lie, `besides` those of the ids."""
    found: dict[str, set[Split]] = {}
    for chunk in chunks(groups):
        rows = connection.execute(
            sa.select(sample.c.id, sample.c.group, sample.c.split)
            .where(sample.c.state == "ok")
            .where(among(sample.c.group, chunk))
        )
        for sample_id, group, split in rows:
            if sample_id not in besides:
                found.setdefault(group, set()).add(split)
    return found


def hold_out(connection: Connection, sample_ids: Sequence[int]) -> None:
    """Move samples that were never labeled to the holdout."""
    for chunk in chunks(sample_ids):
        connection.execute(
            sa.update(sample).where(among(sample.c.id, chunk)).values(split="holdout")
        )


def name_group(connection: Connection, sample_ids: Sequence[int], group: str) -> None:
    """Put samples that have no group into one."""
    for chunk in chunks(sample_ids):
        connection.execute(
            sa.update(sample)
            .where(among(sample.c.id, chunk), sample.c.group.is_(None))
            .values(group=group)
        )


def known_conflicts(connection: Connection, sample_ids: Sequence[int]) -> set[tuple[int, int]]:
    """Return (sample id, class id) of given labels of some samples set aside at ingest."""
    found = set()
    for chunk in chunks(sample_ids):
        rows = connection.execute(
            sa.select(finding.c.sample_id, finding.c.suggested).where(
                finding.c.kind == CONFLICT,
                finding.c.round.is_(None),
                among(finding.c.sample_id, chunk),
            )
        )
        found |= {(sample_id, class_id) for sample_id, class_id in rows}
    return found


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A file that cannot be used, and why."""

    source: str
    reason: str


def quarantined(connection: Connection, limit: int) -> list[Quarantined]:
    """Return the files in quarantine, the newest first."""
    rows = connection.execute(
        sa.select(sample.c.source, sample.c.reason)
        .where(sample.c.state == "quarantined")
        .order_by(sample.c.id.desc())
        .limit(limit)
    )
    return [Quarantined(source, reason or "") for source, reason in rows]
