"""The phases of a round as Prefect tasks: their order, their retries, how a run ends.

How a flow run ends, and why that state:

=================== ========= ============================================================
`Completed`         COMPLETED the phases asked for are done
`WaitingForAnswers` COMPLETED people have to answer first. Not PAUSED: a paused run keeps
                              its concurrency slot, offers a "Resume" that does nothing
                              here and fails when its pause runs out. The round stays open
                              in the ledger, and the next scheduled run looks again.
`NothingToDo`       COMPLETED no round is open, or the open one is in its other half
`Busy`              COMPLETED another process runs this project, and does what is to be done
`Failed`            FAILED    an error; a TransientError only after its retries
=================== ========= ============================================================
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from prefect.utilities.annotations import quote

from holdfast.errors import BusyError, PendingError, TransientError
from holdfast.flows import reconcile
from holdfast.loop import (
    LEARN,
    PHASES,
    RoundOutcome,
    advance,
    exclusive,
    next_phase,
    open_round,
)
from holdfast.phases.turn import Progress
from holdfast.project import Project
from holdfast.store import rounds
from holdfast.store.rounds import PhaseRecord

OnPhase = Callable[[PhaseRecord], None]

WAITING = "WaitingForAnswers"
NOTHING_TO_DO = "NothingToDo"
BUSY = "Busy"
RETRY_DELAYS = (2.0, 10.0)

_listeners: ContextVar[tuple[OnPhase | None, Progress | None]] = ContextVar(
    "listeners", default=(None, None)
)


@contextmanager
def listening(on_phase: OnPhase | None, progress: Progress | None) -> Iterator[None]:
    """Tell these two how runs in this block come along; a flow's parameters cannot."""
    token = _listeners.set((on_phase, progress))
    try:
        yield
    finally:
        _listeners.reset(token)


def run_phases(config: str, phases: Sequence[str]) -> State[Any]:
    """Take the open round through those of the phases that come next.

    Parameters
    ----------
    config : str
        Path of a project's `holdfast.toml`, or of its folder.
    phases : sequence of str
        Where the run stops: at the first phase that is not among them. A run that does
        not ask never starts a round.

    Returns
    -------
    State
        See the table above; its data is a `RoundOutcome`, or the error that ended the run.
    """
    try:
        with Project.open(Path(config)) as project, exclusive(project):
            number = _round_number(project, starts=PHASES[0] in phases)
            if number is None:
                return Completed(name=NOTHING_TO_DO, message="No round is open.")
            context = FlowRunContext.get()
            if context is not None and context.flow_run is not None:
                reconcile.claim(project.root, context.flow_run, number)
            return _advance_through(project, number, phases)
    except PendingError as pending:
        return Completed(name=WAITING, message=str(pending), data=pending)
    except BusyError as busy:
        return Completed(name=BUSY, message=str(busy), data=busy)
    except Exception as error:
        # Returned, not raised: Prefect stores a raised error as a pickle.
        get_run_logger().exception("The run failed")
        return Failed(message=f"{type(error).__name__}: {error}", data=error)


def _round_number(project: Project, *, starts: bool) -> int | None:
    if starts:
        return open_round(project)
    with project.ledger.read() as connection:
        newest = rounds.newest(connection)
    return newest.number if newest is not None and newest.state == "open" else None


def _advance_through(project: Project, number: int, phases: Sequence[str]) -> State[Any]:
    records: list[PhaseRecord] = []
    # Not a list of phases run one by one: consensus may lead back to send.
    phase = next_phase(project, number)
    while phase is not None and phase in phases:
        # Quoted, or Prefect would look for futures inside the project.
        call = (quote(project), number)
        # Typed as a coroutine, which it is for an async function only.
        state: State[Any] = TASKS[phase](*call, return_state=True)  # type: ignore[assignment]
        result = state.result(raise_on_failure=False)
        if isinstance(result, BaseException):
            raise result
        records.append(result)
        on_phase, _ = _listeners.get()
        if on_phase is not None:
            on_phase(result)
        phase = next_phase(project, number)
    outcome = RoundOutcome(round_number=number, finished=phase is None, phases=tuple(records))
    if not records:
        half = "learning" if phase in LEARN else "asking"
        message = f"Round {number} goes on with {phase}, which is for the {half} flow."
        return Completed(name=NOTHING_TO_DO, message=message, data=outcome)
    end = "is finished" if phase is None else f"goes on with {phase}"
    return Completed(message=f"Round {number} {end}.", data=outcome)


def _run_phase(project: Project, round_number: int) -> PhaseRecord | State[Any]:
    try:
        _, progress = _listeners.get()
        return advance(project, round_number, progress)
    except PendingError as pending:
        return Completed(name=WAITING, message=str(pending), data=pending)


def _is_transient(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:  # noqa: ARG001
    return isinstance(state.result(raise_on_failure=False), TransientError)


TASKS: dict[str, Task[..., Any]] = {
    phase: Task(
        _run_phase,
        name=phase,
        task_run_name=f"{phase}, round {{round_number}}",
        retries=len(RETRY_DELAYS),
        retry_delay_seconds=list(RETRY_DELAYS),
        retry_condition_fn=_is_transient,
        persist_result=False,
        cache_policy=NO_CACHE,
    )
    for phase in PHASES
}
