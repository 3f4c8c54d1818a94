"""Thousands of questions through a real Label Studio: nothing lost, nothing doubled, how fast.

    python -m benchmarks.label_studio --json out.json
    python -m benchmarks.label_studio --tasks 1000

Starts a Label Studio of its own, on SQLite in a temporary folder. A project sends its
questions with a guess each; all but one are answered with the guess, by the server's own bulk
action; the answers are collected by the oracle alone, and then as a user does it. The peer in the
same run is the server's own speed: reading all tasks with their answers, in pages and as an
export, without anything done with them. The JSON has one row per operation.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.continual import INTERRUPTED, whole_number
from benchmarks.label_studio_world import BULK, Meter, open_world
from benchmarks.measurement import MeasurementError, Row
from benchmarks.result_file import settings_of, write_result
from holdfast.annotation.label_studio_answers import OVERLAP
from holdfast.errors import ConfigError, HoldfastError

WIDTH = 100
PEERS = ("list", "export")
QUIET_LOOKS = 3
# Label Studio tells its time in whole seconds.
_ROUNDING = 2.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Returns
    -------
    int
        0; 1 where an answer was lost or doubled, or the server failed; 2 where an argument
        cannot be used; 130 after an interrupt.
    """
    options = make_parser().parse_args(arguments)
    screen = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    try:
        if options.tasks < 2:
            raise ConfigError(f"--tasks should be at least 2, not {options.tasks}")
        with tempfile.TemporaryDirectory(prefix="label-studio-") as folder:
            result = measure(Path(folder), options.tasks, screen)
    except HoldfastError as error:
        print(f"label_studio: {error}", file=sys.stderr)
        return 1 if isinstance(error, MeasurementError) else error.exit_code
    except KeyboardInterrupt:
        print("label_studio: interrupted", file=sys.stderr)
        return INTERRUPTED
    shown = {"benchmark": "label_studio", "settings": settings_of(options), **result}
    write_result(options.json, shown)
    Console(width=WIDTH).print(table(result["rows"]))
    print(f"{result['lost']} lost, {result['doubled']} doubled")
    if options.json is not None:
        print(f"wrote {options.json}")
    return 1 if result["lost"] or result["doubled"] else 0


def measure(folder: Path, num_tasks: int, screen: Console) -> Row:
    """Send, answer and collect so many tasks.

    Returns
    -------
    dict
        `lost`: questions without a task, or whose answer is not in the ledger as the server
        has it. `doubled`: tasks and answers beyond one a question. `collect_ratio`: speed of
        collecting against the faster of the server's own ways to list. `rows`: per operation
        `tasks`, `seconds`, `per_second`, `requests`, and `peak_mb`, the most memory beyond
        what was held before, in MiB.
    """
    meter = Meter(screen)
    with open_world(folder, num_tasks, screen) as world:
        most = num_tasks - 1
        with meter.measuring("send", num_tasks):
            world.step()
        ids = world.list_pages()
        with meter.measuring("answer", most):
            for start in range(0, most, BULK):
                world.accept_guesses(ids[:most][start : start + BULK])
        answered = time.monotonic()
        for name, read in (("list", world.list_pages), ("export", world.export)):
            with meter.measuring(name, num_tasks):
                read()
        with meter.measuring("collect_oracle", most):
            world.look_without_recording()
        with meter.measuring("collect", most):
            world.collect()
        # What changed shortly before a look is listed once more, when no change of that time
        # can come to light any more: here, that may be all.
        time.sleep(max(answered + OVERLAP.total_seconds() + _ROUNDING - time.monotonic(), 0.0))
        with meter.measuring("collect_last_look", 0):
            world.collect()
        for _ in range(QUIET_LOOKS):
            with meter.measuring("collect_nothing_new", 0):
                world.collect()
        world.accept_guesses(ids[most:])
        with meter.measuring("collect_one", 1):
            world.collect()
        lost, doubled = world.count_faults()
    speeds = {row["operation"]: row["per_second"] for row in meter.rows}
    return {
        "lost": lost,
        "doubled": doubled,
        "collect_ratio": speeds["collect"] / max(speeds[name] for name in PEERS),
        "rows": meter.rows,
    }


def table(rows: Sequence[Row]) -> Table:
    """Return the rows as a table."""
    shown = Table(title="Label Studio as the queue", box=SIMPLE_HEAD)
    shown.add_column("operation", no_wrap=True)
    for title in ("tasks", "seconds", "per second", "requests", "peak MiB"):
        shown.add_column(title, justify="right")
    for row in rows:
        shown.add_row(
            row["operation"],
            f"{row['tasks']:,}",
            f"{row['seconds']:.2f}",
            f"{row['per_second']:,.0f}" if row["tasks"] else "",
            f"{row['requests']:,}",
            f"{row['peak_mb']:.0f}",
        )
    return shown


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the benchmark's options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.label_studio",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--tasks", type=whole_number, default=10_000, help="questions to send (default: 10000)"
    )
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
