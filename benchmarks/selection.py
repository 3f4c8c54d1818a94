"""What to ask about: Holdfast's selection beside its peers, one model for all of them.

    python -m benchmarks.selection --data DIR --imbalance 100 --answer-noise 0.2 --seeds 0-7
    python -m benchmarks.selection --data DIR --methods holdfast,falcun --json out.json
    python -m benchmarks.selection --scale 1000000 --dim 256 --classes 100 --pick 1000

A pool is labeled in rounds. After each, the same logistic regression (C 0.1, classes
balanced) is fitted to the labels a method holds and measured by macro-F1 on a balanced test
set. The start, and the n-th answer about each sample, are the same for all methods of a
seed. They run one after another, each in a process of its own; the JSON is written anew
after each, so an interrupt loses nothing.

`--data` is `digits`, or a folder with train.npz and test.npz (X uint8, y), or with one
data.npz (maybe with group or source, kept on one side of the split), or with
images/<class>/* or <class>/*. A features.npy in it replaces the pixels.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.closed_loop import RECIPE
from benchmarks.continual import INTERRUPTED, name_list, whole_number
from benchmarks.measurement import MeasurementError, Row, apart
from benchmarks.result_file import settings_of, write_result
from benchmarks.selection_methods import METHODS, SEES_INSIDE_A_BATCH, find_method
from benchmarks.selection_play import Job
from benchmarks.selection_tables import WIDTH, add_labels_to_random, tables
from benchmarks.selection_trial import ENCODERS, FEATURES_FILE, Setting, build_trial
from holdfast.errors import ConfigError, HoldfastError

AS_IT_IS = "none"  # in place of an imbalance
SCALE_THREADS = 2
# What every child needs, imported once.
PRELOADED = ("benchmarks.selection_play", "sklearn.linear_model", "sklearn.metrics")


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
        if options.scale is not None:
            _run_scale(options, result)
        else:
            _run(options, result, screen)
    except HoldfastError as error:
        print(f"selection: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("selection: interrupted; the rows so far are kept", file=sys.stderr)
        code = INTERRUPTED
    if options.scale is None:
        _show(result)
    if result.path is not None and (result.rows or result.failures):
        print(f"wrote {result.path}")
    return code or int(bool(result.failures) or any("failed" in row for row in result.rows))


class _Result:
    """What has been measured so far, on disk after each row."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.path: Path | None = options.json
        self.rows: list[Row] = []
        self.failures: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self._settings = settings_of(options)
        self._made_at = time.strftime("%Y-%m-%dT%H:%M:%S")

    def write(self) -> None:
        result = {
            "benchmark": "selection",
            "made_at": self._made_at,
            "settings": self._settings,
            "notes": self.notes,
            "rows": self.rows,
            "failures": self.failures,
        }
        write_result(self.path, result)


def _run(options: argparse.Namespace, result: _Result, screen: Console) -> None:
    methods = list(dict.fromkeys(options.methods or METHODS))
    modules = {find_method(name).partition(":")[0] for name in methods}
    setting = _setting(options)
    result.notes = _notes(setting, methods)
    preload = (*PRELOADED, *sorted(modules))
    for seed in dict.fromkeys(options.seeds):
        with screen.status(f"seed {seed}: features"):
            trial = build_trial(setting, seed)
        for method in methods:
            job = Job(
                trial=trial, method=method, recipe=options.recipe, threads=options.threads or 1
            )
            _measure(job, result, screen, preload)


def _measure(job: Job, result: _Result, screen: Console, preload: Sequence[str]) -> None:
    seed, method = job.trial.seed, job.method
    label = f"seed {seed:<4} {method:<15}"
    try:
        with screen.status(label):
            row = apart("benchmarks.selection_play:play", job, preload=preload)
    except MeasurementError as error:
        screen.print(f"{label}  failed: {error}", highlight=False, style="red")
        result.failures.append({"method": method, "seed": seed, "reason": str(error)})
    else:
        result.rows.append(row)
        add_labels_to_random(result.rows)
        screen.print(
            f"{label}  area {row['area']:.3f}  macro-F1 {row['curve'][-1]:.3f}  "
            f"rare {row['rare_found']:>4}  asked again {row['re_asked']:>4}  "
            f"{row['seconds_per_selection']:6.2f} s",
            highlight=False,
        )
    result.write()


