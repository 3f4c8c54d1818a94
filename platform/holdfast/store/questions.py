"""Where each question stands: open, sent, answered, disputed, settled, withdrawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.errors import TransientError
from holdfast.processes import is_gone, this_process
from holdfast.records import Query, QuestionChange, QuestionState
from holdfast.store.ledger import now
from holdfast.store.schema import oracle_state, query, query_item, question, sample

WAITING: tuple[QuestionState, ...] = ("open", "sent", "answered", "disputed")
# Long enough for the largest query on a slow server; a process that died is found out earlier.
LEASE_SECONDS = 900.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One question and where it stands; times are UTC, ISO 8601, None for "not yet"."""

    query_key: str
    round_number: int
    sample_id: int
    uid: str
    ask_reason: str
    state: QuestionState
    priority: float
    reason: str | None
    external_id: str | None
    opened_at: str
    sent_at: str | None
    answered_at: str | None
    closed_at: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Backlog:
    """Questions of one state: how many, and when the oldest was asked."""

    state: QuestionState
    count: int
    oldest: str


def open_questions(connection: Connection, asked: Query) -> None:
    """Put the questions of a query into the queue.

    Second opinions come first: a round waits for them alone.
    """
    stamp = now()
    connection.execute(
        sa.insert(question),
        [
            {
                "query_key": asked.key,
                "sample_id": item.sample_id,
                "state": "open",
                "priority": float(asked.batch - 1),
                "opened_at": stamp,
            }
            for item in asked.items
        ],
    )


def lease(connection: Connection, query_key: str) -> list[int]:
    """Reserve the open questions of a query for this process; return their sample ids.

    In the order of the query. What another process has reserved is left to it, until its
    lease runs out or the process is seen to be gone.

    Raises
    ------
    TransientError
        While another process sends questions of this query.
    """
    moment = datetime.now(UTC)
    rows = connection.execute(
        sa.select(question.c.sample_id, question.c.lease_owner, question.c.lease_until)
        .join(
            query_item,
            (query_item.c.query_key == question.c.query_key)
            & (query_item.c.sample_id == question.c.sample_id),
        )
        .where(question.c.query_key == query_key, question.c.state == "open")
        .order_by(query_item.c.position)
        .with_for_update(of=question)
    ).all()
    stamp, me = _text(moment), this_process()
    taken = {
        owner
        for _, owner, until in rows
        if owner not in (None, me) and until > stamp and not is_gone(owner)
    }
    if taken:
        raise TransientError(
            f"{query_key} is being sent by another process ({', '.join(sorted(taken))}); "
            "run again when it has finished"
        )
    connection.execute(
        sa.update(question)
        .where(question.c.query_key == query_key, question.c.state == "open")
        .values(lease_owner=me, lease_until=_text(moment + timedelta(seconds=LEASE_SECONDS)))
    )
    return [sample_id for sample_id, _, _ in rows]


def mark_sent(
    connection: Connection, query_key: str, external_ids: Mapping[int, str | None]
) -> None:
    """Record that the oracle has these questions, and let go of their lease."""
    if not external_ids:
        return
    connection.execute(
        sa.update(question)
        .where(
            question.c.query_key == query_key,
            question.c.sample_id == sa.bindparam("one"),
            question.c.state == "open",
        )
        .values(
            state="sent",
            sent_at=now(),
            lease_owner=None,
            lease_until=None,
            external_id=sa.bindparam("task"),
        ),
        [{"one": sample_id, "task": task} for sample_id, task in external_ids.items()],
    )


def mark_answered(connection: Connection, asked: Sequence[tuple[str, int]]) -> None:
    """Record that questions, by query key and sample id, have an answer."""
    if not asked:
        return
    connection.execute(
        sa.update(question)
        .where(
            question.c.query_key == sa.bindparam("key"),
            question.c.sample_id == sa.bindparam("one"),
            # No `in_`: it cannot be used with many rows at once.
            (question.c.state == "open") | (question.c.state == "sent"),
        )
        .values(state="answered", answered_at=now()),
        [{"key": key, "one": sample_id} for key, sample_id in asked],
    )


def change(connection: Connection, changes: Sequence[QuestionChange]) -> None:
    """Move questions to another state."""
    if not changes:
        return
    stamp = now()
    connection.execute(
        sa.update(question)
        .where(
            question.c.query_key == sa.bindparam("key"),
            question.c.sample_id == sa.bindparam("one"),
        )
        .values(
            state=sa.bindparam("to"),
            reason=sa.bindparam("why"),
            closed_at=sa.bindparam("closed"),
            lease_owner=None,
            lease_until=None,
        ),
        [
            {
                "key": one.query_key,
                "one": one.sample_id,
                "to": one.state,
                "why": one.reason,
                "closed": stamp if one.state in ("settled", "withdrawn") else None,
            }
            for one in changes
        ],
    )


def standing(
    connection: Connection,
    states: Sequence[QuestionState] = WAITING,
    limit: int | None = None,
) -> list[Question]:
    """Return the questions in some states: highest priority first, then the oldest."""
    rows = connection.execute(
        sa.select(
            question,
            query.c.round.label("round_number"),
            query_item.c.reason.label("ask_reason"),
            sample.c.uid,
        )
        .join(
            query_item,
            (query_item.c.query_key == question.c.query_key)
            & (query_item.c.sample_id == question.c.sample_id),
        )
        .join(query, query.c.key == question.c.query_key)
        .join(sample, sample.c.id == question.c.sample_id)
        .where(question.c.state.in_(states))
        .order_by(question.c.priority.desc(), query.c.round, query.c.batch, query_item.c.position)
        .limit(limit)
    )
    hidden = {"lease_owner", "lease_until"}
    return [
        Question(**{name: value for name, value in row._mapping.items() if name not in hidden})
        for row in rows
    ]


def states_of(connection: Connection, query_key: str) -> dict[int, QuestionState]:
    """Return where each question of a query stands, by sample id."""
    rows = connection.execute(
        sa.select(question.c.sample_id, question.c.state).where(question.c.query_key == query_key)
    )
    return {row.sample_id: row.state for row in rows}


def backlog(connection: Connection) -> list[Backlog]:
    """Return how many questions there are in each state, and since when."""
    rows = connection.execute(
        sa.select(question.c.state, sa.func.count(), sa.func.min(question.c.opened_at)).group_by(
            question.c.state
        )
    ).all()
    found = {state: Backlog(state=state, count=n, oldest=oldest) for state, n, oldest in rows}
    order: tuple[QuestionState, ...] = (*WAITING, "settled", "withdrawn")
    return [found[state] for state in order if state in found]


def newest_state(connection: Connection, sample_id: int) -> QuestionState | None:
    """Return where the newest question about a sample stands, None if it was never asked."""
    row = connection.execute(
        sa.select(question.c.state)
        .join(query, query.c.key == question.c.query_key)
        .where(question.c.sample_id == sample_id)
        .order_by(query.c.round.desc(), query.c.batch.desc())
        .limit(1)
    ).first()
    return None if row is None else row.state


def remembered(connection: Connection, oracle: str) -> dict[str, object]:
    """Return what an oracle remembers, empty at first."""
    state = connection.scalar(
        sa.select(oracle_state.c.state).where(oracle_state.c.oracle == oracle)
    )
    return dict(state or {})


def remember(connection: Connection, oracle: str, state: Mapping[str, object]) -> None:
    """Replace what an oracle remembers."""
    connection.execute(sa.delete(oracle_state).where(oracle_state.c.oracle == oracle))
    connection.execute(sa.insert(oracle_state), {"oracle": oracle, "state": dict(state)})


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
