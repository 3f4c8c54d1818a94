"""Rounds and their phases: what is done, and the one place where a phase is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.errors import LedgerError
from holdfast.records import LABEL_FINDINGS, Changes, Finding, Ids, Settlement
from holdfast.store import answers, labels, models, quarantine, queries, questions, synthetic
from holdfast.store.ledger import now
from holdfast.store.schema import finding, round_, round_phase


@dataclass(frozen=True, kw_only=True, slots=True)
class PhaseRecord:
    """A phase that is done; `next_phase` is None when it ended the round."""

    round_number: int
    step: int
    phase: str
    next_phase: str | None
    outcome: Mapping[str, object]
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundRow:
    """One turn of the loop."""

    number: int
    state: str
    config_digest: str
    started_at: str
    finished_at: str | None


@dataclass(frozen=True, slots=True)
class FindingRow:
    """A finding and what became of it (None: nobody has looked yet)."""

    round_number: int | None
    finding: Finding
    outcome: str | None


def newest(connection: Connection) -> RoundRow | None:
    """Return the newest round, None before the first."""
    row = connection.execute(sa.select(round_).order_by(round_.c.number.desc()).limit(1)).first()
    return None if row is None else RoundRow(**row._mapping)


def start(connection: Connection, config_digest: str) -> int:
    """Open the next round; LedgerError while one is open."""
    last = newest(connection)
    if last is not None and last.state == "open":
        raise LedgerError(f"round {last.number} is still open; run it to its end first")
    number = 1 if last is None else last.number + 1
    connection.execute(
        sa.insert(round_),
        {
            "number": number,
            "state": "open",
            "config_digest": config_digest,
            "started_at": now(),
        },
    )
    return number


def phases(connection: Connection, round_number: int) -> list[PhaseRecord]:
    """Return the phases of a round that are done, in order."""
    rows = connection.execute(
        sa.select(round_phase)
        .where(round_phase.c.round == round_number)
        .order_by(round_phase.c.step)
    )
    return [
        PhaseRecord(
            round_number=row.round,
            step=row.step,
            phase=row.phase,
            next_phase=row.next_phase,
            outcome=row.outcome,
            seconds=row.seconds,
        )
        for row in rows
    ]


def outcome_before(connection: Connection, round_number: int, phase: str) -> Mapping[str, object]:
    """Return what a phase recorded last before a round, empty if it never ran."""
    row = connection.execute(
        sa.select(round_phase.c.outcome)
        .where(round_phase.c.round < round_number, round_phase.c.phase == phase)
        .order_by(round_phase.c.round.desc(), round_phase.c.step.desc())
        .limit(1)
    ).first()
    return {} if row is None else dict(row.outcome)


def apply(connection: Connection, changes: Changes, round_number: int) -> None:
    """Write what a phase changed; the caller holds the transaction."""
    labels.add_classes(connection, changes.classes)
    labels.append(connection, changes.label_events, round_number)
    add_findings(connection, changes.findings, round_number)
    _settle(connection, changes.settlements, round_number)
    quarantine.set_aside(connection, changes.quarantined, changes.quarantined_by)
    quarantine.release(connection, changes.released, "annotators")
    if changes.query is not None:
        queries.add_query(connection, changes.query)
        questions.open_questions(connection, changes.query)
    if changes.sent is not None:
        questions.mark_sent(connection, *changes.sent)
    answers.add(connection, changes.answers)
    questions.mark_answered(
        connection,
        [
            (one.query_key, one.answer.sample_id)
            for one in changes.answers
            if one.counts and one.query_key is not None
        ],
    )
    questions.change(connection, changes.questions)
    if changes.oracle_state is not None:
        questions.remember(connection, *changes.oracle_state)
    if changes.versions:
        newest_id = models.add_tiers(connection, changes.versions)
        if changes.synthetic:
            augmented = synthetic.augmented_of(connection, newest_id)
            synthetic.add(connection, augmented, changes.synthetic)
    if changes.model is not None:
        models.add_model(connection, changes.model)
    if changes.metrics is not None:
        models.set_metrics(connection, *changes.metrics)
    if changes.promotion is not None:
        models.promote(connection, changes.promotion)


def record(connection: Connection, done: PhaseRecord, changes: Changes) -> None:
    """Write a finished phase and everything it changed; the caller holds the transaction.

    Raises
    ------
    LedgerError
        If another process recorded the same step first: nothing is written then.
    """
    apply(connection, changes, done.round_number)
    try:
        connection.execute(
            sa.insert(round_phase),
            {
                "round": done.round_number,
                "step": done.step,
                "phase": done.phase,
                "next_phase": done.next_phase,
                "outcome": dict(done.outcome),
                "seconds": done.seconds,
                "finished_at": now(),
            },
        )
    except sa.exc.IntegrityError as error:
        raise LedgerError(
            f"round {done.round_number}: another process recorded step {done.step} first; "
            "run again to go on from there"
        ) from error
    if done.next_phase is None:
        connection.execute(
            sa.update(round_)
            .where(round_.c.number == done.round_number)
            .values(state="finished", finished_at=now())
        )


def findings(
    connection: Connection,
    round_number: int | None = None,
    kinds: Sequence[str] | None = LABEL_FINDINGS,
) -> list[FindingRow]:
    """Return findings, most suspect first; of one round where that is named.

    Those that doubt a label, unless other kinds are named; None: of every kind.
    """
    wanted = sa.true() if round_number is None else finding.c.round == round_number
    return _findings(connection, wanted & _of(kinds))


def open_findings(connection: Connection, round_number: int) -> list[FindingRow]:
    """Return the labels in doubt of one round and of ingest that nobody has judged yet.

    Most suspect first.
    """
    return _findings(
        connection,
        finding.c.outcome.is_(None)
        & _of(LABEL_FINDINGS)
        & sa.or_(finding.c.round == round_number, finding.c.round.is_(None)),
    )


def found_before(connection: Connection) -> dict[str, Ids]:
    """Return the ids of the samples with a finding that is not about a label, by kind."""
    rows = connection.execute(
        sa.select(finding.c.kind, finding.c.sample_id)
        .where(finding.c.kind.not_in(LABEL_FINDINGS))
        .order_by(finding.c.kind, finding.c.sample_id)
    ).all()
    by_kind: dict[str, list[int]] = {}
    for kind, sample_id in rows:
        by_kind.setdefault(kind, []).append(sample_id)
    return {kind: np.array(ids, np.int64) for kind, ids in by_kind.items()}


def _of(kinds: Sequence[str] | None) -> sa.ColumnElement[bool]:
    return sa.true() if kinds is None else finding.c.kind.in_(kinds)


def _findings(connection: Connection, wanted: sa.ColumnElement[bool]) -> list[FindingRow]:
    statement = (
        sa.select(finding).where(wanted).order_by(finding.c.round, finding.c.score, finding.c.id)
    )
    return [
        FindingRow(
            round_number=row.round,
            finding=Finding(
                sample_id=row.sample_id,
                kind=row.kind,
                score=row.score,
                given=row.given,
                suggested=row.suggested,
            ),
            outcome=row.outcome,
        )
        for row in connection.execute(statement)
    ]


def add_findings(connection: Connection, new: Sequence[Finding], round_number: int | None) -> None:
    """Record findings; `round_number` is None for those made at ingest."""
    if new:
        connection.execute(
            sa.insert(finding),
            [
                {
                    "round": round_number,
                    "sample_id": one.sample_id,
                    "kind": one.kind,
                    "score": one.score,
                    "given": one.given,
                    "suggested": one.suggested,
                }
                for one in new
            ],
        )


def _settle(connection: Connection, settlements: Sequence[Settlement], round_number: int) -> None:
    for settled in settlements:
        connection.execute(
            sa.update(finding)
            .where(finding.c.sample_id == settled.sample_id, finding.c.outcome.is_(None))
            .where(_of(LABEL_FINDINGS))
            .where(sa.or_(finding.c.round == round_number, finding.c.round.is_(None)))
            .values(outcome=settled.outcome)
        )
