"""The asking half of the loop as a flow: audit to consensus, then stop."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from holdfast.flows.phase_tasks import run_phases
from holdfast.loop import ASK


@flow(name="ask", persist_result=False)
def ask(config: str) -> State[Any]:
    """Take the open round, or a new one, to where the learning flow goes on."""
    return run_phases(config, ASK)
