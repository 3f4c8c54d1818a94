"""The label log: what was said about each sample, and which of it holds."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.records import Ids, LabelEvent, LabelTable
from holdfast.store import held_labels
from holdfast.store.label_rule import Scope, confirming, winners
from holdfast.store.ledger import now
from holdfast.store.many import among, chunks, insert
from holdfast.store.samples import Split
from holdfast.store.schema import class_, dataset_version, label_event, sample


def append(connection: Connection, events: Sequence[LabelEvent], round_number: int | None) -> int:
    """Add events to the log; one that is there already (same source key) stays one."""
    if not events:
        return 0
    held_labels.hold_still(connection)
    stamp = now()
    before = last_event(connection)
    insert(
        connection,
        label_event,
        ("sample_id", "kind", "class_id", "annotator", "round", "source_key", "created_at"),
        [
            (
                event.sample_id,
                event.kind,
                event.class_id,
                event.annotator,
                round_number,
                event.source_key,
                stamp,
            )
            for event in events
        ],
        pass_over=True,
    )
    added = connection.scalar(
        sa.select(sa.func.count()).select_from(label_event).where(label_event.c.id > before)
    )
    if added:
        held_labels.refresh(
            connection, [event.sample_id for event in events], open_scope(connection)
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
    return Scope(last_event(connection), ranges, held_labels.newest(connection).id)


def resolve(connection: Connection, scope: Scope, split: Split | None = None) -> LabelTable:
    """Return the label of each sample that has one: what the rule says of the scope.

    Cost: one pass over the labels kept for the scope's moment; where none is named, one over
    the events in scope, several times as long.
    """
    if scope.moment is not None:
        return held_labels.held(connection, scope.moment, split)
    said = winners(scope)
    statement = sa.select(said.c.sample_id, said.c.class_id, said.c.verified)
    if split is not None:
        statement = statement.join(sample, sample.c.id == said.c.sample_id).where(
            sample.c.split == split
        )
    return held_labels.as_table(connection.execute(statement).tuples())


def verified_at(connection: Connection, sample_ids_n: Ids) -> dict[int, str]:
    """Return when people last confirmed the label of each sample for which they did."""
    found: dict[int, str] = {}
    for chunk in chunks(sample_ids_n.tolist()):
        rows = connection.execute(
            sa.select(label_event.c.sample_id, sa.func.max(label_event.c.created_at))
            .where(among(label_event.c.sample_id, chunk), confirming(label_event))
            .group_by(label_event.c.sample_id)
        )
        found.update((sample_id, when) for sample_id, when in rows)
    return found


def given_of(connection: Connection, sample_ids_n: Ids) -> dict[int, int]:
    """Return the class each sample was given with last, whatever was said since."""
    return _last_class(connection, sample_ids_n, label_event.c.kind == "given")


def came_with(connection: Connection, sample_ids_n: Ids) -> dict[int, int]:
    """Return the class each sample came with last, given or said by a named person."""
    came = label_event.c.class_id.is_not(None) & sa.not_(confirming(label_event))
    return _last_class(connection, sample_ids_n, came)


def withdrawn_ids(connection: Connection, sample_ids_n: Ids) -> set[int]:
    """Return those of some samples whose label was ever withdrawn."""
    found: set[int] = set()
    for chunk in chunks(sample_ids_n.tolist()):
        found |= set(
            connection.execute(
                sa.select(label_event.c.sample_id)
                .where(among(label_event.c.sample_id, chunk), label_event.c.kind == "withdrawn")
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


def _last_class(
    connection: Connection, sample_ids_n: Ids, condition: sa.ColumnElement[bool]
) -> dict[int, int]:
    """Return the class of each sample's newest event that meets a condition."""
    event = label_event.c
    found: dict[int, int] = {}
    for chunk in chunks(sample_ids_n.tolist()):
        rows = connection.execute(
            sa.select(event.sample_id, event.class_id)
            .where(among(event.sample_id, chunk), condition)
            .order_by(event.id)
        )
        found.update((sample_id, class_id) for sample_id, class_id in rows)
    return found
