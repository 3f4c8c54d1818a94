"""`holdfast run`: take the round as far as it can go."""

from __future__ import annotations

import importlib
from argparse import Namespace
from collections.abc import Mapping

from holdfast.cli.output import Result, table
from holdfast.cli.screen import Screen
from holdfast.loop import RoundOutcome, run_round
from holdfast.project import Project

# Flows stand above the command line in the import layers, and Prefect takes seconds to
# import, so this is reached by name like a command.
_FLOW = "holdfast.flows.closed_loop"


def run(options: Namespace) -> Result:
    """Run the open round, or a new one, to its end.

    Raises
    ------
    AnnotationsPendingError
        When people have to answer first.
    BusyError
        When another process runs this project.
    """
    if options.no_prefect:
        with Project.open(options.config) as project, Screen() as screen:
            outcome = run_round(project, screen.phase_done, screen.show)
    else:
        flow = importlib.import_module(_FLOW)
        with Screen() as screen:
            outcome = flow.run(options.config, screen.phase_done, screen.show, debug=options.debug)
    return _result(outcome)


def _result(outcome: RoundOutcome) -> Result:
    phases = [
        {"phase": record.phase, "seconds": record.seconds, "outcome": dict(record.outcome)}
        for record in outcome.phases
    ]
    data = {"round": outcome.round_number, "finished": outcome.finished, "phases": phases}
    state = "finished" if outcome.finished else "open"
    rows = [
        [record.phase, f"{record.seconds:.1f} s", summary(record.outcome)]
        for record in outcome.phases
    ]
    text = f"round {outcome.round_number} {state}"
    if rows:
        text += "\n\n" + table(["phase", "time", "what came of it"], rows)
    return Result(data=data, text=text)


def summary(outcome: Mapping[str, object]) -> str:
    """Say a phase's outcome in a line: the gate's reason, else its plain values."""
    verdict = outcome.get("verdict")
    if isinstance(verdict, Mapping) and "reason" in verdict:
        return str(verdict["reason"])
    said = []
    for name, value in outcome.items():
        if value is None or isinstance(value, Mapping | list):
            continue
        is_digest = isinstance(value, str) and len(value) == 64
        shown = value[:12] if is_digest and isinstance(value, str) else value
        said.append(f"{name.replace('_', ' ')} {_plain(shown)}")
    return ", ".join(said)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3f}" if isinstance(value, float) else str(value)
