"""Which labels are wrong: Holdfast's ranking and cut beside cleanlab's.

    python -m benchmarks.label_quality --probs FILE.npz --probs OTHER.npz --json out.json
    python -m benchmarks.label_quality --review DIR
    python -m benchmarks.label_quality --scale 1000000x100

FILE.npz holds labels, pred_probs (out of sample) and true_labels or label_errors_mask; or
given, pred_probs, mturk_id and mturk_given, where people reviewed a part, as in all files
of DIR. Methods run one after another, each in a process of its own, on one processor.
cleanlab's row is its order by self-confidence and its default filter. The JSON is written
anew after each row, so an interrupt loses nothing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.continual import INTERRUPTED
from benchmarks.label_quality_inputs import Reviewed, make_input, read_input
from benchmarks.label_quality_methods import METHODS, QualityJob
from benchmarks.label_quality_tables import WIDTH, tables
from benchmarks.measurement import MeasurementError, Row, apart
from benchmarks.result_file import write_result
from holdfast.errors import ConfigError, HoldfastError

# What every child needs, imported once.
PRELOADED = ("benchmarks.label_quality_methods", "cleanlab.filter", "sklearn.metrics")
PLAY = "benchmarks.label_quality_methods:play"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Returns
    -------
    int
        0; 1 where a method failed (the others have their rows); 2 where an argument or a
        file cannot be used; 130 after an interrupt.
    """
    options = make_parser().parse_args(arguments)
    rows: list[Row] = []
    failures: list[Row] = []
    screen = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    code = 0
    try:
        for row in _rows(options, screen):
            (failures if "reason" in row else rows).append(row)
            _write(options, rows, failures)
    except HoldfastError as error:
        print(f"label_quality: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("label_quality: interrupted; the rows so far are kept", file=sys.stderr)
        code = INTERRUPTED
    for table in tables(rows):
        Console(width=None if sys.stdout.isatty() else WIDTH).print(table)
    if options.json is not None and (rows or failures):
        print(f"wrote {options.json}")
    return code or int(bool(failures))


def _rows(options: argparse.Namespace, screen: Console) -> Iterator[Row]:
    """Give a row per input and method; all files are checked before the first."""
    paths = [*options.probs, *_reviewed_files(options.review)]
    if not paths and options.scale is None:
        raise ConfigError("nothing to measure; name a file by --probs, --review or --scale")
    reviewed = {path for path in paths if isinstance(read_input(path), Reviewed)}
    for path in paths:
        for method in METHODS:
            job = QualityJob(path=path, method=method, with_filters=path not in reviewed)
            yield _measured(job, path.stem, screen)
    if options.scale is not None:
        num, num_classes = options.scale
        with tempfile.TemporaryDirectory(prefix="label-quality-") as folder:
            make_input(Path(folder), num, num_classes)
            for method in METHODS:
                job = QualityJob(path=Path(folder), method=method, with_filters=False)
                yield _measured(job, f"{num}x{num_classes}", screen)


def _measured(job: QualityJob, name: str, screen: Console) -> Row:
    row: Row = {"input": name, "method": job.method}
    try:
        with screen.status(f"{name}  {job.method}"):
            row |= apart(PLAY, job, preload=PRELOADED)
    except MeasurementError as error:
        screen.print(f"{name}  {job.method}  failed: {error}", highlight=False, style="red")
        return row | {"reason": str(error)}
    screen.print(
        f"{name}  {job.method:<8}  {row['seconds']:.2f} s  {row['peak_mb']:.0f} MiB",
        highlight=False,
    )
    return row


def _reviewed_files(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise ConfigError(f"{folder} holds no .npz file; --review needs those with mturk_id")
    for path in paths:
        if not isinstance(read_input(path), Reviewed):
            raise ConfigError(f"{path} holds no mturk_id; name it by --probs instead")
    return paths


def _write(options: argparse.Namespace, rows: list[Row], failures: list[Row]) -> None:
    result: dict[str, Any] = {
        "benchmark": "label_quality",
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "settings": {
            "probs": [str(path) for path in options.probs],
            "review": None if options.review is None else str(options.review),
            "scale": options.scale,
        },
        "rows": rows,
        "failures": failures,
    }
    write_result(options.json, result)


def size(text: str) -> tuple[int, int]:
    """Read `NxK`: samples and classes."""
    num, _, num_classes = text.partition("x")
    if not (num.isdecimal() and num_classes.isdecimal() and int(num_classes) >= 2 and int(num)):
        raise argparse.ArgumentTypeError(
            f"expected samples x classes such as 1000000x100, with 2 classes or more, not {text!r}"
        )
    return int(num), int(num_classes)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the benchmark's options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.label_quality",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--probs", type=Path, action="append", default=[], help="an .npz file; may be repeated"
    )
    parser.add_argument("--review", type=Path, help="a folder of files that people reviewed")
    parser.add_argument("--scale", type=size, help="made-up probabilities, as 1000000x100")
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