def _run_scale(options: argparse.Namespace, result: _Result) -> None:
    from benchmarks.selection_scale import run_scale

    result.rows = run_scale(
        options.scale,
        options.dim,
        options.classes,
        options.pick,
        options.methods,
        recipe=options.recipe,
        threads=options.threads or SCALE_THREADS,
    )
    result.write()


def _show(result: _Result) -> None:
    console = Console(width=WIDTH)
    for table in tables(result.rows):
        console.print(table)
    if result.rows:
        for note in result.notes:
            console.print(note, highlight=False)


def _setting(options: argparse.Namespace) -> Setting:
    features = options.features
    if features is not None and options.encoder is not None:
        raise ConfigError("--encoder has no effect beside --features; leave one of them out")
    stored = Path(options.data) / FEATURES_FILE
    if features is None and options.encoder is None and stored.is_file():
        features = stored
    return Setting(
        data=options.data,
        encoder=options.encoder or "pixels",
        features=features,
        imbalance=options.imbalance,
        answer_noise=options.answer_noise,
        start=options.start,
        budget=options.budget,
        rounds=options.rounds,
    )


def _notes(setting: Setting, methods: Sequence[str]) -> list[str]:
    notes = [f"Features: {setting.described_by}."]
    seeing = [name for name in SEES_INSIDE_A_BATCH if name in methods]
    if seeing:
        verb = "sees" if len(seeing) == 1 else "see"
        notes.append(
            f"{' and '.join(seeing)} {verb} labels inside a batch, which a real queue does not "
            "allow."
        )
    return notes


def seed_ranges(text: str) -> list[int]:
    """Read `0,1,2` or `0-7` or `0-3,100-103`."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = (piece.strip() for piece in part.partition("-"))
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise argparse.ArgumentTypeError(f"expected numbers from 0, as in 0-7,9, not {text!r}")
        seeds += range(int(first), int(last) + 1)
    return seeds


def imbalance_or_none(text: str) -> float | None:
    """Read a number, or `none`."""
    if text == AS_IT_IS:
        return None
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a number or {AS_IT_IS!r}, not {text!r}"
        ) from None


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the benchmark's options."""
    methods = "\n".join(f"  {name}" for name in METHODS)
    encoders = "\n".join(f"  {name:<9} {about}" for name, about in ENCODERS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.selection",
        description=__doc__,
        epilog=f"methods:\n{methods}\n\nencoders:\n{encoders}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", default="digits", help="digits, or a folder (default: digits)")
    parser.add_argument("--encoder", choices=ENCODERS, help="(default: pixels)")
    parser.add_argument(
        "--features", type=Path, help="array with the rows of train.npz, then those of test.npz"
    )
    parser.add_argument(
        "--imbalance",
        type=imbalance_or_none,
        help="largest class over rarest, on an exponential long tail whose order each seed "
        "shuffles (default: none, as the set is)",
    )
    parser.add_argument(
        "--answer-noise", type=float, default=0.2, help="share of wrong answers (default: 0.2)"
    )
    parser.add_argument("--start", type=whole_number, default=50, help="labels (default: 50)")
    parser.add_argument("--budget", type=whole_number, default=50, help="answers (default: 50)")
    parser.add_argument("--rounds", type=whole_number, default=20, help="(default: 20)")
    parser.add_argument("--seeds", type=seed_ranges, default=[0], help="0-7 or 0,1 (default: 0)")
    parser.add_argument("--methods", type=name_list, help="comma-separated (default: all)")
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="TOML of Holdfast's settings")
    parser.add_argument(
        "--threads",
        type=whole_number,
        help=f"CPU threads (default: 1, with --scale {SCALE_THREADS})",
    )
    scale = parser.add_argument_group("one selection from a made-up pool, timed")
    scale.add_argument("--scale", type=whole_number, help="samples")
    scale.add_argument("--dim", type=whole_number, default=256, help="(default: 256)")
    scale.add_argument("--classes", type=whole_number, default=100, help="(default: 100)")
    scale.add_argument("--pick", type=whole_number, default=1000, help="(default: 1000)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
