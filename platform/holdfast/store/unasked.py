"""Answers that nobody asked for: what named people had said of data before it came in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.records import Ids, RecordedAnswer
from holdfast.store import answers
from holdfast.store.many import among, chunks, insert
from holdfast.store.schema import answer, label_event

# Stands for an oracle: data that came with its answers.
ORACLE = "ingest"


def add(connection: Connection, new: Sequence[RecordedAnswer]) -> int:
    """Record answers; one that is there already stays one. Return how many rows were new."""
    if not new:
        return 0
    before = answers.last_id(connection)
    rows = answers.as_rows(new)
    insert(connection, answer, list(rows[0]), [tuple(r.values()) for r in rows], pass_over=True)
    added = connection.scalar(
        sa.select(sa.func.count()).select_from(answer).where(answer.c.id > before)
    )
    return int(added or 0)


def held_below(connection: Connection, prefix: str) -> dict[str, str]:
    """Return the answers that hold and whose id begins with a text: id to time of the last edit.

    Cost: one pass over those answers.
    """
    rows = connection.execute(
        sa.select(answer.c.external_id, answer.c.updated_at, answer.c.state)
        .where(answer.c.oracle == ORACLE)
        .where(answer.c.external_id.startswith(prefix, autoescape=True))
        .order_by(answer.c.id)
    )
    newest = {external_id: (updated_at, state) for external_id, updated_at, state in rows}
    return {one: when for one, (when, state) in newest.items() if state != "withdrawn"}


def rows_by_ids(connection: Connection, external_ids: Sequence[str]) -> list[RecordedAnswer]:
    """Return every row of some answers, in the order of arrival."""
    sample_ids: set[int] = set()
    for chunk in chunks(external_ids):
        rows = connection.execute(
            sa.select(answer.c.sample_id).where(
                answer.c.oracle == ORACLE, among(answer.c.external_id, chunk)
            )
        )
        sample_ids |= set(rows.scalars())
    wanted = set(external_ids)
    rows_of_samples = answers.rows_of(connection, ORACLE, sorted(sample_ids))
    return [row for row in rows_of_samples if row.answer.external_id in wanted]


def never_asked(connection: Connection, sample_ids: Sequence[int]) -> set[int]:
    """Return those of some samples about which nobody answered a question."""
    found = set(sample_ids)
    for chunk in chunks(sorted(found)):
        rows = connection.execute(
            sa.select(answer.c.sample_id).where(
                among(answer.c.sample_id, chunk), answer.c.query_key.is_not(None)
            )
        )
        found -= set(rows.scalars())
    return found


def spoken_of(connection: Connection, sample_ids: Sequence[int]) -> set[int]:
    """Return those of some samples that came with an answer."""
    found: set[int] = set()
    for chunk in chunks(sample_ids):
        rows = connection.execute(
            sa.select(answer.c.sample_id).where(
                among(answer.c.sample_id, chunk), answer.c.query_key.is_(None)
            )
        )
        found |= set(rows.scalars())
    return found


def with_consensus(connection: Connection, sample_ids: Sequence[int]) -> set[int]:
    """Return those of some samples for which a consensus was ever recorded."""
    found: set[int] = set()
    for chunk in chunks(sample_ids):
        rows = connection.execute(
            sa.select(label_event.c.sample_id).where(
                among(label_event.c.sample_id, chunk), label_event.c.kind == "consensus"
            )
        )
        found |= set(rows.scalars())
    return found


def came_since(connection: Connection, answer_id: int) -> bool:
    """Return whether an answer, edit or withdrawal came with data after a row."""
    wanted = answer.c.query_key.is_(None) & (answer.c.id > answer_id)
    return connection.scalar(sa.select(sa.exists().where(wanted))) is True


def asked_ids(connection: Connection) -> Ids:
    """Return the samples about which somebody answered a question, ascending."""
    rows = connection.execute(
        sa.select(answer.c.sample_id).where(answer.c.query_key.is_not(None)).distinct()
    )
    return np.sort(np.fromiter(rows.scalars(), dtype=np.int64))
