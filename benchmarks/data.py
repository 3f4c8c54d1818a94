"""What Holdfast does with data, beside its peers: ingest, reads, augment, sampler, versions.

    python -m benchmarks.data --json out.json
    python -m benchmarks.data --only sampler --samples 1000000

Each part is measured in processes of its own. The JSON has one row per operation and method.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.continual import INTERRUPTED, whole_number
from benchmarks.measurement import MeasurementError, Row
from benchmarks.result_file import settings_of, write_result
from holdfast.errors import ConfigError, HoldfastError

# Part -> how many samples it takes where nobody says.
PARTS: Mapping[str, int] = {
    "ingest": 40_000,
    "reads": 20_000,
    "augment": 512,
    "sampler": 1_000_000,
    "versions": 100_000,
}
FEWEST = 100
WIDTH = 110


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Returns
    -------
    int
        0; 1 where a measurement failed, 2 where an argument cannot be used, 130 after an
        interrupt.
    """
    options = make_parser().parse_args(arguments)
    screen = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    result = {"benchmark": "data", "settings": settings_of(options), "rows": []}
    try:
        if options.samples is not None and options.samples < FEWEST:
            raise ConfigError(f"--samples should be at least {FEWEST}, not {options.samples}")
        for part in [options.only] if options.only else PARTS:
            screen.print(f"measuring {part} ...")
            result["rows"] += measure(part, options.samples)
            write_result(options.json, result)
    except HoldfastError as error:
        print(f"data: {error}", file=sys.stderr)
        return 1 if isinstance(error, MeasurementError) else error.exit_code
    except KeyboardInterrupt:
        print("data: interrupted", file=sys.stderr)
        return INTERRUPTED
    Console(width=WIDTH).print(table(result["rows"]))
    if options.json is not None:
        print(f"wrote {options.json}")
    return 0


def measure(part: str, samples: int | None) -> list[Row]:
    """Return the rows of one part.

    Raises
    ------
    MeasurementError
        If a measured process fails.
    """
    found: list[Row] = importlib.import_module(f"benchmarks.data_{part}").rows(
        samples or PARTS[part]
    )
    return found


def table(rows: Sequence[Row]) -> Table:
    """Lay the rows out for people."""
    shown = Table(box=SIMPLE_HEAD, title="Data")
    for name in ("operation", "method"):
        shown.add_column(name, overflow="fold")
    for name in ("samples", "seconds", "per second", "p50 ms", "p99 ms", "peak MB"):
        shown.add_column(name, justify="right")
    for row in rows:
        shown.add_row(
            row["operation"],
            row["method"],
            f"{row['samples']:,}",
            f"{row['seconds']:.3f}",
            f"{row['per_second']:,.0f}",
            _milliseconds(row, "p50_ms"),
            _milliseconds(row, "p99_ms"),
            f"{row['peak_mb']:,.0f}",
        )
    return shown


def make_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.data",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", choices=tuple(PARTS), help="measure this part alone")
    parser.add_argument("--samples", type=whole_number, help="default: a number for each part")
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    return parser


def _milliseconds(row: Row, name: str) -> str:
    return f"{row[name]:.2f}" if name in row else "-"


if __name__ == "__main__":
    sys.exit(main())
