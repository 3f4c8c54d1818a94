"""What was asked and what was answered."""

from __future__ import annotations

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.records import Answer, Ids, Query, QueryItem, RecordedAnswer
from holdfast.store.ledger import now
from holdfast.store.schema import answer, query, query_item, round_phase


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


def add_answers(connection: Connection, answers: tuple[RecordedAnswer, ...]) -> None:
    """Record answers; one that is there already is an error of the caller's."""
    if not answers:
        return
    stamp = now()
    connection.execute(
        sa.insert(answer),
        [
            {
                "query_key": new.query_key,
                "sample_id": new.answer.sample_id,
                "oracle": new.oracle,
                "external_id": new.answer.external_id,
                "updated_at": new.answer.updated_at,
                "annotator": new.answer.annotator,
                "label": new.answer.label,
                "class_id": new.class_id,
                "state": _state(new),
                "reason": new.quarantine_reason,
                "created_at": stamp,
            }
            for new in answers
        ],
    )


def answers_of(connection: Connection, round_number: int) -> list[RecordedAnswer]:
    """Return every answer of a round, in the order of arrival."""
    rows = connection.execute(
        sa.select(answer)
        .join(query, query.c.key == answer.c.query_key)
        .where(query.c.round == round_number)
        .order_by(answer.c.id)
    )
    return [
        RecordedAnswer(
            answer=Answer(
                sample_id=row.sample_id,
                label=row.label,
                annotator=row.annotator,
                external_id=row.external_id,
                updated_at=row.updated_at,
            ),
            query_key=row.query_key,
            oracle=row.oracle,
            class_id=row.class_id,
            quarantine_reason=row.reason,
        )
        for row in rows
    ]


def all_answers(connection: Connection) -> tuple[Ids, list[str], Ids]:
    """Return sample ids, annotators and class ids of every usable answer."""
    rows = connection.execute(
        sa.select(answer.c.sample_id, answer.c.annotator, answer.c.class_id)
        .where(answer.c.state == "ok")
        .order_by(answer.c.id)
    ).all()
    return (
        np.array([row[0] for row in rows], np.int64),
        [row[1] for row in rows],
        np.array([row[2] for row in rows], np.int64),
    )


def num_answers(connection: Connection) -> int:
    """Return how many answers are in, those of quarantine included."""
    return int(connection.scalar(sa.select(sa.func.count()).select_from(answer)) or 0)


def unknown_ids(connection: Connection) -> Ids:
    """Return the samples about which somebody said that they cannot tell."""
    rows = connection.execute(
        sa.select(answer.c.sample_id).where(answer.c.state == "unknown").distinct()
    )
    return np.sort(np.fromiter(rows.scalars(), dtype=np.int64))


def _state(new: RecordedAnswer) -> str:
    if new.quarantine_reason is not None:
        return "quarantined"
    return "unknown" if new.class_id is None else "ok"
