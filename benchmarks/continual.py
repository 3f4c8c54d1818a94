"""Holdfast beside stock Avalanche where classes come one after another.

    python -m benchmarks.continual --data DIR --panel clean --seeds 0,1,2,3,4 --json out.json
    python -m benchmarks.continual --data DIR --panel noisy,online --methods holdfast,joint
    python -m benchmarks.continual --data DIR --throughput

`--data DIR` holds train.npz and test.npz (X uint8, y). Every method gets the same network
(two hidden layers of 400), the same passes over the new samples and the same buffer; they
run one after another, each in a process of its own. The JSON has one row per panel, method
and seed, and is written anew after each, so an interrupt loses nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.closed_loop import RECIPE, seed_list
from benchmarks.continual_tables import WIDTH, tables
from benchmarks.measurement import Job, MeasurementError, Row, apart
from benchmarks.methods import DEFAULT_METHODS, GROWTH_METHODS, METHODS, find_method
from benchmarks.panels import PANELS, Panel, build_stream, find_panel
from benchmarks.result_file import settings_of, write_result
from benchmarks.sources import read_source
from holdfast.errors import ConfigError, HoldfastError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Returns
    -------
    int
        0; 1 where a method failed (the others have their rows); 2 where an argument or the
        data cannot be used; 130 after an interrupt.
    """
    options = make_parser().parse_args(arguments)
    result = _Result(options)
    screen = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    code = 0
    try:
        for job in list(jobs(options)):
            result.add(_measured(job, screen))
        for measured in _throughput(options, screen):
            result.throughput.extend(measured)
            result.write()
    except HoldfastError as error:
        print(f"continual: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("continual: interrupted; the rows so far are kept", file=sys.stderr)
        code = INTERRUPTED
    for table in tables(result.rows, result.throughput):
        Console(width=WIDTH).print(table)
    if result.path is not None and (result.rows or result.throughput or result.failures):
        print(f"wrote {result.path}")
    return code or int(bool(result.failures))


def jobs(options: argparse.Namespace) -> Iterator[Job]:
    """Give the rows to measure, in order; everything is checked before the first.

    Raises
    ------
    ConfigError
        If a panel, a method or the data cannot be used.
    """
    names = options.panel
    if names is None:
        names = [] if options.throughput or options.gpu else list(PANELS)
    panels = [_adjusted(find_panel(name), options) for name in dict.fromkeys(names)]
    for method in options.methods or ():
        find_method(method)
    for panel in panels:
        # The set must fit the panel: better said now than after an hour.
        build_stream(panel, read_source(options.data, options.seeds[0]), options.seeds[0])
    for panel in panels:
        chosen = options.methods
        if chosen is None:
            chosen = GROWTH_METHODS if panel.name == "growth" else DEFAULT_METHODS
        for seed in options.seeds:
            for method in dict.fromkeys(chosen):
                yield _job(options, panel, method, seed)


class _Result:
    """What has been measured so far, on disk after each row."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.path: Path | None = options.json
        self.rows: list[Row] = []
        self.failures: list[dict[str, Any]] = []
        self.throughput: list[dict[str, Any]] = []
        self._settings = settings_of(options)
        self._made_at = time.strftime("%Y-%m-%dT%H:%M:%S")

    def add(self, measured: tuple[Row | None, dict[str, Any] | None]) -> None:
        row, failure = measured
        if row is not None:
            self.rows.append(row)
        if failure is not None:
            self.failures.append(failure)
        self.write()

    def write(self) -> None:
        result = {
            "benchmark": "continual",
            "made_at": self._made_at,
            "settings": self._settings,
            "rows": self.rows,
            "failures": self.failures,
            "throughput": self.throughput,
        }
        write_result(self.path, result)


def _measured(job: Job, screen: Console) -> tuple[Row | None, dict[str, Any] | None]:
    label = f"{job.panel.name:<16}  seed {job.seed}  {job.method:<19}"
    try:
        with screen.status(label):
            row = apart("benchmarks.measurement:play", job)
    except MeasurementError as error:
        screen.print(f"{label}  failed: {error}", highlight=False, style="red")
        return None, {
            "panel": job.panel.name,
            "method": job.method,
            "seed": job.seed,
            "reason": str(error),
        }
    rarest = row["rarest3_recall"]
    screen.print(
        f"{label}  accuracy {row['accuracy']:.3f}  "
        f"rarest 3 {'none' if rarest is None else format(rarest, '.3f')}  "
        f"forgetting {row['forgetting']:6.3f}  {row['seconds']:6.1f} s",
        highlight=False,
    )
    return row, None


def _throughput(options: argparse.Namespace, screen: Console) -> Iterator[list[dict[str, Any]]]:
    if not (options.throughput or options.gpu):
        return
    job = _job(options, PANELS["clean"], "holdfast", options.seeds[0])
    if options.throughput:
        with screen.status("throughput"):
            yield apart("benchmarks.throughput:measure_cpu", job)["entries"]
    if options.gpu:
        with screen.status("throughput on the GPU"):
            measured = apart("benchmarks.throughput:measure_gpu", job)
        if not measured["entries"]:
            screen.print("no GPU here: its throughput is left out")
        yield measured["entries"]


def _job(options: argparse.Namespace, panel: Panel, method: str, seed: int) -> Job:
    return Job(
        data=options.data,
        panel=panel,
        method=method,
        seed=seed,
        recipe=options.recipe,
        threads=options.threads,
    )


def _adjusted(panel: Panel, options: argparse.Namespace) -> Panel:
    changes = {
        name: value
        for name in ("buffer", "epochs")
        if (value := getattr(options, name)) is not None
    }
    if panel.online and changes.get("epochs", 1) > 1:
        raise ConfigError(
            "--epochs has no meaning on the panel online, where each sample is seen once; "
            "leave it out, or run that panel alone"
        )
    return dataclasses.replace(panel, **changes)


def name_list(text: str) -> list[str]:
    """Read `a,b`."""
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"expected names joined by commas, not {text!r}")
    return names


def whole_number(text: str) -> int:
    """Read a number from 1."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, not {text!r}")
    return int(text)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the benchmark's options."""
    panels = "\n".join(
        f"  {panel.name:<17} {panel.about}; buffer {panel.buffer}, passes {panel.epochs}"
        for panel in PANELS.values()
    )
    methods = "\n".join(f"  {name}" for name in METHODS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.continual",
        description=__doc__,
        epilog=f"panels:\n{panels}\n\nmethods:\n{methods}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", default="digits", help="digits, or a folder (default: digits)")
    parser.add_argument("--panel", type=name_list, help="comma-separated (default: all)")
    parser.add_argument("--buffer", type=whole_number, help="exemplars (default: the panel's)")
    parser.add_argument("--epochs", type=whole_number, help="passes (default: the panel's)")
    parser.add_argument("--seeds", type=seed_list, default=[0], help="comma-separated (default: 0)")
    parser.add_argument(
        "--methods",
        type=name_list,
        help="comma-separated (default: all but avalanche-ewc; on growth holdfast, "
        "avalanche-replay and avalanche-ewc)",
    )
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="TOML of Holdfast's settings")
    parser.add_argument("--threads", type=whole_number, default=1, help="CPU threads (default: 1)")
    parser.add_argument(
        "--throughput", action="store_true", help="also time the loops against a plain one"
    )
    parser.add_argument("--gpu", action="store_true", help="the same on a GPU, in bfloat16")
    return parser


if __name__ == "__main__":
    sys.exit(main())
