"""What was answered: an append-only log, of which the newest row of an answer holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.records import Answer, Ids, RecordedAnswer
from holdfast.store.ledger import now
from holdfast.store.many import among, chunks
from holdfast.store.schema import answer, query


def add(connection: Connection, new: Sequence[RecordedAnswer]) -> None:
    """Record answers; one that is there already is an error of the caller's."""
    if new:
        connection.execute(sa.insert(answer), as_rows(new))


def as_rows(new: Sequence[RecordedAnswer]) -> list[dict[str, object]]:
    """Return answers as the table's rows."""
    stamp = now()
    return [
        {
            "query_key": one.query_key,
            "sample_id": one.answer.sample_id,
            "oracle": one.oracle,
            "external_id": one.answer.external_id,
            "updated_at": one.answer.updated_at,
            "annotator": one.answer.annotator,
            "label": one.answer.label,
            "class_id": one.class_id,
            "state": _state(one),
            "reason": one.answer.problem,
            "remark": one.answer.remark,
            "comment": one.answer.comment,
            "seconds": one.answer.seconds,
            "answered_at": one.answer.answered_at,
            "created_at": stamp,
        }
        for one in new
    ]


def current_answers(
    connection: Connection, round_number: int | None = None
) -> list[RecordedAnswer]:
    """Return the answers that hold, in the order of arrival; of one round where it is named.

    An edited answer is there as it was last, one that was taken back is not. Those in
    quarantine are there, with their problem. Those that came with the data are of no round.
    Cost: linear in the number of answers, or in those of the round.
    """
    statement = sa.select(answer).where(answer.c.state != "withdrawn").order_by(answer.c.id)
    if round_number is None:
        statement = statement.where(_is_newest())
    else:
        asked = sa.select(query.c.key).where(query.c.round == round_number)
        statement = statement.where(answer.c.query_key.in_(asked), _is_newest_of_few())
    return [_read(row) for row in connection.execute(statement)]


def current_about(connection: Connection, sample_ids: Sequence[int]) -> list[RecordedAnswer]:
    """Return the answers about some samples that hold, in the order of arrival."""
    found = []
    for chunk in chunks(sample_ids):
        rows = connection.execute(
            sa.select(answer)
            .where(among(answer.c.sample_id, chunk), answer.c.state != "withdrawn")
            .where(_is_newest_of_few())
            .order_by(answer.c.id)
        )
        found += [_read(row) for row in rows]
    return found


def rows_of(connection: Connection, oracle: str, sample_ids: Sequence[int]) -> list[RecordedAnswer]:
    """Return every row of an oracle about some samples, edits and withdrawals included."""
    found = []
    for chunk in chunks(sample_ids):
        rows = connection.execute(
            sa.select(answer)
            .where(answer.c.oracle == oracle, among(answer.c.sample_id, chunk))
            .order_by(answer.c.id)
        )
        found += [_read(row) for row in rows]
    return found


def votes(connection: Connection) -> tuple[Ids, list[str], Ids]:
    """Return sample ids, annotators and class ids of every answer that names a class."""
    rows = connection.execute(
        sa.select(answer.c.sample_id, answer.c.annotator, answer.c.class_id)
        .where(answer.c.state == "ok", _is_newest())
        .order_by(answer.c.id)
    ).all()
    return (
        np.array([row[0] for row in rows], np.int64),
        [row[1] for row in rows],
        np.array([row[2] for row in rows], np.int64),
    )


def changed_since(connection: Connection, answer_id: int, before_round: int) -> Ids:
    """Return the samples asked about in earlier rounds on which there is news after a row.

    News is an answer, its edit or withdrawal, be it of an earlier round or with new data.
    """
    before = sa.select(query.c.key).where(query.c.round < before_round)
    asked = sa.select(answer.c.sample_id).where(answer.c.query_key.in_(before))
    rows = connection.execute(
        sa.select(answer.c.sample_id)
        .where(
            answer.c.id > answer_id,
            sa.or_(
                answer.c.query_key.in_(before),
                answer.c.query_key.is_(None) & answer.c.sample_id.in_(asked),
            ),
        )
        .distinct()
    )
    return np.sort(np.fromiter(rows.scalars(), dtype=np.int64))


def last_id(connection: Connection) -> int:
    """Return the number of the newest row, 0 when there is none."""
    return int(connection.scalar(sa.select(sa.func.max(answer.c.id))) or 0)


def num_answers(connection: Connection) -> int:
    """Return how many rows are in, edits and those of quarantine included."""
    return int(connection.scalar(sa.select(sa.func.count()).select_from(answer)) or 0)


def unknown_ids(connection: Connection) -> Ids:
    """Return the samples about which somebody said that they cannot tell."""
    rows = connection.execute(
        sa.select(answer.c.sample_id).where(answer.c.state == "unknown", _is_newest()).distinct()
    )
    return np.sort(np.fromiter(rows.scalars(), dtype=np.int64))


def _is_newest_of_few() -> sa.ColumnElement[bool]:
    """The same as `_is_newest`, at a price for each row that is looked at."""
    later = answer.alias("later")
    newer = sa.exists().where(
        later.c.oracle == answer.c.oracle,
        later.c.external_id == answer.c.external_id,
        later.c.id > answer.c.id,
    )
    return sa.not_(newer)


def _is_newest() -> sa.ColumnElement[bool]:
    """The condition of rows that nothing replaced, at the price of one pass over all."""
    newest = sa.select(sa.func.max(answer.c.id)).group_by(answer.c.oracle, answer.c.external_id)
    return answer.c.id.in_(newest)


def _state(new: RecordedAnswer) -> str:
    if new.withdrawn:
        return "withdrawn"
    if new.answer.problem is not None:
        return "quarantined"
    return "unknown" if new.class_id is None else "ok"


def _read(row: sa.Row[tuple[object, ...]]) -> RecordedAnswer:
    return RecordedAnswer(
        answer=Answer(
            sample_id=row.sample_id,
            label=row.label,
            annotator=row.annotator,
            external_id=row.external_id,
            updated_at=row.updated_at,
            remark=row.remark,
            comment=row.comment,
            problem=row.reason,
            seconds=row.seconds,
            answered_at=row.answered_at,
        ),
        query_key=row.query_key,
        oracle=row.oracle,
        class_id=row.class_id,
        withdrawn=row.state == "withdrawn",
        id=row.id,
    )
