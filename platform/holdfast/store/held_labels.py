"""Which label held when: kept up to date in the transaction of whatever changes it.

A *moment* is one change of the labels that hold. What held at a moment is read in one pass,
what differs between two in a pass over what changed, and its digest and counts in one row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.records import LabelTable
from holdfast.store.label_digest import EMPTY, moved
from holdfast.store.label_rule import Scope, winners
from holdfast.store.ledger import now
from holdfast.store.many import among, chunks, insert
from holdfast.store.samples import Split
from holdfast.store.schema import class_, label_moment, label_span, sample

# Sample id, event, class id, whether a person confirmed it, uid.
_Begun = tuple[int, int, int, bool, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """What all labels that held at a moment come to.

    Attributes
    ----------
    id : int
        0 before the first label.
    counts : mapping of int to int
        Samples by class id; no class without any.
    """

    id: int = 0
    digest: str = EMPTY
    counts: Mapping[int, int] = field(default_factory=dict)

    @property
    def num_labels(self) -> int:
        """Samples with a label."""
        return sum(self.counts.values())


def newest(connection: Connection) -> Moment:
    """Return the present moment."""
    row = connection.execute(
        sa.select(label_moment).order_by(label_moment.c.id.desc()).limit(1)
    ).first()
    return Moment() if row is None else _moment(row)


def at(connection: Connection, moment: int) -> Moment:
    """Return one moment; 0 is the one before the first label."""
    row = connection.execute(sa.select(label_moment).where(label_moment.c.id == moment)).first()
    return Moment() if row is None else _moment(row)


def created_at(connection: Connection, moment: int) -> str:
    """Return when a moment was, UTC, ISO 8601; empty for the one before the first label."""
    when = connection.scalar(
        sa.select(label_moment.c.created_at).where(label_moment.c.id == moment)
    )
    return when or ""


def holding(moment: int) -> sa.ColumnElement[bool]:
    """Return the condition of the spans that hold at a moment."""
    until = label_span.c.until
    return (label_span.c.since <= moment) & sa.or_(until.is_(None), until > moment)


def held(connection: Connection, moment: int, split: Split | None = None) -> LabelTable:
    """Return the labels that held at a moment, whatever was said or set aside since.

    Cost: one pass over the spans.
    """
    span = label_span.c
    statement = sa.select(span.sample_id, span.class_id, span.verified).where(holding(moment))
    if split is not None:
        statement = statement.join(sample, sample.c.id == span.sample_id).where(
            sample.c.split == split
        )
    return as_table(connection.execute(statement).tuples())


def as_table(rows: Iterable[tuple[int, int, bool]]) -> LabelTable:
    """Return rows of (sample id, class id, verified) as columns, ordered by sample id."""
    unordered = np.fromiter(chain.from_iterable(rows), dtype=np.int64).reshape(-1, 3)
    columns = unordered[np.argsort(unordered[:, 0], kind="stable")]
    return LabelTable(columns[:, 0], columns[:, 1], columns[:, 2].astype(bool))


def changed_since(connection: Connection, moment: int) -> list[int]:
    """Return the ids of the samples whose label changed after a moment, ascending."""
    span = label_span.c
    rows = sa.union(
        sa.select(span.sample_id).where(span.since > moment),
        sa.select(span.sample_id).where(span.until > moment),
    ).subquery()
    return list(connection.execute(sa.select(rows.c.sample_id).order_by("sample_id")).scalars())


def refresh(connection: Connection, sample_ids: Sequence[int], scope: Scope) -> Moment:
    """Ask the rule again about some samples, and keep what it says from this moment on.

    INVARIANT: whatever changes a label, or takes a sample into quarantine or out of it, calls
    this in its own transaction, after the change.

    Parameters
    ----------
    sample_ids : sequence of int
        All that may be concerned; more cost time, and change nothing.
    scope : Scope
        What counts from now on; its own moment is not read.

    Returns
    -------
    Moment
        The present one: a new one if anything changed.

    Notes
    -----
    Cost: some 20 microseconds a sample, independent of how many there are besides.
    """
    before = newest(connection)
    now_id, digest, counts = before.id + 1, before.digest, Counter(dict(before.counts))
    names = dict(connection.execute(sa.select(class_.c.id, class_.c.name)).tuples().all())
    changed = False
    for chunk in chunks(sorted(set(sample_ids))):
        old, new = _old(connection, chunk), _new(connection, chunk, scope)
        ended = [row for event, row in old.items() if event not in new]
        begun = [row for event, row in new.items() if event not in old]
        if not ended and not begun:
            continue
        changed = True
        _end(connection, [span_id for span_id, _, _ in ended], now_id)
        _begin(connection, [(*row[:-1], now_id) for row in begun])
        digest = moved(
            digest,
            ((uid, names[class_id]) for _, _, class_id, _, uid in begun),
            ((uid, names[class_id]) for _, class_id, uid in ended),
        )
        counts.update(class_id for _, _, class_id, _, _ in begun)
        counts.subtract(class_id for _, class_id, _ in ended)
    if not changed:
        return before
    kept = {class_id: number for class_id, number in sorted(counts.items()) if number}
    connection.execute(
        sa.insert(label_moment),
        {
            "id": now_id,
            "digest": digest,
            "counts": {str(class_id): number for class_id, number in kept.items()},
            "created_at": now(),
        },
    )
    return Moment(id=now_id, digest=digest, counts=kept)


def hold_still(connection: Connection) -> None:
    """Let no other writer change labels until this transaction ends.

    INVARIANT: ids of events and moments rise in commit order, or a watermark would not close
    the log. SQLite has one writer at a time anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text("LOCK TABLE label_event IN EXCLUSIVE MODE"))


