"""The benchmark on small sets made here, and the worlds it makes of them."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.closed_loop import main
from benchmarks.product import Product, read_recipe, run_directly
from benchmarks.sources import Source, read_digits, read_folder
from benchmarks.world import INITIAL_FRACTION, World, build
from holdfast.errors import ConfigError
from holdfast.project import Project
from holdfast.store import answers, samples

KEYS = {
    *("arm", "seed", "round", "labels_used", "macro_f1", "balanced_accuracy"),
    *("rare_recall", "forgetting", "wrong_labels_left", "seconds"),
}
RECIPE = """
[network]
width = 4
device = "cpu"
[learning]
steps = 3
batch_size = 8
[learning.consolidation]
samples = 8
[gate]
resamples = 200
"""
NUM_CLASSES, PER_CLASS, TEST_PER_CLASS = 4, 40, 5
LEVELS = np.array([30, 90, 150, 210])


def arrays(channels: int = 0, **extra: Any) -> dict[str, Any]:
    """Noisy squares, a level of gray per class; all different."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(NUM_CLASSES), PER_CLASS)
    shape = (len(labels), 8, 8) + ((channels,) if channels else ())
    level = LEVELS[labels].reshape(-1, *[1] * (len(shape) - 1))
    images = (level + rng.integers(-25, 26, shape)).astype(np.uint8)
    return {"X": images, "y": labels, **extra}


def write_set(folder: Path, train: dict[str, Any], test: dict[str, Any] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    if test is None:
        kept = np.arange(NUM_CLASSES * PER_CLASS) % PER_CLASS < TEST_PER_CLASS
        test = {"X": 255 - train["X"][kept], "y": NUM_CLASSES - 1 - train["y"][kept]}
    np.savez(folder / "train.npz", **train)
    np.savez(folder / "test.npz", **test)
    return folder


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE)
    return path


