"""What was asked."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.records import AskReason, Query, QueryItem
from holdfast.store.many import among, chunks
from holdfast.store.schema import query, query_item, round_phase


def add_query(connection: Connection, new: Query) -> None:
    """Record a query and why each of its samples is asked about."""
    connection.execute(
        sa.insert(query), {"key": new.key, "round": new.round_number, "batch": new.batch}
    )
    connection.execute(
        sa.insert(query_item),
        [
            {
                "query_key": new.key,
                "position": position,
                "sample_id": item.sample_id,
                "reason": item.reason,
                "score": item.score,
                "parts": dict(item.parts),
                "guess": item.guess,
                "confidence": item.confidence,
            }
            for position, item in enumerate(new.items)
        ],
    )


def queries_of(connection: Connection, round_number: int) -> list[Query]:
    """Return the queries of a round, in the order they were made."""
    batches = connection.execute(
        sa.select(query.c.key, query.c.batch)
        .where(query.c.round == round_number)
        .order_by(query.c.batch)
    ).all()
    found = []
    for key, batch in batches:
        rows = connection.execute(
            sa.select(query_item)
            .where(query_item.c.query_key == key)
            .order_by(query_item.c.position)
        )
        items = tuple(
            QueryItem(
                sample_id=row.sample_id,
                reason=row.reason,
                score=row.score,
                parts=row.parts,
                guess=row.guess,
                confidence=row.confidence,
            )
            for row in rows
        )
        found.append(Query(round_number=round_number, batch=batch, items=items))
    return found


def asked_since(connection: Connection, moment: str) -> list[tuple[str, int]]:
    """Return when questions were asked since a moment, and how many, oldest first."""
    rows = connection.execute(
        sa.select(round_phase.c.finished_at, round_phase.c.outcome)
        .where(round_phase.c.finished_at > moment)
        .where(round_phase.c.phase.in_(("query", "consensus")))
        .order_by(round_phase.c.finished_at)
    )
    asked = [(row.finished_at, int(row.outcome.get("asked", 0))) for row in rows]
    return [(when, number) for when, number in asked if number]


def asked_because(connection: Connection, reason: AskReason) -> list[tuple[str, int]]:
    """Return key and sample of every question that was ever asked for a reason."""
    rows = connection.execute(
        sa.select(query_item.c.query_key, query_item.c.sample_id)
        .where(query_item.c.reason == reason)
        .order_by(query_item.c.query_key, query_item.c.position)
    )
    return [(key, sample_id) for key, sample_id in rows]


def newest_keys(connection: Connection, sample_ids: Sequence[int]) -> dict[int, str]:
    """Return the key of the newest query about each sample that was ever asked about."""
    found: dict[int, str] = {}
    for chunk in chunks(sample_ids):
        rows = connection.execute(
            sa.select(query_item.c.sample_id, query.c.key)
            .join(query, query.c.key == query_item.c.query_key)
            .where(among(query_item.c.sample_id, chunk))
            .order_by(query.c.round, query.c.batch)
        )
        found.update((sample_id, key) for sample_id, key in rows)
    return found
