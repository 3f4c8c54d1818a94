"""The label log: what was said about each sample, and which of it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.records import Ids, LabelEvent, LabelTable
from holdfast.store.ledger import now
from holdfast.store.samples import Split, chunks, insert_new
from holdfast.store.schema import class_, dataset_version, label_event, sample

_VERIFIED = ("annotation", "consensus")


@dataclass(frozen=True, slots=True)
class Scope:
    """Which label events count: those up to a watermark, less the excluded ranges."""

    watermark: int
    excluded: tuple[tuple[int, int], ...] = ()


def append(connection: Connection, events: Sequence[LabelEvent], round_number: int | None) -> int:
    """Add events to the log; one that is there already (same source key) stays one."""
    if not events:
        return 0
    if connection.dialect.name == "postgresql":
        # INVARIANT: ids rise in commit order, or a watermark would not close the log:
        # without the lock a lower id could be committed after a version was made.
        connection.execute(sa.text("LOCK TABLE label_event IN EXCLUSIVE MODE"))
    stamp = now()
    before = last_event(connection)
    connection.execute(
        insert_new(connection, label_event),
        [
            {
                "sample_id": event.sample_id,
                "kind": event.kind,
                "class_id": event.class_id,
                "annotator": event.annotator,
                "round": round_number,
                "source_key": event.source_key,
                "created_at": stamp,
            }
            for event in events
        ],
    )
    added = connection.scalar(
        sa.select(sa.func.count()).select_from(label_event).where(label_event.c.id > before)
    )
    return int(added or 0)


def last_event(connection: Connection) -> int:
    """Return the id of the newest event, 0 when there is none."""
    return int(connection.scalar(sa.select(sa.func.max(label_event.c.id))) or 0)


def open_scope(connection: Connection) -> Scope:
    """Return the scope of everything said so far that no rollback took out."""
    excluded = connection.scalar(
        sa.select(dataset_version.c.excluded).order_by(dataset_version.c.id.desc()).limit(1)
    )
    ranges = tuple((first, last) for first, last in excluded or ())
    return Scope(last_event(connection), ranges)


def resolve(connection: Connection, scope: Scope, split: Split | None = None) -> LabelTable:
    """Return the label of each sample that has one: the one rule of what holds.

    Consensus counts before annotation, annotation before given; within a kind the
    newest counts. `withdrawn` takes away everything said before it.

    Cost: one pass over the events in scope, inside the database.
    """
    event = label_event
    live = (
        sa.select(event)
        .where(event.c.id <= scope.watermark)
        .where(*(sa.not_(event.c.id.between(first, last)) for first, last in scope.excluded))
        .cte("live")
    )
    gone = (
        sa.select(live.c.sample_id, sa.func.max(live.c.id).label("id"))
        .where(live.c.kind == "withdrawn")
        .group_by(live.c.sample_id)
        .cte("gone")
    )
    rank = sa.case({"consensus": 3, "annotation": 2, "given": 1}, value=live.c.kind)
    ranked = (
        sa.select(
            live.c.sample_id,
            live.c.class_id,
            live.c.kind,
            sa.func.row_number()
            .over(partition_by=live.c.sample_id, order_by=(rank.desc(), live.c.id.desc()))
            .label("place"),
        )
        .outerjoin(gone, gone.c.sample_id == live.c.sample_id)
        .where(live.c.kind != "withdrawn")
        .where(sa.or_(gone.c.id.is_(None), live.c.id > gone.c.id))
        .cte("ranked")
    )
    statement = (
        sa.select(ranked.c.sample_id, ranked.c.class_id, ranked.c.kind.in_(_VERIFIED))
        .join(sample, sample.c.id == ranked.c.sample_id)
        .where(ranked.c.place == 1, sample.c.state == "ok")
        .order_by(ranked.c.sample_id)
    )
    if split is not None:
        statement = statement.where(sample.c.split == split)
    rows = connection.execute(statement).all()
    columns = np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 3)
    return LabelTable(columns[:, 0], columns[:, 1], columns[:, 2].astype(bool))


def verified_at(connection: Connection, sample_ids_n: Ids) -> dict[int, str]:
    """Return when people last confirmed the label of each sample for which they did."""
    found: dict[int, str] = {}
    for chunk in chunks(sample_ids_n.tolist()):
        rows = connection.execute(
            sa.select(label_event.c.sample_id, sa.func.max(label_event.c.created_at))
            .where(label_event.c.sample_id.in_(chunk), label_event.c.kind.in_(_VERIFIED))
            .group_by(label_event.c.sample_id)
        )
        found.update((sample_id, when) for sample_id, when in rows)
    return found


def given_of(connection: Connection, sample_ids_n: Ids) -> dict[int, int]:
    """Return the class each sample was given with last, whatever was said since."""
    found: dict[int, int] = {}
    for chunk in chunks(sample_ids_n.tolist()):
        rows = connection.execute(
            sa.select(label_event.c.sample_id, label_event.c.class_id)
            .where(label_event.c.sample_id.in_(chunk), label_event.c.kind == "given")
            .order_by(label_event.c.id)
        )
        found.update((sample_id, class_id) for sample_id, class_id in rows)
    return found


def withdrawn_ids(connection: Connection, sample_ids_n: Ids) -> set[int]:
    """Return those of some samples whose label was ever withdrawn."""
    found: set[int] = set()
    for chunk in chunks(sample_ids_n.tolist()):
        found |= set(
            connection.execute(
                sa.select(label_event.c.sample_id)
                .where(label_event.c.sample_id.in_(chunk), label_event.c.kind == "withdrawn")
                .distinct()
            ).scalars()
        )
    return found


def add_classes(connection: Connection, names: Sequence[str]) -> list[str]:
    """Give each new name the next index; return the names that were new."""
    known = class_names(connection)
    new = [name for name in dict.fromkeys(names) if name not in set(known)]
    if new:
        stamp = now()
        connection.execute(
            sa.insert(class_),
            [
                {"id": len(known) + position, "name": name, "created_at": stamp}
                for position, name in enumerate(new)
            ],
        )
    return new


def class_names(connection: Connection) -> list[str]:
    """Return the names of all classes; the position is the class id."""
    return list(connection.execute(sa.select(class_.c.name).order_by(class_.c.id)).scalars())