def noisy(labels: np.ndarray, share: float, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    wrong = rng.random(len(labels)) < share
    return np.where(wrong, (labels + 1) % NUM_CLASSES, labels)


def some_votes(labels: np.ndarray) -> np.ndarray:
    """Votes of three people; every fifth sample has one vote, every seventh none."""
    votes = np.stack([noisy(labels, 0.2, seed) for seed in range(3)], axis=1)
    rows = np.arange(len(labels))
    votes[rows % 5 == 0, :2] = -1
    votes[rows % 7 == 0] = -1
    return votes


@pytest.mark.parametrize("channels", [0, 1, 3])
def test_benchmark_gives_a_row_per_arm_seed_and_round(tmp_path, recipe, channels, capsys):
    labels = arrays()["y"]
    extra = {
        0: {},
        1: {"y_given": noisy(labels, 0.3), "class_names": np.array(["w", "x", "y", "z"])},
        3: {"votes": some_votes(labels), "group": np.arange(len(labels)) // 4},
    }[channels]
    data = write_set(tmp_path / "set", arrays(channels, **extra))
    out = tmp_path / "out" / "rows.json"
    seeds = "0,1" if channels == 0 else "0"
    options = ["--data", data, "--seeds", seeds, "--recipe", recipe, "--json", out]
    options += ["--rounds", 2, "--budget", 5, "--start-classes", 3, "--imbalance", 4]
    assert main([str(option) for option in options]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert all(row.keys() == KEYS for row in rows)
    expected = {
        (arm, int(seed), number)
        for arm in ("holdfast", "naive", "stock", "upper-bound")
        for seed in seeds.split(",")
        for number in (1, 2)
    }
    assert {(row["arm"], row["seed"], row["round"]) for row in rows} == expected
    assert len(rows) == len(expected)
    for row in rows:
        assert 0 <= row["macro_f1"] <= 1
        assert 0 <= row["rare_recall"] <= 1
        assert -1 <= row["forgetting"] <= 1
        if row["arm"] == "upper-bound":
            assert row["wrong_labels_left"] == 0
    shown = capsys.readouterr().out
    assert "upper-bound" in shown
    assert str(out) in shown.replace("\n", "")


def play(world: World, folder: Path, recipe: Path) -> Product:
    product = Product(world, folder, read_recipe(recipe))
    for number in range(1, world.rounds + 1):
        product.play_round(number, run_directly, lambda _: None, lambda *_: None)
    return product


def test_product_keeps_groups_together_and_answers_by_votes(tmp_path, recipe):
    labels = arrays()["y"]
    votes, groups = some_votes(labels), np.arange(len(labels)) // 4
    given = noisy(labels, 0.3)
    data = write_set(tmp_path / "set", arrays(3, votes=votes, group=groups, y_given=given))
    world = make(read_folder(data), start_classes=4, rounds=2, budget=30)
    product = play(world, tmp_path / "project", recipe)
    position = {uid: row for row, uid in enumerate(product.uids)}
    with Project.open(product.folder) as project, project.ledger.read() as connection:
        rows = {
            side: [position[uid] for uid in samples.uids_of(connection, ids)]
            for side in ("train", "holdout")
            for ids in [samples.usable_ids(connection, side)]
        }
        sample_ids = samples.ids_of(connection, product.uids)
        replies = [one for n in (1, 2) for one in answers.current_answers(connection, n)]
    assert rows["holdout"]
    assert sorted(rows["train"] + rows["holdout"]) == list(range(len(labels)))
    assert not set(groups[rows["train"]]) & set(groups[rows["holdout"]])
    row_of = {sample_id: position[uid] for uid, sample_id in sample_ids.items()}
    assert len(replies) == 60
    for one in replies:
        cast = votes[row_of[one.answer.sample_id]]
        if one.answer.label is None:
            # Nobody voted, or each of those who did was asked before.
            assert (cast >= 0).sum() <= 1
        else:
            annotator = int(one.answer.annotator.removeprefix("simulated-")) - 1
            assert int(one.answer.label) == cast[annotator]
    assert any(one.answer.label is None for one in replies)


def test_labels_on_record_in_the_set_are_the_noise(tmp_path):
    labels = arrays()["y"]
    given = noisy(labels, 0.3)
    data = write_set(tmp_path / "set", arrays(y_given=given))
    world = make(read_folder(data), label_noise=0.0)
    known = world.given_n >= 0
    assert known.any()
    assert np.array_equal(world.given_n[known], given[known])
    assert (world.given_n[known] != labels[known]).any()


@pytest.mark.parametrize(
    ("train", "said"),
    [
        ({"y": None}, "train.npz holds no y"),
        ({"X": arrays()["X"].astype(float)}, "X should be uint8"),
        ({"X": arrays()["X"][:, :, :5]}, "pad or scale images to squares"),
        ({"X": np.zeros((160, 8, 8, 4), np.uint8)}, "(n, h, h, 1 or 3)"),
        ({"y": arrays()["y"][1:]}, "X has 160 rows but y has 159"),
        ({"y": arrays()["y"] - 1}, "y should hold whole numbers from 0"),
        ({"y": arrays()["y"] / 1}, "y should hold whole numbers"),
        ({"y": arrays()["y"][:, None]}, "y should have the shape (n,)"),
        ({"group": np.arange(3)}, "X has 160 rows but group has 3"),
        ({"votes": arrays()["y"]}, "votes should have the shape (n, annotators)"),
        ({"votes": np.full((160, 2), 9)}, "votes should hold whole numbers from -1 to 3"),
        ({"y_given": np.full(160, 4)}, "y_given should hold whole numbers from -1 to 3"),
        ({"class_names": np.array(["a", "b"])}, "y names 4 classes, class_names 2"),
        ({"X": np.zeros((160, 9, 9), np.uint8)}, "images should be alike"),
    ],
)
def test_set_that_cannot_be_used_is_an_error_of_one_line(tmp_path, capsys, train, said):
    whole = arrays()
    data = write_set(tmp_path / "set", whole)
    changed = {key: value for key, value in (whole | train).items() if value is not None}
    np.savez(data / "train.npz", **changed)
    assert main(["--data", str(data)]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert str(data) in err
    assert err.count("\n") == 1


def test_missing_and_broken_files_are_errors_of_one_line(tmp_path, capsys):
    assert main(["--data", str(tmp_path)]) == 2
    assert "train.npz is missing" in capsys.readouterr().err
    data = write_set(tmp_path / "set", arrays())
    (data / "test.npz").write_text("not an archive")
    assert main(["--data", str(data)]) == 2
    assert "test.npz cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--start-classes", "1"], "--start-classes should lie between 2 and the 4 classes"),
        (["--start-classes", "0"], "--start-classes should lie between 2"),
        (["--start-classes", "5"], "--start-classes should lie between 2"),
        (["--imbalance", "0.5"], "--imbalance should be at least 1"),
        (["--label-noise", "1"], "--label-noise should be at least 0 and below 1"),
        (["--answer-noise", "-0.1"], "--answer-noise should be at least 0"),
        (["--rounds", "0"], "--rounds should be 1 or more"),
        (["--budget", "0"], "--budget should be 1 or more"),
        (["--budget", "1000"], "asked for 1000 samples but only"),
        (["--recipe", "nowhere.toml"], "--recipe nowhere.toml cannot be read"),
    ],
)
def test_option_out_of_range_is_an_error_of_one_line(tmp_path, capsys, options, said):
    data = write_set(tmp_path / "set", arrays())
    assert main(["--data", str(data), *options]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("seeds", ["", "a", "0,,1", "-1", "1.5"])
def test_seeds_that_are_no_numbers_are_refused(seeds, capsys):
    with pytest.raises(SystemExit) as stop:
        main([f"--seeds={seeds}"])
    assert stop.value.code == 2
    assert "expected numbers from 0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[learning]\nstepps = 3", "did you mean steps?"),
        ("[learning]\nsteps = 0", "learning.steps should be 1 or more"),
        ("[learning", "not valid TOML"),
        ("seed = 3", "name seeds with --seeds"),
    ],
)
def test_recipe_that_cannot_be_used_names_the_file(tmp_path, text, said):
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_recipe(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)


