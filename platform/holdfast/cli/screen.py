"""Progress on stderr: bars for a person at a terminal, a line per phase for a log."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from holdfast.store.rounds import PhaseRecord


class _Speed(ProgressColumn):
    """Samples a second, once there is something to go by."""

    def render(self, task: Task) -> Text:
        """Return the speed of the last half minute."""
        return Text("" if task.speed is None else f"{task.speed:,.0f} samples/s")


class Screen:
    """Shows how far a command is, as long as its block lasts; never writes to stdout."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Speed(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not sys.stderr.isatty(),
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}

    def show(self, what: str, done: int, total: int) -> None:
        """Show that `done` of `total` samples went through something."""
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done, total=total)

    def phase_done(self, record: PhaseRecord) -> None:
        """Write a line about a phase that is done, and drop the bars it had."""
        for task in self._tasks.values():
            self._progress.remove_task(task)
        self._tasks.clear()
        said = f"round {record.round_number}  {record.phase:<9}  {record.seconds:6.1f} s"
        self._console.print(said, highlight=False, markup=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()
