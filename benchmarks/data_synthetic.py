"""Synthetic images of rare classes: does the next update learn more with them?

    python -m benchmarks.data_synthetic --data digits --seeds 0,1,2
    python -m benchmarks.data_synthetic --data FOLDER --side 24 --json out.json

A champion learns one half of an uneven set. Then the other half comes, and the champion goes on
in three ways: as it is, with twice the steps, and with the synthetic images that passed. All
three are measured on test images that nobody learned from.

Shape suffixes: n samples, c channels, h rows, w columns, k classes.
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
from PIL import Image

from benchmarks.result_file import settings_of, write_result
from benchmarks.sources import read_source
from holdfast.data.synthetic_settings import SyntheticConfig
from holdfast.errors import HoldfastError
from holdfast.evaluation.metrics import predict as guess
from holdfast.learning.learner import LearnerState
from holdfast.learning.settings import LearningConfig
from holdfast.learning.teaching import ContinualLearner
from holdfast.model.ensemble import restore_model
from holdfast.model.inference import predict
from holdfast.model.spec import NetworkConfig
from holdfast.phases.synthesis import Synthesis, synthesize
from holdfast.records import Experience, Ids, Images, LabelTable, SyntheticMaterial
from holdfast.seeds import generator

NETWORK = NetworkConfig(device="cpu")
# Of a class of the test part, so that common ones do not take all the time.
_MOST_TESTED = 300
Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """An uneven training set and a test set."""

    images_nchw: Images
    labels_n: Ids
    test_nchw: Images
    test_labels_n: Ids
    rare: tuple[int, ...]


def make_world(data: str, seed: int, *, side: int, common: int, rare: int, num_rare: int) -> World:
    """Return `rare` images of `num_rare` classes drawn at random, and `common` of each other one.

    Of two or three classes the smallest are the rare ones, whatever the seed.
    """
    source, rng = read_source(data, seed), generator(seed, "data_synthetic")
    num_classes = len(source.class_names)
    sizes = np.bincount(source.train_labels_n, minlength=num_classes)
    chosen = rng.permutation(num_classes) if num_classes > 3 else np.argsort(sizes)
    rare_classes = chosen[:num_rare].tolist()
    train, test = [], []
    for k in range(num_classes):
        rows = rng.permutation(np.flatnonzero(source.train_labels_n == k))
        train.append(rows[: rare if k in rare_classes else common])
        test.append(np.flatnonzero(source.test_labels_m == k)[:_MOST_TESTED])
    rows, tested = rng.permutation(np.concatenate(train)), np.concatenate(test)
    return World(
        images_nchw=_resized(source.train_images_n[rows], side),
        labels_n=source.train_labels_n[rows].astype(np.int64),
        test_nchw=_resized(source.test_images_m[tested], side),
        test_labels_n=source.test_labels_m[tested].astype(np.int64),
        rare=tuple(rare_classes),
    )


def play(world: World, seed: int, config: SyntheticConfig) -> list[Row]:
    """Return a row for each way of going on."""
    half = len(world.labels_n) // 2
    learning = LearningConfig()
    champion = _learn(learning, world, None, 1, slice(0, half), seed)
    started = time.perf_counter()
    made = synthesize(
        champion,
        LabelTable(
            np.arange(len(world.labels_n)), world.labels_n, np.ones(len(world.labels_n), bool)
        ),
        {},
        int(world.labels_n.max()) + 1,
        lambda rows: world.images_nchw[rows],
        config,
        NETWORK,
        generator(seed, "synthetic"),
    )
    seconds = time.perf_counter() - started
    rest = slice(half, len(world.labels_n))
    twice = dataclasses.replace(learning, steps=2 * learning.steps)
    ways: dict[str, tuple[LearningConfig, SyntheticMaterial | None]] = {
        "as it is": (learning, None),
        "twice the steps": (twice, None),
        "synthetic": (learning, _material(made, config, passed_only=True)),
        "synthetic, not judged": (learning, _material(made, config, passed_only=False)),
    }
    rows = []
    for name, (settings, synthetic) in ways.items():
        state = _learn(settings, world, champion, 2, rest, seed, synthetic)
        rows.append({"seed": seed, "way": name, **_measured(world, state)})
    for row in rows:
        if row["way"].startswith("synthetic"):
            row["seconds_drawing"] = seconds
            row["verdicts"] = {
                str(one.class_id): dataclasses.asdict(one.verdict) for one in made.classes
            }
    return rows


def _material(
    made: Synthesis, config: SyntheticConfig, *, passed_only: bool
) -> SyntheticMaterial | None:
    kept = [one for one in made.classes if one.verdict.passed or not passed_only]
    parts = [one.drawn_mchw[: config.per_class] for one in kept]
    if not sum(map(len, parts)):
        return None
    return SyntheticMaterial(
        images_mchw=np.concatenate(parts),
        labels_m=np.repeat([one.class_id for one in kept], [len(part) for part in parts]),
        share=config.share,
    )


def _learn(
    learning: LearningConfig,
    world: World,
    state: LearnerState | None,
    number: int,
    rows: slice,
    seed: int,
    synthetic: SyntheticMaterial | None = None,
) -> LearnerState:
    ids = np.arange(len(world.labels_n))[rows]
    experience = Experience(
        number=number,
        sample_ids_n=ids,
        images_nchw=world.images_nchw[ids],
        labels_n=world.labels_n[ids],
        weights_n=np.ones(len(ids), np.float32),
        withdrawn_ids=np.zeros(0, np.int64),
        synthetic=synthetic,
    )
    return ContinualLearner(NETWORK, learning).learn(
        state, experience, generator(seed, "learn", number)
    )


def _measured(world: World, state: LearnerState) -> Row:
    network = restore_model(state.tensors, state.header, NETWORK)
    said = predict(network, world.test_nchw, config=NETWORK)
    guessed, truth = guess(said.pred_probs_nk, said.class_ids_k), world.test_labels_n
    recall, f1 = {}, []
    for k in np.unique(truth).tolist():
        hits = int(((guessed == k) & (truth == k)).sum())
        recall[k] = hits / int((truth == k).sum())
        f1.append(2 * hits / int((guessed == k).sum() + (truth == k).sum()))
    return {
        "macro_f1": float(np.mean(f1)),
        "rare_recall": float(np.mean([recall[k] for k in world.rare])),
    }


def _resized(images: Images, side: int) -> Images:
    """Return (N, C, H, W) images of a side; as they are where it is 0."""
    if side and images.shape[1] != side:
        images = np.stack(
            [
                np.asarray(Image.fromarray(one).resize((side, side), Image.Resampling.BOX))
                for one in images
            ]
        )
    return images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; 0, or 2 where an argument cannot be used."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="digits", help="digits, or a folder of a labeled set")
    parser.add_argument("--seeds", default="0,1,2", help="comma-separated (default: 0,1,2)")
    parser.add_argument("--side", type=int, default=0, help="pixels; 0 leaves images as they are")
    parser.add_argument("--common", type=int, default=120, help="images of a common class")
    parser.add_argument("--rare", type=int, default=30, help="images of a rare class")
    parser.add_argument("--num-rare", type=int, default=3, help="rare classes")
    parser.add_argument("--steps", type=int, default=2000, help="steps of the generator")
    parser.add_argument("--share", type=float, default=0.3, help="synthetic part of a rare class")
    parser.add_argument("--json", type=Path, help="where the rows go")
    options = parser.parse_args(arguments)
    result: dict[str, Any] = {"benchmark": "data_synthetic", "settings": settings_of(options)}
    result["rows"] = []
    try:
        config = SyntheticConfig(per_class=100, steps=options.steps, share=options.share)
        for seed in map(int, options.seeds.split(",")):
            world = make_world(
                options.data,
                seed,
                side=options.side,
                common=options.common,
                rare=options.rare,
                num_rare=options.num_rare,
            )
            for row in play(world, seed, config):
                result["rows"].append(row)
                passed = [one["passed"] for one in row.get("verdicts", {}).values()]
                judged = f"   {sum(passed)} of {len(passed)} passed" if passed else ""
                print(
                    f"seed {seed}   {row['way']:24} macro-F1 {row['macro_f1']:.3f}   "
                    f"rare recall {row['rare_recall']:.3f}{judged}"
                )
            write_result(options.json, result)
    except HoldfastError as error:
        print(f"data_synthetic: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
