"""The selection benchmark: its pool and answers, its methods, and its rows on digits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import selection
from benchmarks.selection_graphs import (
    _around_best_cut,
    _between_unlike,
    _narrowed,
    _region,
)
from benchmarks.selection_methods import METHODS, Desk, find_method
from benchmarks.selection_play import Job, fit, play
from benchmarks.selection_tables import add_labels_to_random, paired_difference
from benchmarks.selection_trial import Setting, Trial, build_trial, tail_sizes
from benchmarks.single_sets import SIDE, TEST_SHARE
from benchmarks.sources import read_source
from holdfast.errors import ConfigError, MissingExtraError
from holdfast.model.pixels import average_pixels, principal_components

KEYS = {
    *("method", "seed", "area", "macro_f1_550", "macro_f1_1050", "rare_found"),
    *("labels_to_random_final", "seconds_per_selection", "peak_mb", "curve", "imbalance"),
    *("answer_noise", "re_asked"),
}
SMALL = Setting(data="digits", answer_noise=0.2, start=12, budget=6, rounds=3)


def blobs(seed: int = 0, num: int = 120, **changes: Any) -> Trial:
    """Four clouds of points, each a class, the later ones rarer."""
    rng = np.random.default_rng(seed)
    labels = rng.choice(4, num, p=[0.55, 0.25, 0.12, 0.08])
    centers = 4.0 * np.eye(4, 6)
    test_labels = np.repeat(np.arange(4), 10)
    return Trial(
        seed=seed,
        setting=replace(SMALL, **changes),
        features_nd=(centers[labels] + rng.normal(size=(num, 6))).astype(np.float32),
        true_n=labels,
        test_features_md=(centers[test_labels] + rng.normal(size=(40, 6))).astype(np.float32),
        test_labels_m=test_labels,
        num_classes=4,
        start_rows=rng.permutation(num)[:12],
    )


def played(trial: Trial, method: str) -> dict[str, Any]:
    return play(Job(trial=trial, method=method, recipe=selection.RECIPE, threads=1))


def write_arrays(path: Path, labels: np.ndarray, **more: Any) -> Path:
    """Images of noise, all different."""
    images = np.random.default_rng(0).integers(256, size=(len(labels), 6, 6), dtype=np.uint8)
    np.savez(path, X=images, y=labels, **more)
    return path


def line(text: str) -> tuple[np.ndarray, np.ndarray]:
    """A class's line: `k` a member, `o` another class, `.` no answer."""
    marks = np.array(list(text))
    return marks != ".", marks == "k"


# The pool


def test_tail_has_the_ratio_and_keeps_the_largest_class_whole():
    sizes = tail_sizes(np.full(10, 5000), np.arange(10)[::-1], 100.0)
    assert sizes[[9, 0]].tolist() == [5000, 50]
    assert np.allclose(sizes[1:] / sizes[:-1], 100 ** (1 / 9), rtol=0.02)


def test_tail_of_uneven_classes_takes_no_more_than_there_is():
    counts = np.array([30, 400, 90])
    sizes = tail_sizes(counts, np.array([0, 1, 2]), 9.0)
    assert sizes.tolist() == [30, 10, 3]
    assert np.all(sizes <= counts)


def test_trial_shuffles_the_order_of_classes_by_seed_and_balances_the_test_set():
    setting = replace(SMALL, imbalance=10.0)
    trials = [build_trial(setting, seed) for seed in range(4)]
    counts = [np.bincount(trial.true_n, minlength=10) for trial in trials]
    assert len({tuple(np.argsort(one)) for one in counts}) > 1
    for trial, count in zip(trials, counts, strict=True):
        assert count.max() / count.min() == pytest.approx(10, rel=0.15)
        assert len(set(np.bincount(trial.test_labels_m).tolist())) == 1
        assert len(trial.start_rows) == SMALL.start


