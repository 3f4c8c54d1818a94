"""Consensus of a crowd's votes: majority, Dawid-Skene, CROWDLAB and Holdfast's default.

    python -m benchmarks.annotation --votes FILE.npz --json out.json
    python -m benchmarks.annotation --votes FILE.npz --probs FILE.npy
    python -m benchmarks.annotation --simulate --regimes spam,hard+good --seeds 0,1,2

A file holds `votes`, whole numbers of shape (samples, annotators), -1 for none; if known,
`true_labels` of shape (samples,), -1 for unknown; and a model's `pred_probs` of shape
(samples, classes). --probs takes the probabilities of another file, .npy or .npz, instead.
Without any, CROWDLAB takes all classes as equally probable. All methods run in this process
on the same votes, one after another. The JSON has one row for each method, with --simulate
for each regime, seed and method.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.annotation_crowds import REGIMES, WITH_MODEL, draw, find_regime
from benchmarks.annotation_votes import METHODS, VoteFile, judge_methods, read_votes
from benchmarks.closed_loop import seed_list
from benchmarks.continual import INTERRUPTED, name_list
from benchmarks.measurement import Row
from benchmarks.result_file import settings_of, write_result
from holdfast.errors import ConfigError, HoldfastError

WIDTH = 128
PANEL = (*REGIMES, *(f"{crowd}+{model}" for crowd, model in WITH_MODEL))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Returns
    -------
    int
        0; 2 where an argument or a file cannot be used; 130 after an interrupt.
    """
    options = make_parser().parse_args(arguments)
    rows: list[Row] = []
    code = 0
    try:
        for more in measure(options):
            rows += more
            result = {"benchmark": "annotation", "settings": settings_of(options), "rows": rows}
            write_result(options.json, result)
    except HoldfastError as error:
        print(f"annotation: {error}", file=sys.stderr)
        code = error.exit_code
    except OSError as error:
        print(f"annotation: --json {options.json} cannot be written ({error})", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("annotation: interrupted; the rows so far are kept", file=sys.stderr)
        code = INTERRUPTED
    if rows:
        Console(width=WIDTH).print(panel_table(rows) if options.simulate else file_table(rows))
    if rows and options.json is not None:
        print(f"wrote {options.json}")
    return code


def measure(options: argparse.Namespace) -> Iterator[list[Row]]:
    """Give the rows of a file, or of one simulated crowd after another.

    Raises
    ------
    ConfigError
        If an option, or a file, cannot be used.
    """
    if options.simulate == (options.votes is not None):
        raise ConfigError("give either --votes FILE.npz or --simulate")
    if options.votes is not None:
        yield judge_methods(read_votes(options.votes, options.probs))
        return
    if options.probs is not None:
        raise ConfigError("--probs goes with --votes; simulated crowds bring their own models")
    regimes = {name: find_regime(name) for name in options.regimes or PANEL}
    for name, regime in regimes.items():
        for seed in options.seeds:
            crowd = draw(regime, seed)
            given = VoteFile(
                votes_nj=crowd.votes_nj.astype(np.int64),
                true_n=crowd.true_n,
                probs_nk=crowd.probs_nk,
            )
            yield [{"regime": name, "seed": seed, **row} for row in judge_methods(given)]


def file_table(rows: Sequence[Row]) -> Table:
    """Return the rows of a file as a table."""
    shown = Table(title="Consensus of votes", box=SIMPLE_HEAD)
    shown.add_column("method", no_wrap=True)
    columns = {
        "consensus accuracy": ("consensus_accuracy", ".4f"),
        "error AUROC": ("error_auroc", ".4f"),
        "annotator Spearman": ("annotator_spearman", ".4f"),
        "seconds": ("seconds", ".2f"),
    }
    for title in columns:
        shown.add_column(title, justify="right")
    for row in rows:
        cells = [
            "" if row[key] is None else f"{row[key]:{digits}}" for key, digits in columns.values()
        ]
        shown.add_row(row["method"], *cells)
    return shown


def panel_table(rows: Sequence[Row]) -> Table:
    """Return simulated crowds as a table: means over seeds, and the default's lead."""
    num_seeds = len({row["seed"] for row in rows})
    shown = Table(title=f"Consensus accuracy, mean of {num_seeds} seeds", box=SIMPLE_HEAD)
    shown.add_column("regime", no_wrap=True)
    for title in (*METHODS, "lead", "AUROC lead", "Spearman lead"):
        shown.add_column(title, justify="right", no_wrap=True)
    for regime in dict.fromkeys(row["regime"] for row in rows):
        mine = [row for row in rows if row["regime"] == regime]
        means = _means(mine, "consensus_accuracy")
        leads = [
            f"{_lead(_means(mine, key)):+.4f}"
            for key in ("consensus_accuracy", "error_auroc", "annotator_spearman")
        ]
        shown.add_row(regime, *(f"{means[method]:.4f}" for method in METHODS), *leads)
    return shown


def _means(rows: Sequence[Row], key: str) -> dict[str, float]:
    found = {}
    for method in METHODS:
        values = [row[key] for row in rows if row["method"] == method and row[key] is not None]
        found[method] = float(np.mean(values)) if values else float("nan")
    return found


def _lead(means: dict[str, float]) -> float:
    """Return how far the default is above the best of the others."""
    return means["default"] - max(means[method] for method in METHODS if method != "default")


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the benchmark's options."""
    regimes = "\n".join(f"  {name:<13} {regime.about}" for name, regime in REGIMES.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.annotation",
        description=__doc__,
        epilog=f"regimes, each also with +good, +bad, +overconfident or +fooled:\n{regimes}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--votes", type=Path, help=".npz of votes")
    parser.add_argument("--probs", type=Path, help=".npy or .npz of pred_probs, for --votes")
    parser.add_argument("--simulate", action="store_true", help="draw crowds instead")
    parser.add_argument(
        "--regimes", type=name_list, default=[], help="comma-separated (default: a panel)"
    )
    parser.add_argument("--seeds", type=seed_list, default=[0], help="comma-separated (default: 0)")
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    return parser


if __name__ == "__main__":
    sys.exit(main())
