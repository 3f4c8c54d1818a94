"""Samples in the ledger: one row per distinct content of a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from holdfast.errors import LedgerError
from holdfast.records import Ids
from holdfast.store.ledger import now
from holdfast.store.schema import sample

T = TypeVar("T")
Split = Literal["train", "holdout"]

# SQLite takes at most 32,766 values in one statement, PostgreSQL 65,535.
_CHUNK = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class NewSample:
    """A file to register; a `reason` says why it cannot be used, and quarantines it."""

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
    # `dataclasses.asdict` copies every value, which takes longer than the insert.
    rows = [
        {
            "uid": new.uid,
            "num_bytes": new.num_bytes,
            "width": new.width,
            "height": new.height,
            "channels": new.channels,
            "source": new.source,
            "group": new.group,
            "split": new.split,
            "reason": new.reason,
            "state": "quarantined" if new.reason else "ok",
            "created_at": stamp,
        }
        for new in samples
    ]
    before = connection.scalar(sa.select(sa.func.max(sample.c.id))) or 0
    connection.execute(insert_new(connection, sample), rows)
    after = connection.scalar(
        sa.select(sa.func.count()).select_from(sample).where(sample.c.id > before)
    )
    return int(after or 0)


def insert_new(connection: Connection, table: sa.Table) -> sa.Insert:
    """Return an insert that passes over rows that are there already."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def ids_of(connection: Connection, uids: Sequence[str]) -> dict[str, int]:
    """Return the sample ids of the uids the ledger knows."""
    found: dict[str, int] = {}
    for chunk in chunks(uids):
        rows = connection.execute(
            sa.select(sample.c.uid, sample.c.id).where(sample.c.uid.in_(chunk))
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
            sa.select(sample.c.uid).where(sample.c.uid.in_(chunk), sample.c.state == "ok")
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
        rows = connection.execute(sa.select(sample.c.id, column).where(sample.c.id.in_(chunk)))
        found.update((sample_id, value) for sample_id, value in rows)
    return found


def chunks(values: Sequence[T]) -> Iterable[Sequence[T]]:
    """Cut values into parts that one statement takes."""
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]