def make(source: Source, **changes: Any) -> World:
    options: dict[str, Any] = {
        "seed": 0,
        "imbalance": None,
        "label_noise": 0.2,
        "answer_noise": 0.05,
        "start_classes": 2,
        "rounds": 4,
        "budget": 5,
    }
    return build(source, **(options | changes))


@pytest.fixture(scope="module")
def digits() -> Source:
    return read_digits(0)


def test_same_arguments_make_the_same_world(digits):
    one, two, three = (make(digits, imbalance=20.0, seed=seed) for seed in (0, 0, 1))
    for field in fields(World):
        if field.name != "source":
            first, second = getattr(one, field.name), getattr(two, field.name)
            assert np.array_equal(first, second)
    assert np.array_equal(one.source.train_images_n, two.source.train_images_n)
    assert not np.array_equal(one.source.train_images_n, three.source.train_images_n)


@pytest.mark.parametrize("imbalance", [1.0, 5.0, 20.0])
def test_largest_class_is_as_many_times_the_rarest_as_asked(digits, imbalance):
    counts = make(digits, imbalance=imbalance).true_counts_k
    assert counts.max() / counts.min() == pytest.approx(imbalance, rel=0.1)


def test_no_imbalance_keeps_every_distinct_image(digits):
    world = make(digits)
    flat = digits.train_images_n.reshape(len(digits.train_images_n), -1)
    assert len(world.given_n) == len(np.unique(flat, axis=0))
    twice = replace(
        digits,
        train_images_n=np.concatenate([digits.train_images_n] * 2),
        train_labels_n=np.concatenate([digits.train_labels_n] * 2),
    )
    assert len(make(twice).given_n) == len(world.given_n)


def test_labels_at_the_start_have_the_share_and_the_noise_asked_for(digits):
    world = make(digits, imbalance=20.0, start_classes=6, label_noise=0.2)
    known = world.given_n >= 0
    true = world.source.train_labels_n
    assert known.sum() == round(INITIAL_FRACTION * len(true))
    wrong = world.given_n[known] != true[known]
    assert wrong.sum() == round(0.2 * known.sum())
    # Only classes that are known at the start are named, and each of them is.
    assert set(world.given_n[known]) == set(true[known]) == set(world.start_classes)
    clean = make(digits, imbalance=20.0, start_classes=6, label_noise=0.0)
    kept = clean.given_n >= 0
    assert np.array_equal(clean.given_n[kept], clean.source.train_labels_n[kept])


def test_other_classes_arrive_later_whole_and_without_labels(digits):
    world = make(digits, imbalance=20.0, start_classes=6, rounds=6)
    true = world.source.train_labels_n
    arrivals = {k: set(world.arrival_n[true == k].tolist()) for k in range(10)}
    assert all(len(rounds) == 1 for rounds in arrivals.values())
    first = {k for k, rounds in arrivals.items() if rounds == {1}}
    assert first == set(world.start_classes)
    assert len(first) == 6
    assert all(1 < min(arrivals[k]) <= 6 for k in set(range(10)) - first)
    assert (world.given_n[world.arrival_n > 1] == -1).all()


def test_all_classes_arrive_even_in_a_single_round(digits):
    world = make(digits, start_classes=3, rounds=1)
    assert (world.arrival_n == 1).all()


def test_answers_are_wrong_as_often_as_asked(digits):
    world = make(digits, answer_noise=0.3)
    everyone = np.arange(len(world.given_n))
    answers = world.answers(everyone, np.random.default_rng(0))
    wrong = answers != world.source.train_labels_n
    assert wrong.mean() == pytest.approx(0.3, abs=0.05)
    right = make(digits, answer_noise=0.0).answers(everyone, np.random.default_rng(0))
    assert np.array_equal(right, world.source.train_labels_n)


def test_test_set_of_digits_is_balanced_and_apart(digits):
    counts = np.bincount(digits.test_labels_m)
    assert counts.min() == counts.max() > 0
    train = {image.tobytes() for image in digits.train_images_n}
    assert len(digits.train_labels_n) + len(digits.test_labels_m) == 1797
    assert sum(image.tobytes() in train for image in digits.test_images_m) <= 2
