"""The K-fold probe beside scikit-learn's cross-validated logistic regression.

    python -m benchmarks.probe --seeds 0,1,2 --json out.json
    python -m benchmarks.probe --inputs separable,noisy,scaled
    python -m benchmarks.probe --features FILE.npy --labels FILE.npy

Both get the same embeddings, labels, folds, penalty and number of threads, and run one after
another, each in a process of its own. scikit-learn takes at most --peer-steps steps a fold,
100 as by default; where that is not enough it says so, and would need longer to arrive.
The JSON has one row per input, method and seed, and is written anew after each.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.closed_loop import seed_list
from benchmarks.continual import INTERRUPTED, name_list, whole_number
from benchmarks.measurement import MeasurementError, Row, apart, peak_mb
from benchmarks.probe_inputs import KINDS, draw, find_kind, read
from benchmarks.result_file import settings_of, write_result
from holdfast.errors import ConfigError, HoldfastError
from holdfast.records import Floats, Ids
from holdfast.seeds import generator

METHODS = ("sklearn", "holdfast")
FILES = "files"
WIDTH = 128
# A sample whose label has no probability at all would cost an infinite loss.
_LEAST_PROBABILITY = 1e-15


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One method on one input; the arrays lie in a folder."""

    folder: Path
    method: str
    threads: int
    strength: float
    peer_steps: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Returns
    -------
    int
        0; 1 where a method failed; 2 where an argument or a file cannot be used; 130 after
        an interrupt.
    """
    options = make_parser().parse_args(arguments)
    screen = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    rows: list[Row] = []
    code = 0
    try:
        for row in measure(options, screen):
            rows.append(row)
            _write(options, rows)
    except HoldfastError as error:
        print(f"probe: {error}", file=sys.stderr)
        code = 1 if isinstance(error, MeasurementError) else error.exit_code
    except KeyboardInterrupt:
        print("probe: interrupted; the rows so far are kept", file=sys.stderr)
        code = INTERRUPTED
    if rows:
        Console(width=WIDTH).print(table(rows))
    if rows and options.json is not None:
        print(f"wrote {options.json}")
    return code


def measure(options: argparse.Namespace, screen: Console) -> Iterator[Row]:
    """Give the rows, in order; everything is checked before the first.

    Raises
    ------
    ConfigError
        If an option, or a file, cannot be used.
    MeasurementError
        If a method failed.
    """
    _check(options)
    names = [FILES] if options.features else list(dict.fromkeys(options.inputs))
    for name in names:
        for seed in options.seeds:
            with tempfile.TemporaryDirectory(prefix="probe-") as folder:
                described = _prepare(Path(folder), name, seed, options)
                peer: Row | None = None
                for method in METHODS:
                    job = Job(
                        folder=Path(folder),
                        method=method,
                        threads=options.threads,
                        strength=options.strength,
                        peer_steps=options.peer_steps,
                    )
                    label = f"{name:<12}  seed {seed}  {method:<8}"
                    with screen.status(label):
                        row = apart(f"{play.__module__}:play", job, preload=(play.__module__,))
                    row = {"input": name, "method": method, "seed": seed, **described, **row}
                    if peer is not None:
                        row["speedup"] = peer["seconds"] / row["seconds"]
                        row["cpu_speedup"] = peer["cpu_seconds"] / row["cpu_seconds"]
                        row["log_loss_ratio"] = row["log_loss"] / peer["log_loss"]
                    peer = peer or row
                    screen.print(
                        f"{label}  log loss {row['log_loss']:.5f}  {row['seconds']:7.1f} s",
                        highlight=False,
                    )
                    yield row


def play(job: Job) -> Row:
    """Let one method judge every sample and return what that took.

    Returns
    -------
    dict
        `seconds` and `cpu_seconds`: from arrays in memory to probabilities; neither imports
        nor reading. `peak_mb`: most memory beyond what the process held before, in MiB.
        `log_loss` and `accuracy`: of the labels on record. `unfinished_folds`: in which
        scikit-learn ran out of steps.
    """
    import torch

    torch.set_num_threads(job.threads)
    embeddings, columns, folds = (
        np.load(job.folder / f"{name}.npy") for name in ("embeddings", "columns", "folds")
    )
    judge = {"holdfast": _holdfast, "sklearn": _sklearn}[job.method]
    few = slice(0, 20 * (int(columns.max()) + 1))
    judge(job, embeddings[few], columns[few], folds[few])  # once, to warm up
    before = peak_mb()
    started, worked = time.perf_counter(), time.process_time()
    probs, unfinished = judge(job, embeddings, columns, folds)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
    own = np.asarray(probs[np.arange(len(columns)), columns], np.float64)
    return {
        "log_loss": float(-np.log(np.maximum(own, _LEAST_PROBABILITY)).mean()),
        "accuracy": float((probs.argmax(axis=1) == columns).mean()),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mb": peak_mb() - before,
        "unfinished_folds": unfinished,
    }


def _holdfast(job: Job, embeddings: Floats, columns: Ids, folds: Ids) -> tuple[Floats, int]:
    from holdfast.quality.probe import probe

    return probe(columns, embeddings, folds, strength=job.strength, device="cpu"), 0


def _sklearn(job: Job, embeddings: Floats, columns: Ids, folds: Ids) -> tuple[Floats, int]:
    from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
    from sklearn.model_selection import (  # type: ignore[import-untyped]
        PredefinedSplit,
        cross_val_predict,
    )
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    model = LogisticRegression(C=job.strength, max_iter=job.peer_steps)
    with warnings.catch_warnings(record=True) as said, threadpool_limits(job.threads):
        warnings.simplefilter("always", ConvergenceWarning)
        probs = cross_val_predict(
            model, embeddings, columns, cv=PredefinedSplit(folds), method="predict_proba"
        )
    return probs, sum(issubclass(one.category, ConvergenceWarning) for one in said)


def _check(options: argparse.Namespace) -> None:
    if (options.features is None) != (options.labels is None):
        raise ConfigError("--features and --labels go together: give both files, or neither")
    for name in options.inputs:
        find_kind(name)
    if options.folds < 2:
        raise ConfigError(f"--folds should be at least 2, not {options.folds}")
    if options.classes < 2:
        raise ConfigError(f"--classes should be at least 2, not {options.classes}")
    fewest = options.classes * options.folds
    if options.features is None and options.samples < fewest:
        raise ConfigError(
            f"--samples should be at least {fewest}, one for each class and fold, not "
            f"{options.samples}"
        )
    if options.features is not None:
        read(options.features, options.labels)


def _prepare(folder: Path, name: str, seed: int, options: argparse.Namespace) -> Row:
    """Put the arrays of one input into a folder; return what describes them."""
    if name == FILES:
        embeddings, columns = read(options.features, options.labels)
    else:
        embeddings, columns = draw(
            find_kind(name), options.samples, options.dim, options.classes, seed
        )
    folds = generator(seed, "probe", "folds").permutation(len(columns)) % options.folds
    for what, array in (("embeddings", embeddings), ("columns", columns), ("folds", folds)):
        np.save(folder / f"{what}.npy", array)
    return {
        "samples": len(columns),
        "dim": embeddings.shape[1],
        "classes": int(columns.max()) + 1,
        "folds": options.folds,
        "threads": options.threads,
    }


def _write(options: argparse.Namespace, rows: list[Row]) -> None:
    result = {"benchmark": "probe", "settings": settings_of(options), "rows": rows}
    write_result(options.json, result)


def table(rows: Sequence[Row]) -> Table:
    """Return the rows as a table: means over seeds."""
    shown = Table(
        title=f"{rows[0]['folds']}-fold probabilities of {rows[0]['samples']:,} x "
        f"{rows[0]['dim']}, mean of {len({row['seed'] for row in rows})} seeds",
        box=SIMPLE_HEAD,
    )
    columns: dict[str, tuple[str, str]] = {
        "log loss": ("log_loss", ".5f"),
        "accuracy": ("accuracy", ".4f"),
        "seconds": ("seconds", ".1f"),
        "CPU s": ("cpu_seconds", ".1f"),
        "peak MiB": ("peak_mb", ".0f"),
        "unfinished folds": ("unfinished_folds", ".1f"),
        "speedup": ("speedup", ".1f"),
        "log loss ratio": ("log_loss_ratio", ".4f"),
    }
    shown.add_column("input", no_wrap=True)
    shown.add_column("method", no_wrap=True)
    for title in columns:
        shown.add_column(title, justify="right")
    for name, method in dict.fromkeys((row["input"], row["method"]) for row in rows):
        mine = [row for row in rows if (row["input"], row["method"]) == (name, method)]
        cells = []
        for key, digits in columns.values():
            values = [row[key] for row in mine if key in row]
            cells.append(f"{np.mean(values):{digits}}" if values else "")
        shown.add_row(name, method, *cells)
    return shown


def positive(text: str) -> float:
    """Read a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, not {text!r}")
    return value


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the benchmark's options."""
    inputs = "\n".join(f"  {name:<12} {kind.about}" for name, kind in KINDS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.probe",
        description=__doc__,
        epilog=f"inputs:\n{inputs}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--inputs",
        type=name_list,
        default=["overlapping"],
        help="comma-separated (default: overlapping)",
    )
    for name, default, what in (
        ("samples", 60_000, "samples"),
        ("dim", 512, "dimensions"),
        ("classes", 10, "classes"),
        ("folds", 5, "folds, 2 or more"),
        ("threads", 1, "CPU threads of both"),
        ("peer-steps", 100, "steps scikit-learn takes in a fold at most"),
    ):
        parser.add_argument(
            f"--{name}", type=whole_number, default=default, help=f"{what} (default: {default})"
        )
    parser.add_argument("--strength", type=positive, default=1.0, help="C of both (default: 1)")
    parser.add_argument("--features", type=Path, help=".npy of embeddings, instead of --inputs")
    parser.add_argument("--labels", type=Path, help=".npy of whole numbers, for --features")
    parser.add_argument("--seeds", type=seed_list, default=[0], help="comma-separated (default: 0)")
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
