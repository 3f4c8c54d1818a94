"""The panels of the continual benchmark, and its rows on handwritten digits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import continual
from benchmarks.methods import DEFAULT_METHODS, find_method
from benchmarks.panels import (
    GROWTH_ROUNDS,
    NUM_EXPERIENCES,
    PANELS,
    Stream,
    build_stream,
    long_tail,
    redraw,
)
from benchmarks.sources import Source, read_folder
from holdfast.errors import ConfigError

KEYS = {
    *("panel", "method", "seed", "accuracy", "balanced_accuracy", "rarest3_recall"),
    *("forgetting", "seconds", "samples_per_s", "peak_mb", "checkpoint_mb"),
}


def write_set(folder: Path, per_class: int = 60, num_classes: int = 10, test: int = 5) -> Path:
    """Handwritten digits, each class as often; more classes than ten are turned digits."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.clip(bunch.images * 255 / 16, 0, 255).astype(np.uint8)
    folder.mkdir(exist_ok=True)
    parts: dict[str, list[Any]] = {"train": [], "test": []}
    for k in range(num_classes):
        mine = np.rot90(images[bunch.target == k % 10], k // 10, axes=(1, 2))
        parts["train"].append(mine[:per_class])
        parts["test"].append(mine[-test:])
    for name, members in parts.items():
        labels = np.repeat(np.arange(num_classes), [len(one) for one in members])
        np.savez(folder / f"{name}.npz", X=np.concatenate(members), y=labels)
    return folder


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    return write_set(tmp_path_factory.mktemp("sets") / "digits")


def stream_of(folder: Path, name: str, seed: int = 0, **changes: Any) -> Stream:
    return build_stream(replace(PANELS[name], **changes), read_folder(folder), seed)


def blank_source(num_classes: int, per_class: int) -> Source:
    labels = np.repeat(np.arange(num_classes), per_class)
    images = np.zeros((len(labels), 1, 1), np.uint8)
    return Source(
        train_images_n=images,
        train_labels_n=labels,
        test_images_m=images[:1],
        test_labels_m=labels[:1],
        class_names=tuple(str(k) for k in range(num_classes)),
    )


# Panels


def test_split_brings_classes_in_their_order_and_each_sample_once(digits):
    stream = stream_of(digits, "clean")
    classes = [sorted(set(stream.labels_n[rows].tolist())) for rows in stream.parts]
    assert classes == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert np.array_equal(np.sort(np.concatenate(stream.parts)), np.arange(600))


@pytest.mark.parametrize(("num_classes", "sizes"), [(5, [1] * 5), (7, [2, 2, 1, 1, 1])])
def test_split_spreads_the_classes_that_remain(num_classes, sizes):
    stream = build_stream(PANELS["clean"], blank_source(num_classes, 3), 0)
    assert [len(set(stream.labels_n[rows].tolist())) for rows in stream.parts] == sizes


def test_long_tail_counts_are_those_of_the_formula():
    counts = long_tail(np.full(10, 6000), 100.0)
    order = np.random.RandomState(7).permutation(10)
    assert [counts[k] for k in order] == [int(5000 * 100 ** (-r / 9)) for r in range(10)]
    assert counts.sum() == 12_406


@pytest.mark.parametrize("num_classes", [5, 10, 26])
def test_long_tail_of_a_small_set_keeps_its_ratio(num_classes):
    available = np.full(num_classes, 400)
    counts = long_tail(available, 100.0)
    assert counts.max() == 400
    assert counts.min() == 4
    assert np.all(counts <= available)


def test_imbalanced_stream_has_the_counts_and_names_the_rarest(digits):
    stream = stream_of(digits, "imbalanced")
    counts = np.bincount(stream.true_labels_n, minlength=10)
    assert counts.tolist() == long_tail(np.full(10, 60), 100.0).tolist()
    assert set(stream.rarest_classes.tolist()) == set(np.argsort(counts)[:3].tolist())


def test_noise_redraws_its_share_over_all_classes():
    labels = np.zeros(50_000, np.int64)
    redrawn = redraw(labels, 0.4, 10, np.random.default_rng(0))
    counts = np.bincount(redrawn, minlength=10)
    # 20,000 are drawn anew, 2,000 to each class; five standard deviations are 212.
    assert np.all(np.abs(counts[1:] - 2000) < 212)
    assert counts[0] == 30_000 + (20_000 - counts[1:].sum())


def test_noise_comes_before_the_split_and_leaves_the_truth(digits):
    stream = stream_of(digits, "noisy")
    clean = stream_of(digits, "clean")
    assert np.array_equal(stream.true_labels_n, clean.labels_n)
    wrong = np.mean(stream.labels_n != stream.true_labels_n)
    assert 0.25 < wrong <= 0.4
    for group, rows in zip(range(0, 10, 2), stream.parts, strict=True):
        assert set(stream.labels_n[rows].tolist()) == {group, group + 1}
        # The wrong label decides: samples of other experiences' classes are among them.
        assert not set(stream.true_labels_n[rows].tolist()) <= {group, group + 1}


@pytest.mark.parametrize("name", PANELS)
def test_stream_of_equal_seeds_is_equal_and_of_others_is_not(digits, name):
    first, again, other = (stream_of(digits, name, seed) for seed in (3, 3, 4))
    assert np.array_equal(first.labels_n, again.labels_n)
    assert np.array_equal(first.images_nchw, again.images_nchw)
    assert all(map(np.array_equal, first.parts, again.parts))
    assert not all(map(np.array_equal, first.parts, other.parts))


def test_growth_brings_classes_back_with_samples_that_are_new(digits):
    stream = stream_of(digits, "growth")
    assert len(stream.parts) == GROWTH_ROUNDS
    assert len({len(rows) for rows in stream.parts}) == 1
    together = np.concatenate(stream.parts)
    assert len(np.unique(together)) == len(together)
    first = set(stream.labels_n[stream.parts[0]].tolist())
    assert set(stream.labels_n[stream.parts[-1]].tolist()) == first == {0, 1}


# Errors


def test_set_of_four_classes_is_refused():
    with pytest.raises(ConfigError, match="4 classes"):
        build_stream(PANELS["clean"], blank_source(4, 3), 0)


def test_class_without_images_is_refused():
    source = blank_source(6, 2)
    kept = source.train_labels_n != 3
    source = replace(
        source,
        train_images_n=source.train_images_n[kept],
        train_labels_n=source.train_labels_n[kept],
    )
    with pytest.raises(ConfigError, match="class 3 has no image"):
        build_stream(PANELS["clean"], source, 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--panel", "nosy"], ["nosy", "did you mean noisy?"]),
        (["--methods", "holdfest"], ["holdfest", "did you mean holdfast?"]),
        (["--panel", "online", "--epochs", "2"], ["--epochs", "online"]),
        (["--data", "nowhere"], ["nowhere/train.npz is missing"]),
    ],
)
def test_benchmark_refuses_what_it_cannot_use(options, words, capsys):
    assert continual.main(options) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert all(word in told for word in words)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((6, 4, 4), np.float32), "float32"),
        (np.zeros((6, 16), np.uint8), "(6, 16)"),
        (np.zeros((5, 4, 4), np.uint8), "5 rows"),
    ],
)
def test_benchmark_refuses_arrays_that_do_not_fit(tmp_path, images, words, capsys):
    for name in ("train", "test"):
        np.savez(tmp_path / f"{name}.npz", X=images, y=np.arange(6))
    assert continual.main(["--data", str(tmp_path), "--panel", "clean"]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--buffer", "--epochs", "--threads"])
def test_number_below_one_is_refused(option, capsys):
    with pytest.raises(SystemExit, match="2"):
        continual.main([option, "0"])
    assert "whole number from 1" in capsys.readouterr().err


# Methods


def test_oracle_drop_learns_exactly_the_samples_whose_label_is_right(digits, tmp_path):
    from benchmarks.peers import OracleDropMethod

    stream = stream_of(digits, "noisy")
    method = OracleDropMethod(stream, tmp_path)
    for rows in stream.parts:
        right = [row for row in rows.tolist() if stream.labels_n[row] == stream.true_labels_n[row]]
        assert method.choose(rows).tolist() == right
        assert len(right) < len(rows)


def test_online_stock_learner_meets_each_sample_once_in_batches_of_ten(digits, tmp_path):
    from benchmarks.peers import ReservoirMethod

    stream = stream_of(digits, "online", buffer=30)
    method = ReservoirMethod(stream, tmp_path)
    sizes: list[int] = []
    train = method.strategy.train

    def spy(experience: Any, **options: Any) -> Any:
        sizes.append(len(experience.dataset))
        return train(experience, **options)

    method.strategy.train = spy
    method.learn(1)
    assert sizes == [10] * 12
    assert len(method.exemplars()) == 30


@pytest.mark.parametrize("name", [name for name in DEFAULT_METHODS if name.startswith("aval")])
def test_stock_learner_of_equal_seeds_says_the_same(digits, tmp_path, name):
    from benchmarks.methods import start_method

    stream = stream_of(digits, "clean", buffer=70)
    said = []
    for _ in range(2):
        method = start_method(name, stream, tmp_path)
        for number in (1, 2):
            method.learn(number)
        said.append(method.predict(stream.test_images_mchw))
        assert len(method.exemplars()) <= 70  # type: ignore[attr-defined]  # of stock only
    assert said[0][1].tolist() == [0, 1, 2, 3]
    assert np.array_equal(said[0][0], said[1][0])


def test_separate_ewc_grows_with_every_round_and_replay_does_not(digits, tmp_path):
    from benchmarks.methods import start_method

    stream = stream_of(digits, "growth", buffer=20)
    growth = {}
    for name in ("avalanche-ewc", "avalanche-replay"):
        method = start_method(name, stream, tmp_path)
        sizes = []
        for number in range(1, 7):
            method.learn(number)
            sizes.append(method.state_bytes())
        growth[name] = sizes
    weights = growth["avalanche-ewc"][1] - growth["avalanche-ewc"][0]
    assert weights > 0
    assert np.diff(growth["avalanche-ewc"]).tolist() == [weights] * 5
    assert len(set(growth["avalanche-replay"][1:])) == 1


# The program


def test_benchmark_gives_a_row_per_panel_method_and_seed(digits, tmp_path, capsys):
    out = tmp_path / "out" / "rows.json"
    arguments = ["--data", str(digits), "--panel", "noisy", "--buffer", "40"]
    arguments += ["--methods", "joint,avalanche-replay", "--seeds", "0,1", "--json", str(out)]
    assert continual.main(arguments) == 0
    result = json.loads(out.read_text())
    rows = result["rows"]
    assert [(row["panel"], row["seed"], row["method"]) for row in rows] == [
        ("noisy", seed, method) for seed in (0, 1) for method in ("joint", "avalanche-replay")
    ]
    for row in rows:
        assert row.keys() >= KEYS
        assert 0 <= row["accuracy"] <= 1
        assert -1 <= row["forgetting"] <= 1
        assert row["peak_mb"] >= row["start_mb"] > 0
        assert len(row["rounds"]) == NUM_EXPERIENCES
        assert row["seconds"] == pytest.approx(sum(one["seconds"] for one in row["rounds"]))
        assert row["samples_per_s"] * row["seconds"] == pytest.approx(600)
        if row["method"] == "joint":
            assert row["forgetting"] == 0
    assert not result["failures"]
    shown = capsys.readouterr().out
    assert "avalanche-replay" in shown
    assert str(out) in shown.replace("\n", "")


def test_benchmark_keeps_its_rows_when_interrupted(digits, tmp_path, monkeypatch, capsys):
    out = tmp_path / "rows.json"
    row = {
        **dict.fromkeys(KEYS, 0.5),
        "panel": "clean",
        "method": "joint",
        "seed": 0,
        "buffer": 1,
        "epochs": 1,
        "rounds": [],
    }
    rows = iter([row])

    def measured(*_: Any) -> Any:
        try:
            return next(rows)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(continual, "apart", measured)
    arguments = ["--data", str(digits), "--panel", "clean", "--json", str(out), "--seeds", "0,1"]
    assert continual.main([*arguments, "--methods", "joint"]) == continual.INTERRUPTED
    assert json.loads(out.read_text())["rows"] == [row]
    assert "interrupted" in capsys.readouterr().err


def test_method_that_dies_fails_alone(tmp_path):
    from benchmarks.measurement import Job, MeasurementError, apart

    job = Job(
        data=str(tmp_path),
        panel=PANELS["clean"],
        method="joint",
        seed=0,
        recipe=tmp_path,
        threads=1,
    )
    with pytest.raises(MeasurementError, match="exit code 7"):
        apart("os:_exit", 7)  # type: ignore[arg-type]  # any value reaches the work
    with pytest.raises(ConfigError, match="is missing"):
        apart("benchmarks.measurement:play", job)


@pytest.mark.parametrize("name", [*DEFAULT_METHODS, "avalanche-ewc"])
def test_method_names_lead_somewhere(name):
    import importlib

    module, _, attribute = find_method(name).partition(":")
    assert callable(getattr(importlib.import_module(module), attribute))
