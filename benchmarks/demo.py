"""The loop on handwritten digits, live: what `make demo` shows.

    python -m benchmarks.demo [--seed N] [--out FOLDER]

Six rounds run as Prefect flows on an embedded server; then the references live through the
same world. Everything is measured on a clean, balanced test set nobody learns from.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks.closed_loop import RECIPE, make_parser, make_world
from benchmarks.scoreboard import Row, Scoreboard
from benchmarks.world import World
from holdfast.errors import HoldfastError

WIDTH = 88


def main() -> int:
    """Run the demo; 0 when it came to its end, else the exit code of what stopped it."""
    try:
        return _run(_options())
    except HoldfastError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_code


def _run(options: argparse.Namespace) -> int:
    started = time.perf_counter()
    screen = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    world = make_world(make_parser().parse_args([]), options.seed)
    _introduce(screen, world)
    out: Path = options.out
    shutil.rmtree(out / "project", ignore_errors=True)
    with _Live(screen) as live:
        live.done("Loading torch, Avalanche, cleanlab, modAL and Prefect ...")
        scoreboards = _play(world, out / "project", live)
        live.say("writing the report")
        page, data = _report(world, out, scoreboards)
    rows = [row for board in scoreboards for row in board.rows]
    screen.print(_table(scoreboards))
    _conclude(screen, rows)
    screen.print(
        f"\n{time.perf_counter() - started:.0f} s, {_peak_gb():.1f} GB of memory at most\n"
    )
    for what, path in (("report", page), ("numbers", data), ("project", out / "project")):
        screen.print(f"{what:<8} {path.resolve()}", soft_wrap=True)
    screen.print(f"\nLook into the project: .venv/bin/holdfast status --config {out / 'project'}")
    return 0


def _peak_gb() -> float:
    """Return the most memory this process and its largest child, Prefect's server, held."""
    unit = 2**30 if sys.platform == "darwin" else 2**20
    held = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(who).ru_maxrss for who in held) / unit


class _Live:
    """A line that says what is going on, and a line for each thing that is done."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=screen,
            transient=True,
            disable=not screen.is_terminal,
        )
        self._task = self._progress.add_task("", total=None)

    def say(self, what: str) -> None:
        """Say what is going on."""
        self._progress.update(self._task, description=what, completed=0, total=None)

    def show(self, what: str, done: int, total: int) -> None:
        """Show how far it is."""
        self._progress.update(self._task, description=what, completed=done, total=total)

    def done(self, said: str) -> None:
        """Leave a line that stays."""
        self._screen.print(said)

    def __enter__(self) -> _Live:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _introduce(screen: Console, world: World) -> None:
    counts = sorted(world.true_counts_k.tolist(), reverse=True)
    labeled = int((world.given_n >= 0).sum())
    wrong = int(((world.given_n >= 0) & (world.given_n != world.source.train_labels_n)).sum())
    screen.print(
        f"[bold]Holdfast on handwritten digits[/] (seed {world.seed})\n"
        f"{sum(counts)} training images in a long tail ({counts[0]} of the most frequent digit, "
        f"{counts[-1]} of the rarest).\n"
        f"{labeled} have a label at the start, {wrong} of these are wrong. "
        f"{len(world.start_classes)} digits are known; the others turn up in later rounds.\n"
        f"{world.budget} answers a round for {world.rounds} rounds; "
        f"{world.answer_noise:.0%} of the answers are wrong.\n"
    )


def _play(world: World, folder: Path, live: _Live) -> list[Scoreboard]:
    from benchmarks.comparison import comparisons
    from benchmarks.product import Product, read_recipe
    from holdfast.config import load
    from holdfast.flows import closed_loop
    from holdfast.flows.session import prefect_session

    product = Product(world, folder, read_recipe(RECIPE))
    with prefect_session(folder):
        for number in range(1, world.rounds + 1):
            row = product.play_round(
                number,
                closed_loop.run,
                on_phase=lambda record: live.say(
                    f"round {record.round_number}: {record.next_phase or 'done'}"
                ),
                progress=live.show,
            )
            live.done(_line(row))
    boards = [product.scoreboard]
    config = load(folder)
    for comparison in comparisons(world, config):
        for number in range(1, world.rounds + 1):
            live.say(f"{comparison.scoreboard.arm}: round {number}")
            live.done(_line(comparison.play_round(number)))
        boards.append(comparison.scoreboard)
    return boards


def _line(row: Row) -> str:
    return (
        f"{row.arm:<11} round {row.round}  macro-F1 {row.macro_f1:.3f}  rare-class recall "
        f"{row.rare_recall:.3f}  wrong labels left {row.wrong_labels_left}"
    )


def _table(boards: list[Scoreboard]) -> Table:
    table = Table(title="On the clean test set", title_justify="left")
    for name in ("arm", "round", "labels"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for name in ("macro-F1", "rare-class recall", "forgetting", "wrong labels found"):
        table.add_column(name, justify="right")
    for board in boards:
        for row in board.rows:
            trusts = board.arm in ("naive", "stock", "upper-bound")
            table.add_row(
                board.arm if row.round == 1 else "",
                str(row.round),
                str(row.labels_used),
                f"{row.macro_f1:.3f}",
                f"{row.rare_recall:.3f}",
                f"{row.forgetting:+.3f}",
                "-" if trusts else str(row.wrong_labels_found),
                end_section=row is board.rows[-1],
            )
    return table


def _conclude(screen: Console, rows: list[Row]) -> None:
    last = {row.arm: row for row in rows}
    ours, stock, bound = last["holdfast"], last["stock"], last["upper-bound"]
    screen.print(
        f"Holdfast ends at macro-F1 {ours.macro_f1:.3f}: {ours.macro_f1 - stock.macro_f1:+.3f} "
        f"against stock Avalanche replay ({stock.macro_f1:.3f}), "
        f"{ours.macro_f1 - bound.macro_f1:+.3f} against the upper bound ({bound.macro_f1:.3f}), "
        f"which was given all {bound.labels_used} labels and every one of them right."
    )


def _report(world: World, out: Path, boards: list[Scoreboard]) -> tuple[Path, Path]:
    from holdfast.evaluation import report
    from holdfast.evaluation.report_data import Arm, RoundResult
    from holdfast.phases.summary import summarize
    from holdfast.project import Project

    arms = tuple(
        Arm(
            name=board.arm,
            rounds=tuple(
                RoundResult(
                    number=row.round,
                    metrics=metrics,
                    labels_used=row.labels_used,
                    wrong_labels_found=row.wrong_labels_found if board.arm == "holdfast" else None,
                    seconds=row.seconds,
                )
                for row, metrics in zip(board.rows, board.metrics, strict=True)
            ),
        )
        for board in boards
    )
    with Project.open(out / "project") as project:
        found = summarize(project, world.rounds)
    # The project's classes are numbered as the world's: its config lists them in order.
    data = replace(
        found,
        title="Holdfast on handwritten digits",
        arms=arms,
        rare_counts=tuple(world.true_counts_k.tolist()),
    )
    page, numbers = out / "report.html", out / "report.json"
    report.write(page, numbers, data)
    written = json.loads(numbers.read_text())
    written["rows"] = [row.to_json() for board in boards for row in board.rows]
    numbers.write_text(json.dumps(written, indent=1) + "\n")
    return page, numbers


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="another world (default: 0)")
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder (default: demo)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