def test_trial_of_equal_seeds_is_equal():
    first, again = (build_trial(SMALL, 3) for _ in range(2))
    assert np.array_equal(first.features_nd, again.features_nd)
    assert np.array_equal(first.start_rows, again.start_rows)
    assert np.array_equal(first.true_n, again.true_n)


def test_pixel_features_are_unscaled_components_of_the_pool():
    trial = build_trial(SMALL, 0)
    spread = trial.features_nd.std(axis=0)
    assert np.allclose(trial.features_nd.mean(axis=0), 0.0, atol=1e-4)
    assert np.all(np.diff(spread) <= 1e-4)
    # 8 x 8 pixels have 64 components: together they keep all variance of the pixels.
    pixels = read_source("digits", 0).train_images_n.reshape(-1, 64) / 255.0
    assert np.sum(spread**2) == pytest.approx(pixels.var(axis=0).sum(), rel=1e-3)


def test_platform_features_are_those_that_the_product_describes_samples_by():
    trial = build_trial(replace(SMALL, encoder="platform"), 0)
    source = read_source("digits", 0)
    said = principal_components(average_pixels(source.train_images_n[:, None]))
    assert np.allclose(trial.features_nd, said, atol=1e-4)
    assert trial.test_features_md.shape == (len(trial.test_labels_m), said.shape[1])
    # The test part goes through the same map: its digits lie among those of the pool.
    model = fit(trial.features_nd, trial.true_n)
    assert np.mean(model.predict(trial.test_features_md) == trial.test_labels_m) > 0.8


# Answers


def test_answers_without_noise_are_the_truth():
    trial = blobs(answer_noise=0.0)
    rows = np.arange(50)
    assert np.array_equal(trial.answers(rows, rows % 3), trial.true_n[:50])


def test_answers_are_the_same_whoever_asks_and_in_whatever_order():
    trial = blobs()
    rows = np.arange(len(trial.true_n))
    said = trial.answers(rows, np.zeros_like(rows))
    assert np.array_equal(trial.answers(rows[::-3], np.zeros_like(rows[::-3])), said[::-3])


def test_answers_are_wrong_as_often_as_told_in_any_class_and_anew_each_time():
    trial = blobs(num=20_000)
    rows = np.arange(20_000)
    first, second = (trial.answers(rows, np.full_like(rows, time)) for time in (0, 1))
    wrong = [said != trial.true_n for said in (first, second)]
    # Five standard deviations of a share of 20,000.
    assert np.allclose([one.mean() for one in wrong], 0.2, atol=0.015)
    assert np.mean(wrong[0] & wrong[1]) == pytest.approx(0.04, abs=0.007)
    shares = np.bincount((first - trial.true_n)[wrong[0]] % 4, minlength=4) / wrong[0].sum()
    assert np.allclose(shares, [0, 1 / 3, 1 / 3, 1 / 3], atol=0.04)


def test_desk_counts_what_is_asked_again_and_sells_no_more_than_granted():
    desk = Desk(blobs())
    desk.grant(5)
    desk.ask(np.array([3, 4, 7]))
    desk.ask(np.array([4]))
    assert desk.num_asked_again == 1
    assert desk.asked_rows.tolist() == [3, 4, 7]
    with pytest.raises(ValueError, match="2 rows were asked"):
        desk.ask(np.array([1, 2]))
    with pytest.raises(ValueError, match="1 different"):
        desk.ask(np.array([1, 1]))


# Sets that come in one piece


def test_array_set_keeps_each_group_on_one_side_and_balances_the_test_part(tmp_path):
    labels = np.repeat([0, 1, 2], [120, 40, 20])
    slides = np.random.default_rng(1).integers(30, size=180).astype(str)
    write_arrays(tmp_path / "data.npz", labels, source=slides)
    split = read_source(str(tmp_path), 0)
    assert split.place is not None
    counts = np.bincount(split.test_labels_m)
    assert counts.tolist() == [round(TEST_SHARE * 20)] * 3
    held = set(slides[split.place.test_rows_m].tolist())
    assert not held & set(slides[split.place.train_rows_n].tolist())
    other = read_source(str(tmp_path), 1)
    assert not np.array_equal(split.test_images_m, other.test_images_m)


