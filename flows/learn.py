"""The learning half of the loop as a flow: snapshot to report, where answers are in."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from holdfast.flows.phase_tasks import run_phases
from holdfast.loop import LEARN


@flow(name="learn", persist_result=False)
def learn(config: str) -> State[Any]:
    """Take the open round from its answers to its end; start none."""
    return run_phases(config, LEARN)
