"""Which augmentation helps which set: one learner, one long tail, one policy after another.

    python -m benchmarks.augmentation --data digits --seeds 0,1,2 --json out.json
    python -m benchmarks.augmentation --data DIR --policies slight,geometric+visual --samples 600

Every policy learns the same samples from the same start, and is judged on the same clean
test images. The JSON has one row per policy and seed.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.closed_loop import RECIPE, seed_list
from benchmarks.continual import INTERRUPTED, whole_number
from benchmarks.result_file import settings_of, write_result
from benchmarks.sources import Source, read_source
from benchmarks.world import long_tailed, take, to_nchw
from holdfast.config import Config, load
from holdfast.data.augment_settings import policy_parts
from holdfast.errors import HoldfastError
from holdfast.records import Experience
from holdfast.seeds import generator

POLICIES = (
    *("none", "slight", "geometric", "visual", "geometric+visual", "randaugment"),
    *("slight+mixup", "slight+cutmix"),
)
RAREST = 3
WIDTH = 100
Row = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark.

    Returns
    -------
    int
        0; 2 where an argument or the data cannot be used; 130 after an interrupt.
    """
    options = make_parser().parse_args(arguments)
    screen = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH)
    result: dict[str, Any] = {"benchmark": "augmentation", "settings": settings_of(options)}
    rows: list[Row] = []
    result["rows"] = rows
    try:
        recipe = load(options.recipe)
        for policy in options.policies:
            policy_parts(policy)
        for seed in options.seeds:
            source = training_set(options, seed)
            for policy in options.policies:
                rows.append(learned(source, policy, seed, recipe, options.steps))
                write_result(options.json, result)
                screen.print(
                    f"seed {seed}  {policy:<18} macro-F1 {rows[-1]['macro_f1']:.3f}  "
                    f"rarest {RAREST} {rows[-1]['rarest3_recall']:.3f}  "
                    f"{rows[-1]['seconds']:.0f} s",
                    highlight=False,
                )
    except HoldfastError as error:
        print(f"augmentation: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("augmentation: interrupted; the rows so far are kept", file=sys.stderr)
        return INTERRUPTED
    Console(width=WIDTH).print(summary(rows))
    return 0


def training_set(options: argparse.Namespace, seed: int) -> Source:
    """Return the set with its training part as a long tail of some samples."""
    source = read_source(options.data, seed)
    labels = source.train_labels_n
    rng = generator(seed, "augmentation", "training set")
    num_classes = len(source.class_names)
    kept = long_tailed(labels, np.arange(len(labels)), options.imbalance, num_classes, rng)
    share = min(1.0, options.samples / len(kept))
    of_class = [kept[labels[kept] == k] for k in range(num_classes)]
    fewer = [rows[: max(2, round(share * len(rows)))] for rows in of_class]
    return take(source, np.sort(np.concatenate(fewer)))


def learned(source: Source, policy: str, seed: int, recipe: Config, steps: int) -> Row:
    """Return the row of a learner that learns everything at once, by one policy.

    Returns
    -------
    dict
        `policy, seed, samples, macro_f1, balanced_accuracy, rarest3_recall` (shares in
        [0, 1]; low is bad) and `seconds` of learning.
    """
    # Torch and Avalanche take half a minute to import; --help does not wait for them.
    from holdfast.evaluation.metrics import measure
    from holdfast.learning.teaching import ContinualLearner
    from holdfast.model.ensemble import restore_model
    from holdfast.model.inference import predict

    labels = source.train_labels_n
    learning = dataclasses.replace(
        recipe.learning,
        augmentation=recipe.learning.augmentation.with_policy(policy),
        steps=steps,
    )
    experience = Experience(
        number=1,
        sample_ids_n=np.arange(len(labels)),
        images_nchw=to_nchw(source.train_images_n),
        labels_n=labels,
        weights_n=np.ones(len(labels), np.float32),
        withdrawn_ids=np.zeros(0, np.int64),
    )
    learner = ContinualLearner(recipe.network, learning)
    started = time.perf_counter()
    state = learner.learn(None, experience, generator(seed, "augmentation", "learn"))
    seconds = time.perf_counter() - started
    network = restore_model(state.tensors, state.header, recipe.network)
    said = predict(network, to_nchw(source.test_images_m), config=recipe.network)
    metrics = measure(said.pred_probs_nk, said.class_ids_k, source.test_labels_m)
    rarest = np.argsort(np.bincount(labels), kind="stable")[:RAREST].tolist()
    return {
        "policy": policy,
        "seed": seed,
        "samples": len(labels),
        "macro_f1": metrics.macro_f1,
        "balanced_accuracy": metrics.balanced_accuracy,
        "rarest3_recall": float(np.mean([metrics.recall[k] for k in rarest])),
        "seconds": seconds,
    }


def summary(rows: Sequence[Row]) -> Table:
    """Return a table of means over seeds, with their spread."""
    table = Table(title=f"{rows[0]['samples']} training samples, mean of seeds (± deviation)")
    for name in ("policy", "macro-F1", f"recall of the rarest {RAREST}", "s"):
        table.add_column(name, justify="left" if name == "policy" else "right")
    for policy in dict.fromkeys(row["policy"] for row in rows):
        of_one = [row for row in rows if row["policy"] == policy]
        spreads = [[row[name] for row in of_one] for name in ("macro_f1", "rarest3_recall")]
        table.add_row(
            policy,
            *(f"{np.mean(values):.3f} ± {np.std(values):.3f}" for values in spreads),
            f"{np.mean([row['seconds'] for row in of_one]):.0f}",
        )
    return table


def make_parser() -> argparse.ArgumentParser:
    """Return the command line's parser."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.augmentation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", default="digits", help="digits, or a folder (default: digits)")
    parser.add_argument(
        "--policies", type=_names, default=POLICIES, help="comma-separated (default: eight)"
    )
    parser.add_argument("--seeds", type=seed_list, default=[0], help="comma-separated (default: 0)")
    parser.add_argument(
        "--samples", type=whole_number, default=500, help="training samples (default: 500)"
    )
    parser.add_argument(
        "--imbalance", type=float, default=20.0, help="largest class over rarest (default: 20)"
    )
    parser.add_argument(
        "--steps", type=whole_number, default=600, help="optimization steps (default: 600)"
    )
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="TOML of settings")
    parser.add_argument("--json", type=Path, help="write all rows to this file")
    return parser


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
