"""The whole loop as one flow: asks, waits for people, learns, promotes."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from holdfast.errors import TransientError
from holdfast.flows.session import prefect_session

# isort: split
from prefect import flow
from prefect.client.schemas.objects import State

from holdfast.flows.phase_tasks import OnPhase, listening, run_phases
from holdfast.loop import PHASES, RoundOutcome, exclusive
from holdfast.phases.turn import Progress
from holdfast.project import Project


@flow(name="closed-loop", persist_result=False)
def closed_loop(config: str) -> State[Any]:
    """Take the open round, or a new one, through all its phases."""
    return run_phases(config, PHASES)


def run(
    config_path: Path,
    on_phase: OnPhase | None = None,
    progress: Progress | None = None,
    *,
    debug: bool = False,
) -> RoundOutcome:
    """Run the flow in this process, as `holdfast.loop.run_round` does without Prefect.

    Parameters
    ----------
    config_path : Path
        A project's `holdfast.toml`, or its folder.
    on_phase : callable, optional
        Called with each phase's record once it is in the ledger.
    progress : callable, optional
        Handed to the phases.
    debug : bool
        Let Prefect's log lines through to the screen.

    Raises
    ------
    AnnotationsPendingError
        When people have to answer first. Call again once they have.
    BusyError
        When another process runs this project.
    HoldfastError
        Whatever else a phase raised, unchanged.
    """
    # Both of these would surface inside the flow as well, but only after a server's start.
    with Project.open(config_path) as project, exclusive(project):
        root = project.root
    with prefect_session(root, debug=debug) as session, listening(on_phase, progress):
        if session.server is not None:
            # A server takes seconds to start, on a core of its own. Meanwhile: torch.
            importlib.import_module("holdfast.phases.ask")
        session.wait()
        state = closed_loop(str(config_path.resolve()), return_state=True)
    result = state.result(raise_on_failure=False)
    if isinstance(result, BaseException):
        raise result
    if not isinstance(result, RoundOutcome):
        raise TransientError(f"Prefect ended the run as {state.name}: {state.message}")
    return result
