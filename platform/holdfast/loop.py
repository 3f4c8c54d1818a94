"""THE LOOP: the phases of a round, in order, each done once.

A round is a row in the ledger. `advance` runs the first phase that is not done and
records its outcome in the transaction that makes its changes, so a crash costs at most
one phase, and people may take a week to answer: no process waits for them.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa

from holdfast.errors import BusyError, LedgerError, PendingError
from holdfast.failpoints import reach
from holdfast.phases.pool import check_ready
from holdfast.phases.turn import PhaseResult, Progress, Turn
from holdfast.project import Project
from holdfast.records import DatasetVersion, Promotion
from holdfast.store import held_labels, labels, models, rounds
from holdfast.store.label_rule import Scope
from holdfast.store.rounds import PhaseRecord

# Phase -> module of `holdfast.phases`, imported when the phase runs.
_HOMES = {
    "audit": "audit",
    "query": "ask",
    "send": "ask",
    "collect": "collecting",
    "consensus": "consensus",
    "snapshot": "learn",
    "learn": "learn",
    "evaluate": "judge",
    "promote": "judge",
    "report": "judge",
}
PHASES = tuple(_HOMES)
ASK, LEARN = PHASES[:5], PHASES[5:]


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundOutcome:
    """How far a round came in one call."""

    round_number: int
    finished: bool
    phases: tuple[PhaseRecord, ...]


def run_round(
    project: Project,
    on_phase: Callable[[PhaseRecord], None] | None = None,
    progress: Progress | None = None,
) -> RoundOutcome:
    """Take the open round, or a new one, as far as it can go.

    Raises
    ------
    AnnotationsPendingError
        When people have to answer first. Call again once they have.
    BusyError
        When another process runs this project.
    """
    with exclusive(project):
        number = open_round(project)
        records = []
        while next_phase(project, number) is not None:
            record = advance(project, number, progress)
            records.append(record)
            if on_phase is not None:
                on_phase(record)
        return RoundOutcome(round_number=number, finished=True, phases=tuple(records))


@contextmanager
def exclusive(project: Project) -> Iterator[None]:
    """Hold the project's run lock; the system lets go of it when the process dies.

    Raises
    ------
    BusyError
        When another process holds it.
    """
    path = project.state / "run.lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise BusyError(path, file.read().strip() or "unknown") from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        with _ledger_lock(project):
            yield


def open_round(project: Project) -> int:
    """Return the number of the open round, starting a new one when there is none.

    Raises
    ------
    ConfigError
        When there is nothing to classify yet: no sample, or fewer than two classes.
    PoolExhaustedError
        When the query budget is larger than what can be asked about.
    """
    with project.ledger.write() as connection:
        newest = rounds.newest(connection)
        if newest is not None and newest.state == "open":
            return newest.number
        labels.add_classes(connection, project.config.data.classes)
        check_ready(connection, project.config)
        return rounds.start(connection, project.config.digest())


def next_phase(project: Project, round_number: int) -> str | None:
    """Return the first phase that is not done, None when the round is finished."""
    with project.ledger.read() as connection:
        done = rounds.phases(connection, round_number)
    return done[-1].next_phase if done else PHASES[0]


def advance(project: Project, round_number: int, progress: Progress | None = None) -> PhaseRecord:
    """Run the first phase that is not done, and record it with all it changes.

    Running it again after a crash gives the same result: every draw comes from a
    generator named by round and place, and what is written outside the ledger is named
    by its content.

    Raises
    ------
    PendingError
        When the phase has to wait for something. What it could do is in the ledger.
    LedgerError
        When the round is finished already.
    """
    with project.ledger.read() as connection:
        done = rounds.phases(connection, round_number)
    phase = done[-1].next_phase if done else PHASES[0]
    if phase is None:
        raise LedgerError(f"round {round_number} is finished; run again to start the next")
    started = time.perf_counter()
    reach(f"{phase}:before")
    work = getattr(importlib.import_module(f"holdfast.phases.{_HOMES[phase]}"), phase)
    result: PhaseResult = work(
        Turn(project=project, round_number=round_number, done=tuple(done), progress=progress)
    )
    if result.pending is not None:
        with project.ledger.write() as connection:
            rounds.apply(connection, result.changes, round_number)
            reach(f"{phase}:waiting")
        raise result.pending
    record = PhaseRecord(
        round_number=round_number,
        step=len(done) + 1,
        phase=phase,
        next_phase=result.back_to or _after(phase),
        outcome=result.outcome,
        seconds=time.perf_counter() - started,
    )
    reach(f"{phase}:worked")
    with project.ledger.write() as connection:
        rounds.record(connection, record, result.changes)
        reach(f"{phase}:recording")
    reach(f"{phase}:recorded")
    return record


def collect_now(project: Project) -> bool:
    """Take in the answers that are there, if the open round waits for any; go no further.

    Returns
    -------
    bool
        Whether the round can go on.

    Raises
    ------
    BusyError
        When another process runs this project: it collects by itself, or the next run will.
    """
    with exclusive(project):
        with project.ledger.read() as connection:
            newest = rounds.newest(connection)
        if newest is None or next_phase(project, newest.number) != "collect":
            return newest is not None and newest.state == "open"
        try:
            return advance(project, newest.number).next_phase != "send"
        except PendingError:
            return False


def rollback(project: Project, to_round: int, who: str) -> Promotion:
    """Return champion and labels to what they were at the end of a round.

    Nothing is deleted: what was said since then is left out of the labels that hold, and
    a rollback to a later round brings it back.

    Raises
    ------
    LedgerError
        When that round did not finish, or left no champion.
    """
    with exclusive(project), project.ledger.write() as connection:
        held_labels.hold_still(connection)
        ends = [r for r in rounds.phases(connection, to_round) if r.phase == "promote"]
        if not ends:
            raise LedgerError(
                f"round-{to_round} did not finish; `holdfast status` lists rounds that did"
            )
        champion, version_id = ends[-1].outcome["champion"], ends[-1].outcome["dataset_version"]
        if champion is None:
            raise LedgerError(f"round-{to_round} left no champion; choose a later round")
        target = models.version_by_id(connection, int(str(version_id)))
        newest = models.newest_version(connection)
        last = labels.last_event(connection)
        first = target.version.watermark + 1
        excluded = target.version.excluded + (((first, last),) if last >= first else ())
        moment = held_labels.refresh(
            connection,
            held_labels.changed_since(connection, target.version.moment or 0),
            Scope(last, excluded),
        )
        new_version = models.add_version(
            connection,
            DatasetVersion(
                round_number=to_round,
                parent=newest.id if newest else None,
                watermark=last,
                excluded=excluded,
                moment=moment.id,
                digest=moment.digest,
                num_labels=moment.num_labels,
                recipe={"rollback_to": to_round},
            ),
        )
        reach("rollback:version")
        current = models.champion(connection)
        promotion = Promotion(
            round_number=to_round,
            expected=current.champion if current else None,
            champion=str(champion),
            dataset_version=new_version,
            kind="rollback",
            verdict={"reason": f"rolled back to round {to_round}"},
            who=who,
        )
        models.promote(connection, promotion)
        return promotion


def _after(phase: str) -> str | None:
    place = PHASES.index(phase) + 1
    return PHASES[place] if place < len(PHASES) else None


@contextmanager
def _ledger_lock(project: Project) -> Iterator[None]:
    """Where the ledger is shared between machines, hold a lock inside it as well."""
    engine = project.ledger.engine
    if engine.dialect.name != "postgresql":
        yield
        return
    key = int.from_bytes(hashlib.sha256(b"holdfast run").digest()[:8], "big", signed=True)
    with engine.connect() as connection:
        if not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(key))):
            raise BusyError(project.state, "a process on another machine")
        try:
            yield
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(key)))
