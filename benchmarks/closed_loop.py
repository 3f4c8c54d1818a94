"""Holdfast beside plain fine-tuning, stock Avalanche and the upper bound.

    python -m benchmarks.closed_loop --data digits --seeds 0,1,2,3,4 --json out.json
    python -m benchmarks.closed_loop --data DIR --imbalance 20

`--data DIR` holds train.npz and test.npz (X uint8, y; train may hold y_given, votes,
group). The JSON has one row per arm, seed and round.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.scoreboard import Row
from benchmarks.sources import read_source
from benchmarks.world import World, build
from holdfast.errors import HoldfastError

RECIPE = Path(__file__).parents[1] / "deployments" / "recipes" / "default.toml"
DIGITS_IMBALANCE = 20.0
KEYS = (
    *("arm", "seed", "round", "labels_used", "macro_f1", "balanced_accuracy", "rare_recall"),
    *("forgetting", "wrong_labels_left", "seconds"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0, or 2 where an argument or the data cannot be used."""
    options = make_parser().parse_args(arguments)
    console = Console(stderr=True, width=None if sys.stderr.isatty() else 100)
    try:
        rows = [row for seed in options.seeds for row in _play(options, seed, console)]
    except HoldfastError as error:
        print(f"closed_loop: {error}", file=sys.stderr)
        return error.exit_code
    Console(width=100).print(summary(rows))
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(_result(options, rows), indent=1) + "\n")
        print(f"wrote {options.json}")
    return 0


def make_world(options: argparse.Namespace, seed: int) -> World:
    """Return the world that the options describe."""
    source = read_source(options.data, seed)
    imbalance = options.imbalance
    if imbalance is None and options.data == "digits":
        imbalance = DIGITS_IMBALANCE
    start = options.start_classes
    if start is None:
        start = max(2, round(0.6 * len(source.class_names)))
    return build(
        source,
        seed=seed,
        imbalance=imbalance,
        label_noise=options.label_noise,
        answer_noise=options.answer_noise,
        start_classes=start,
        rounds=options.rounds,
        budget=options.budget,
    )


def summary(rows: Sequence[Row]) -> Table:
    """Return a table of the last round: means over seeds, with their spread."""
    last = max(row.round for row in rows)
    seeds = len({row.seed for row in rows})
    table = Table(title=f"After round {last}, mean of {seeds} seeds (± standard deviation)")
    for name in ("arm", "labels", "macro-F1", "rare recall", "forgetting", "wrong left", "s/round"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for arm in dict.fromkeys(row.arm for row in rows):
        ends = [row for row in rows if row.arm == arm and row.round == last]
        table.add_row(
            arm,
            f"{np.mean([row.labels_used for row in ends]):.0f}",
            *(
                f"{np.mean(values):.3f} ± {np.std(values):.3f}"
                for values in (
                    [row.macro_f1 for row in ends],
                    [row.rare_recall for row in ends],
                    [row.forgetting for row in ends],
                )
            ),
            f"{np.mean([row.wrong_labels_left for row in ends]):.1f}",
            f"{np.mean([row.seconds for row in rows if row.arm == arm]):.1f}",
        )
    return table


def _play(options: argparse.Namespace, seed: int, console: Console) -> list[Row]:
    # Torch and Avalanche take half a minute to import; --help does not wait for them.
    from benchmarks.comparison import comparisons
    from benchmarks.product import Product, read_recipe, run_directly
    from holdfast.config import load

    world = make_world(options, seed)
    rows: list[Row] = []

    def say(row: Row) -> None:
        rows.append(row)
        console.print(
            f"seed {row.seed}  {row.arm:<11}  round {row.round}  macro-F1 {row.macro_f1:.3f}  "
            f"rare recall {row.rare_recall:.3f}  wrong left {row.wrong_labels_left:>3}  "
            f"{row.seconds:6.1f} s",
            highlight=False,
        )

    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
        product = Product(world, Path(folder) / f"seed-{seed}", read_recipe(options.recipe))
        for number in range(1, world.rounds + 1):
            say(
                product.play_round(
                    number, run_directly, on_phase=lambda _: None, progress=lambda *_: None
                )
            )
        config = load(product.folder)
    for comparison in comparisons(world, config):
        for number in range(1, world.rounds + 1):
            say(comparison.play_round(number))
    return rows


def _result(options: argparse.Namespace, rows: Sequence[Row]) -> dict[str, Any]:
    settings = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in vars(options).items()
        if name != "json"
    }
    return {
        "benchmark": "closed_loop",
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%S"),
        "settings": settings,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "rows": [{key: row.to_json()[key] for key in KEYS} for row in rows],
    }


def seed_list(text: str) -> list[int]:
    """Read `0,1,2`."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"expected numbers from 0, as in 0,1,2, not {text!r}")
    return [int(part) for part in parts]


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the benchmark's options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.closed_loop", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--data", default="digits", help="digits, or a folder (default: digits)")
    parser.add_argument(
        "--seeds",
        type=seed_list,
        default=[0],
        help="comma-separated (default: 0)",
    )
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="TOML of settings")
    parser.add_argument(
        "--imbalance",
        type=float,
        help="largest class over rarest (default: 20 for digits, else as the set is)",
    )
    parser.add_argument("--label-noise", type=float, default=0.2, help="share (default: 0.2)")
    parser.add_argument("--answer-noise", type=float, default=0.05, help="share (default: 0.05)")
    parser.add_argument("--start-classes", type=int, help="(default: six in ten)")
    parser.add_argument("--rounds", type=int, default=6, help="(default: 6)")
    parser.add_argument("--budget", type=int, default=25, help="answers a round (default: 25)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