def class_counts(connection: Connection, moment: int) -> dict[Split, dict[int, int]]:
    """Return how many samples of each split held each label. Cost: one pass over the spans."""
    rows = connection.execute(
        sa.select(sample.c.split, label_span.c.class_id, sa.func.count())
        .join(sample, sample.c.id == label_span.c.sample_id)
        .where(holding(moment))
        .group_by(sample.c.split, label_span.c.class_id)
        .order_by(label_span.c.class_id)
    )
    found: dict[Split, dict[int, int]] = {"train": {}, "holdout": {}}
    for split, class_id, number in rows.tuples():
        found[split][class_id] = number
    return found


def _old(connection: Connection, ids: Sequence[int]) -> dict[int, tuple[int, int, str]]:
    """Return (span id, class id, uid) of the labels that hold, by the event they rest on."""
    span = label_span.c
    rows = connection.execute(
        sa.select(span.event, span.id, span.class_id, sample.c.uid)
        .join(sample, sample.c.id == span.sample_id)
        .where(span.until.is_(None), among(span.sample_id, ids))
    ).tuples()
    return {event: (span_id, class_id, uid) for event, span_id, class_id, uid in rows}


def _new(connection: Connection, ids: Sequence[int], scope: Scope) -> dict[int, _Begun]:
    """Return the labels that are to hold, by the event they rest on."""
    said = winners(scope, ids)
    rows = connection.execute(
        sa.select(said.c.sample_id, said.c.event, said.c.class_id, said.c.verified, sample.c.uid)
        .join(sample, sample.c.id == said.c.sample_id)
        .order_by(said.c.sample_id)
    ).tuples()
    return {row[1]: tuple(row) for row in rows}


def _end(connection: Connection, span_ids: Sequence[int], moment: int) -> None:
    for chunk in chunks(span_ids):
        connection.execute(
            sa.update(label_span).where(among(label_span.c.id, chunk)).values(until=moment)
        )


def _begin(connection: Connection, rows: Sequence[tuple[int, int, int, bool, int]]) -> None:
    columns = ("sample_id", "event", "class_id", "verified", "since")
    insert(connection, label_span, columns, rows)


def _moment(row: sa.Row[tuple[int, ...]]) -> Moment:
    counts = {int(class_id): number for class_id, number in row.counts.items()}
    return Moment(id=row.id, digest=row.digest, counts=counts)
