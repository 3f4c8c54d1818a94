"""Work in a process of its own, which a failpoint may kill."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

from holdfast import failpoints
from holdfast.data.export import export
from holdfast.loop import rollback, run_round
from holdfast.project import Project
from holdfast.store import models

# Torch must not be used before a fork, so the processes to kill come from a server that
# has imported everything and run nothing.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "holdfast.annotation.csv_files",
        "holdfast.annotation.simulated",
        "holdfast.learning.teaching",
        "holdfast.loop",
        "holdfast.phases.ask",
        "holdfast.phases.collecting",
        "holdfast.phases.consensus",
        "holdfast.phases.judge",
        "holdfast.phases.label_studio",
        "holdfast.phases.learn",
        "holdfast.quality.image_issues",
        "holdfast.query.uncertainty",
        "pytest",
        "sklearn.linear_model",
    ]
)


def play(root: Path, rounds: int) -> None:
    """Run rounds to their end, or to where they wait for people."""
    with Project.open(root) as project:
        for _ in range(rounds):
            run_round(project)


def undo(root: Path) -> None:
    """Go back to the end of the first round."""
    with Project.open(root) as project:
        rollback(project, 1, "test")


def export_version(root: Path) -> None:
    """Export the ledger's first version into the project's folder."""
    with Project.open(root) as project:
        with project.ledger.read() as connection:
            stored = models.version_by_id(connection, 1)
        export(project.ledger, project.images, stored, root / "out", "folder")


def end_of(work: Callable[..., None], *arguments: object, failpoint: str | None = None) -> object:
    """Run one of the functions above in a process; its exit code, negative for a signal."""
    # By file, not by name: Avalanche installs a package `tests`, which hides this folder.
    call = f"import runpy; runpy.run_path({__file__!r})[{work.__name__!r}](*arguments)"
    names = {"arguments": arguments, "failpoint": failpoint}
    process = FORKS.Process(target=exec, args=(_ARMED + call, names))
    process.start()
    process.join(timeout=300)
    return process.exitcode


_ARMED = f"""
import os
if failpoint is not None:
    os.environ[{failpoints.VARIABLE!r}] = failpoint
"""
