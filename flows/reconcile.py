"""Says in Prefect what became of runs whose process was killed.

A killed process cannot report its end, so Prefect shows its run as running for ever. The
ledger needs nothing (a phase is recorded whole or not at all): this is for the view alone.
"""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Crashed

from holdfast.processes import is_alive

logger = logging.getLogger(__name__)

PROJECT = "holdfast.project"
HOST = "holdfast.host"
PROCESS = "holdfast.process"


def claim(root: Path, flow_run: FlowRun, round_number: int) -> None:
    """Name the running flow run, mark it as this process's, and end its dead siblings.

    Call with the project's run lock held, so that no run comes between.
    """
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run(flow_run.id, name=f"{root.name} round {round_number}")
            client.update_flow_run_labels(
                flow_run.id,
                {PROJECT: str(root), HOST: socket.gethostname(), PROCESS: os.getpid()},
            )
            for dead in _dead_runs(client, root):
                _end(client, dead)
    except httpx.HTTPError as error:
        logger.warning("Prefect did not take a run's name and process: %s", error)


def _dead_runs(client: SyncPrefectClient, root: Path) -> list[FlowRun]:
    running = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING]))
    )
    return [
        run
        for run in client.read_flow_runs(flow_run_filter=running)
        if run.labels.get(PROJECT) == str(root)
        # A process is known by its number on its own machine only.
        and run.labels.get(HOST) == socket.gethostname()
        and not is_alive(int(str(run.labels.get(PROCESS))))
    ]


def _end(client: SyncPrefectClient, run: FlowRun) -> None:
    message = "Its process ended without a report; the ledger kept every finished phase."
    tasks = client.read_task_runs(
        flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])),
        task_run_filter=TaskRunFilter(
            state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.RUNNING]))
        ),
    )
    for task in tasks:
        client.set_task_run_state(task.id, Crashed(message=message), force=True)
    client.set_flow_run_state(run.id, Crashed(message=message), force=True)