def test_array_set_keeps_identical_images_on_one_side(tmp_path):
    images = np.random.default_rng(0).integers(256, size=(40, 6, 6), dtype=np.uint8)
    np.savez(tmp_path / "data.npz", X=np.repeat(images, 2, axis=0), y=np.arange(80) // 2 % 2)
    split = read_source(str(tmp_path), 0)
    sides = [
        {one.tobytes() for one in part} for part in (split.train_images_n, split.test_images_m)
    ]
    assert not sides[0] & sides[1]


def test_class_in_a_single_group_is_refused(tmp_path):
    labels = np.repeat([0, 1], [20, 4])
    write_arrays(tmp_path / "data.npz", labels, group=np.where(labels, "a", np.arange(24) % 5))
    with pytest.raises(ConfigError, match="class '1' share too few groups to leave one to test on"):
        read_source(str(tmp_path), 0)


@pytest.mark.parametrize("below", ["", "images"])
def test_folder_of_images_becomes_squares_with_classes_by_name(tmp_path, below):
    rng = np.random.default_rng(0)
    for k, name in enumerate(("cat", "dog")):
        place = tmp_path / below / name
        place.mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(100 * k, 100 * k + 90, size=(30, 60 + i, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / f"{i}.png")
    split = read_source(str(tmp_path), 0)
    assert split.class_names == ("cat", "dog")
    assert split.train_images_n.shape[1:] == (SIDE, SIDE, 3)
    bright = split.train_images_n.mean(axis=(1, 2, 3)) > 95
    assert np.array_equal(bright, split.train_labels_n == 1)


def test_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "0.png").write_bytes(b"no image")
    with pytest.raises(ConfigError, match="cannot be read as an image"):
        read_source(str(tmp_path), 0)


# Features that are given


@pytest.mark.parametrize("one_piece", [False, True])
def test_given_features_follow_their_samples(tmp_path, one_piece):
    labels = np.arange(90) % 3
    if one_piece:
        write_arrays(tmp_path / "data.npz", labels)
        total = labels
    else:
        write_arrays(tmp_path / "train.npz", labels)
        write_arrays(tmp_path / "test.npz", labels[::-1])
        total = np.concatenate([labels, labels[::-1]])
    path = tmp_path / "features.npy"
    np.save(path, np.stack([total, np.arange(len(total))], axis=1))
    trial = build_trial(replace(SMALL, data=str(tmp_path), features=path, imbalance=2.0), 0)
    assert np.array_equal(trial.features_nd[:, 0], trial.true_n)
    assert np.array_equal(trial.test_features_md[:, 0], trial.test_labels_m)
    both = np.concatenate([trial.features_nd[:, 1], trial.test_features_md[:, 1]])
    assert len(np.unique(both)) == len(both)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((7, 2)), "should have 1797 rows (one for each sample of the set, in its order)"),
        (np.zeros(1797), "a row for each sample"),
        (np.full((1797, 2), np.nan), "not finite"),
    ],
)
def test_given_features_that_do_not_fit_are_refused(tmp_path, array, words, capsys):
    np.save(tmp_path / "mine.npy", array)
    assert selection.main(["--features", str(tmp_path / "mine.npy"), "--rounds", "2"]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


# Lines of a class


def test_galaxy_bisects_the_shortest_gap_between_unlike_answers():
    rng = np.random.default_rng(0)
    assert _between_unlike(*line("k......o...k.o"), rng) == 12
    assert _between_unlike(*line("k....k......o"), rng) == 8


def test_galaxy_asks_beside_a_cut_and_on_both_sides_as_often():
    answered, member = line("......ko......")
    rng = np.random.default_rng(0)
    picked = []
    for _ in range(6):
        place = _between_unlike(answered, member, rng)
        answered[place] = True
        member[place] = place < 7
        picked.append(place)
    assert sorted(picked) == [3, 4, 5, 8, 9, 10]


def test_galaxy_without_unlike_answers_asks_anywhere_open():
    answered, member = line("k.k.")
    picks = {_between_unlike(answered, member, np.random.default_rng(s)) for s in range(20)}
    assert picks == {1, 3}


def test_direct_searches_between_the_sure_members_and_the_sure_others():
    assert _region(*line("k.k..o..k...o..o")) == (2, 12)
    assert _region(*line("....")) == (0, 3)


def test_direct_asks_on_both_sides_of_the_cut_of_fewest_errors():
    # One wrong answer on either side does not move the cut.
    assert _around_best_cut(*line("kkok..k.o.okoo.."), 4).tolist() in ([5, 7, 4, 9], [5, 9, 4, 14])
    answered, member = line("kk..oo")
    assert sorted(_around_best_cut(answered, member, 9).tolist()) == [2, 3]


def test_direct_narrows_towards_the_better_cut():
    answered, member = line("k.......o.......o")
    low, high = _narrowed(answered, member, 0, 16, 2, np.random.default_rng(0))
    assert (low, high) != (0, 16)
    assert np.sum(~answered[low : high + 1]) == 4
    assert high <= 8


# Methods


@pytest.mark.parametrize("name", METHODS)
def test_method_spends_its_budget_on_samples_that_exist_and_repeats_itself(name):
    trial = blobs(answer_noise=0.1)
    first, again = (played(trial, name) for _ in range(2))
    assert first["curve"] == again["curve"]
    assert len(first["curve"]) == SMALL.rounds + 1
    assert first["area"] == pytest.approx(np.mean(first["curve"]))
    assert first["curve"][0] == played(trial, "random")["curve"][0]
    assert first.keys() >= KEYS
    assert first["re_asked"] == 0 or name == "holdfast-reask"


def test_margin_asks_where_the_model_is_least_decided():
    from benchmarks.selection_methods import Scene, start_method

    trial = blobs()
    labeled = trial.start_rows
    model = fit(trial.features_nd[labeled], trial.true_n[labeled])
    rows = np.setdiff1d(np.arange(120), labeled)
    scene = Scene(
        features_nd=trial.features_nd,
        open_rows_u=rows,
        labeled_rows_m=labeled,
        labels_m=trial.true_n[labeled],
        model=model,
        rng=np.random.default_rng(0),
    )
    ordered = np.sort(model.predict_proba(trial.features_nd[rows]), axis=1)
    expected = rows[np.argsort(ordered[:, -1] - ordered[:, -2])[:5]]
    desk = Desk(trial)
    desk.grant(5)
    start_method("modal-margin", trial, selection.RECIPE).ask(scene, desk)
    assert set(desk.rows_a) == set(expected.tolist())


def test_method_of_a_library_that_is_missing_names_the_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert find_method("random")
    with pytest.raises(MissingExtraError, match=r"holdfast\[bench\]"):
        find_method("falcun")


def test_labels_of_one_class_give_no_model_and_a_score_all_the_same():
    trial = blobs(answer_noise=0.0)
    alone = replace(trial, start_rows=np.flatnonzero(trial.true_n == 0)[:12])
    assert played(alone, "galaxy")["curve"][0] == pytest.approx(0.1)  # F1 .4 of one class in four


# Results


def row_of(method: str, seed: int, curve: list[float]) -> dict[str, Any]:
    labels = [50 + 50 * r for r in range(len(curve))]
    return {
        "method": method,
        "seed": seed,
        "curve": curve,
        "checkpoints": labels,
        "area": sum(curve),
    }


def test_labels_to_random_are_counted_within_a_seed():
    rows = [row_of("random", 0, [0.1, 0.4, 0.5]), row_of("direct", 0, [0.1, 0.5, 0.6])]
    rows += [row_of("falcun", 0, [0.1, 0.2, 0.3]), row_of("direct", 1, [0.9, 0.9, 0.9])]
    add_labels_to_random(rows)
    assert [row["labels_to_random_final"] for row in rows] == [150, 100, None, None]


def test_paired_difference_uses_common_seeds_alone():
    rows = [row_of("a", seed, [float(seed)]) for seed in (0, 1, 2)]
    rows += [row_of("b", seed, [seed - 0.5 - (seed == 2)]) for seed in (1, 2, 3)]
    gap = paired_difference(rows, "a", "b", "area")
    assert gap == {"mean": 1.0, "standard_error": pytest.approx(0.5), "num_seeds": 2}


# The program


def test_benchmark_gives_a_row_per_method_and_seed(tmp_path, capsys):
    out = tmp_path / "out" / "rows.json"
    arguments = ["--imbalance", "5", "--start", "50", "--budget", "100", "--rounds", "5"]
    arguments += ["--methods", "random,direct", "--seeds", "0-1", "--json", str(out)]
    assert selection.main(arguments) == 0
    result = json.loads(out.read_text())
    rows = result["rows"]
    assert [(row["seed"], row["method"]) for row in rows] == [
        (seed, method) for seed in (0, 1) for method in ("random", "direct")
    ]
    for row in rows:
        assert row.keys() >= KEYS
        assert row["macro_f1_550"] == row["curve"][-1]
        assert row["macro_f1_1050"] is None
        assert row["peak_mb"] >= row["start_mb"] > 0
        assert row["method"] == "direct" or row["labels_to_random_final"] <= 550
    assert not result["failures"]
    shown = " ".join(capsys.readouterr().out.split())
    assert "direct sees labels inside a batch, which a real queue does not allow" in shown


def test_benchmark_keeps_its_rows_when_interrupted(tmp_path, monkeypatch, capsys):
    out = tmp_path / "rows.json"
    rows = iter([played(blobs(), "random")])

    def measured(*_: Any, **__: Any) -> Any:
        try:
            return next(rows)
        except StopIteration:
            raise KeyboardInterrupt from None

    monkeypatch.setattr(selection, "apart", measured)
    arguments = ["--methods", "random,direct", "--rounds", "2", "--json", str(out)]
    assert selection.main(arguments) == selection.INTERRUPTED
    assert len(json.loads(out.read_text())["rows"]) == 1
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--methods", "holdfest"], ["holdfest", "did you mean holdfast?"]),
        (["--data", "nowhere"], ["nowhere/train.npz is missing"]),
        (["--imbalance", "100"], ["the pool holds", "need 1050", "lower --rounds"]),
        (["--imbalance", "0.5"], ["--imbalance", "at least 1"]),
        (["--answer-noise", "1"], ["--answer-noise", "below 1"]),
        (["--features", "a.npy"], ["a.npy cannot be read"]),
        (["--features", "a.npy", "--encoder", "pixels"], ["--encoder has no effect"]),
    ],
)
def test_benchmark_refuses_what_it_cannot_use_in_one_line(options, words, capsys):
    assert selection.main(options) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert all(word in told for word in words)


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--budget", "0", "whole number from 1"),
        ("--seeds", "7-0", "as in 0-7,9"),
        ("--imbalance", "much", "a number or 'none'"),
    ],
)
def test_option_that_cannot_be_read_is_refused(option, value, words, capsys):
    with pytest.raises(SystemExit, match="2"):
        selection.main([option, value])
    assert words in " ".join(capsys.readouterr().err.split())


def test_seeds_may_be_ranges_and_numbers():
    assert selection.seed_ranges("0-2, 7,9-9") == [0, 1, 2, 7, 9]
