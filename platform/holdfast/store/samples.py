"""Samples in the ledger: one row per distinct content of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.errors import LedgerError
from holdfast.records import Ids
from holdfast.store.ledger import now
from holdfast.store.many import among, chunks, insert
from holdfast.store.schema import sample

Split = Literal["train", "holdout"]


class NewSample(NamedTuple):
    """A file to register; a `reason` says why it cannot be used, and quarantines it.

    Its fields are columns of the table.
    """

    uid: str
    num_bytes: int
    width: int
    height: int
    channels: int
    source: str
    group: str | None = None
    split: Split = "train"
    reason: str | None = None


def register(connection: Connection, samples: Sequence[NewSample]) -> int:
    """Add the samples the ledger does not have yet; return how many that were."""
    if not samples:
        return 0
    stamp = now()
    before = connection.scalar(sa.select(sa.func.max(sample.c.id))) or 0
    columns = (*NewSample._fields, "state", "created_at")
    rows = [(*new, "quarantined" if new.reason else "ok", stamp) for new in samples]
    insert(connection, sample, columns, rows, pass_over=True)
    after = connection.scalar(
        sa.select(sa.func.count()).select_from(sample).where(sample.c.id > before)
    )
    return int(after or 0)


def ids_of(connection: Connection, uids: Sequence[str]) -> dict[str, int]:
    """Return the sample ids of the uids the ledger knows."""
    found: dict[str, int] = {}
    for chunk in chunks(uids):
        rows = connection.execute(
            sa.select(sample.c.uid, sample.c.id).where(among(sample.c.uid, chunk))
        )
        found.update((uid, sample_id) for uid, sample_id in rows)
    return found


def uids_of(connection: Connection, sample_ids_n: Ids) -> list[str]:
    """Return uids in the order of the ids.

    Raises
    ------
    LedgerError
        If an id is unknown.
    """
    found = _column(connection, sample.c.uid, sample_ids_n)
    try:
        return [str(found[sample_id]) for sample_id in sample_ids_n.tolist()]
    except KeyError as error:
        raise LedgerError(f"the ledger has no sample {error}; restore it from a backup") from error


def sources_of(connection: Connection, sample_ids_n: Ids) -> list[str]:
    """Return where each sample came from, in the order of the ids."""
    found = _column(connection, sample.c.source, sample_ids_n)
    return [str(found[sample_id]) for sample_id in sample_ids_n.tolist()]


def groups_of(connection: Connection, sample_ids_n: Ids) -> list[str | None]:
    """Return the group of each sample, None where it has none."""
    found = _column(connection, sample.c.group, sample_ids_n)
    return [None if (group := found[i]) is None else str(group) for i in sample_ids_n.tolist()]


def usable_ids(connection: Connection, split: Split) -> Ids:
    """Return the ids of all samples of one split that are not in quarantine, ascending."""
    rows = connection.execute(
        sa.select(sample.c.id)
        .where(sample.c.state == "ok", sample.c.split == split)
        .order_by(sample.c.id)
    )
    return np.fromiter(rows.scalars(), dtype=np.int64)


def state_of(connection: Connection, uid: str) -> tuple[int, str] | None:
    """Return id and state of a sample, `ok` or `quarantined`; None for an unknown uid."""
    row = connection.execute(
        sa.select(sample.c.id, sample.c.state).where(sample.c.uid == uid)
    ).first()
    return None if row is None else (row.id, row.state)


def usable_uids(connection: Connection, uids: Sequence[str]) -> set[str]:
    """Return those of some uids that the ledger has, and not in quarantine."""
    found: set[str] = set()
    for chunk in chunks(uids):
        rows = connection.execute(
            sa.select(sample.c.uid).where(among(sample.c.uid, chunk), sample.c.state == "ok")
        )
        found |= set(rows.scalars())
    return found


def all_usable_uids(connection: Connection) -> set[str]:
    """Return the uids of all samples that are not in quarantine. Cost: one pass over them."""
    return set(connection.execute(sa.select(sample.c.uid).where(sample.c.state == "ok")).scalars())


def usable_among(connection: Connection, sample_ids_n: Ids) -> Ids:
    """Return those of some samples that are not in quarantine, ascending."""
    found = _column(connection, sample.c.state, sample_ids_n)
    return np.array(sorted(i for i, state in found.items() if state == "ok"), np.int64)


def reasons_of(connection: Connection, sample_ids_n: Ids) -> dict[int, str]:
    """Return why samples are in quarantine, for those of some samples that are."""
    found = _column(connection, sample.c.reason, sample_ids_n)
    return {i: str(reason) for i, reason in found.items() if reason is not None}


def counts(connection: Connection) -> Mapping[str, int]:
    """Return the number of samples: `train`, `holdout`, `quarantined`."""
    rows = connection.execute(
        sa.select(sample.c.state, sample.c.split, sa.func.count()).group_by(
            sample.c.state, sample.c.split
        )
    ).all()
    return {
        "train": sum(n for state, split, n in rows if state == "ok" and split == "train"),
        "holdout": sum(n for state, split, n in rows if state == "ok" and split == "holdout"),
        "quarantined": sum(n for state, _, n in rows if state == "quarantined"),
    }


def _column(
    connection: Connection, column: sa.Column[object], sample_ids_n: Ids
) -> dict[int, object]:
    found: dict[int, object] = {}
    for chunk in chunks(sample_ids_n.tolist()):
        rows = connection.execute(sa.select(sample.c.id, column).where(among(sample.c.id, chunk)))
        found.update((sample_id, value) for sample_id, value in rows)
    return found
