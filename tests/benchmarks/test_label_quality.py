"""The benchmark of label audits: its figures, its files, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import label_quality
from benchmarks.label_quality_inputs import Input, Reviewed, load_made, make_input, read_input
from benchmarks.label_quality_methods import (
    FILTERS,
    QualityJob,
    best_f1,
    f1_of,
    figures,
    play,
    review,
)
from benchmarks.memory_watch import MemoryWatch
from holdfast.errors import ConfigError

KEYS = {
    *("input", "method", "auroc", "auprc", "f1", "f1_best_cut", "seconds", "peak_mb"),
    *("flag_rate_correct_rare", "flag_rate_correct_frequent"),
    *(f"f1_{name}" for name in FILTERS),
}


def arrays(seed: int = 0, num: int = 600, num_classes: int = 6) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    true = rng.integers(0, num_classes, num)
    wrong = rng.random(num) < 0.15
    logits = rng.normal(size=(num, num_classes))
    logits[np.arange(num), true] += 5.0
    probs = np.exp(logits)
    return {
        "labels": np.where(wrong, (true + 1) % num_classes, true),
        "true_labels": true,
        "pred_probs": (probs / probs.sum(axis=1, keepdims=True)).astype(np.float32),
    }


def write(path: Path, **changes: Any) -> Path:
    held = {key: value for key, value in (arrays() | changes).items() if value is not None}
    np.savez(path, **held)
    return path


def write_reviewed(path: Path) -> Path:
    held = arrays(1)
    wrong = np.flatnonzero(held["labels"] != held["true_labels"])[:5]
    rows = np.concatenate([wrong, np.flatnonzero(held["labels"] == held["true_labels"])[:5]])
    votes = np.repeat([1, 5], 5)
    np.savez(
        path,
        given=held["labels"],
        pred_probs=held["pred_probs"],
        mturk_id=rows,
        mturk_given=votes,
    )
    return path


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_quality, "apart", lambda _, job, **__: play(job))


@pytest.mark.usefixtures("in_this_process")
def test_benchmark_of_two_files_writes_a_row_per_input_and_method(tmp_path, capsys) -> None:
    known = write(tmp_path / "known.npz")
    reviewed = write_reviewed(tmp_path / "reviewed.npz")
    out = tmp_path / "out" / "rows.json"
    code = label_quality.main(["--probs", str(known), "--probs", str(reviewed), "--json", str(out)])
    assert code == 0
    rows = json.loads(out.read_text())["rows"]
    assert [(row["input"], row["method"]) for row in rows] == [
        *(("known", "holdfast"), ("known", "cleanlab")),
        *(("reviewed", "holdfast"), ("reviewed", "cleanlab")),
    ]
    for row in rows[:2]:
        assert row.keys() >= KEYS
        assert row["f1"] <= row["f1_best_cut"] + 1e-12
        assert row["auroc"] > 0.9
    assert rows[1]["f1"] == rows[1]["f1_prune_by_noise_rate"]
    assert all(row["found_first_100"] == row["confirmed"] == 5 for row in rows[2:])
    screen = capsys.readouterr().out
    assert "best cut" in screen
    assert "confirmed" in screen


@pytest.mark.usefixtures("in_this_process")
def test_benchmark_of_made_up_labels_measures_both_methods(tmp_path) -> None:
    out = tmp_path / "rows.json"
    assert label_quality.main(["--scale", "3000x5", "--json", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [row["method"] for row in rows] == ["holdfast", "cleanlab"]
    assert {(row["samples"], row["classes"]) for row in rows} == {(3000, 5)}
    assert rows[0]["f1"] > rows[0]["f1_best_cut"] - 0.03


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "holds no labels"),
        ({"pred_probs": None}, "holds no pred_probs"),
        ({"true_labels": None}, "neither true_labels nor label_errors_mask"),
        ({"labels": arrays()["labels"][:-1]}, "600 rows"),
        ({"labels": arrays()["labels"] + 1}, "from 0 to 5"),
        ({"labels": arrays()["labels"] - 1}, "from 0 to 5"),
        ({"labels": arrays()["labels"] * 1.0}, "whole numbers"),
        ({"pred_probs": arrays()["pred_probs"] * np.float32(0.5)}, "sum to 1"),
        ({"pred_probs": arrays()["pred_probs"] * np.float32(np.nan)}, "not a number in row 0"),
        ({"pred_probs": arrays()["pred_probs"][:, 0]}, "shape"),
        ({"true_labels": None, "label_errors_mask": np.ones(3, bool)}, "600 values"),
        ({"true_labels": None, "label_errors_mask": np.full(600, 2)}, "true or false"),
    ],
)
def test_file_that_does_not_fit_is_refused_in_one_line(tmp_path, capsys, changes, message) -> None:
    path = write(tmp_path / "bad.npz", **changes)
    assert label_quality.main(["--probs", str(path)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_missing_file_broken_file_and_nothing_to_do_are_refused(tmp_path, capsys) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    for arguments in (
        ["--probs", str(tmp_path / "none.npz")],
        ["--probs", str(tmp_path / "text.npz")],
        ["--review", str(tmp_path / "nowhere")],
        [],
    ):
        assert label_quality.main(arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("size", ["100", "0x5", "100x1", "ax3"])
def test_scale_that_is_no_size_is_refused(size, capsys) -> None:
    with pytest.raises(SystemExit):
        label_quality.main(["--scale", size])
    assert "1000000x100" in capsys.readouterr().err


def test_mask_gives_the_same_figures_as_true_labels(tmp_path) -> None:
    held = arrays()
    mask = held["labels"] != held["true_labels"]
    by_mask = write(tmp_path / "mask.npz", true_labels=None, label_errors_mask=mask)
    one, other = (
        play(QualityJob(path=path, method="holdfast", with_filters=False))
        for path in (by_mask, write(tmp_path / "true.npz"))
    )
    for key in ("auroc", "auprc", "f1", "f1_best_cut"):
        assert one[key] == other[key]


def test_best_f1_is_that_of_the_best_of_all_cuts_and_keeps_ties_together() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 20, 200) / 20
    wrong = rng.random(200) < 0.6 * (1 - scores)
    cuts = [f1_of(wrong, scores <= level) for level in np.unique(scores)]
    assert best_f1(wrong, scores) == pytest.approx(max(cuts))
    assert best_f1(np.array([True, False]), np.array([0.5, 0.5])) == pytest.approx(2 / 3)


def test_figures_without_a_wrong_label_have_no_f1() -> None:
    labels = np.array([0, 1, 0, 1])
    given = Input(
        labels_n=labels,
        pred_probs_nk=np.full((4, 2), 0.5),
        wrong_n=np.zeros(4, bool),
        classes_n=labels,
    )
    row = figures(given, np.ones(4), np.array([True, False, False, False]))
    assert row["f1"] is row["f1_best_cut"] is row["auroc"] is None
    assert row["flag_rate_correct_frequent"] + row["flag_rate_correct_rare"] == 0.5


def test_flag_rates_are_of_correct_labels_of_the_rarest_and_most_frequent_classes() -> None:
    classes = np.repeat(np.arange(7), [2, 4, 4, 50, 60, 70, 80])
    flagged = np.isin(classes, [0, 6])
    given = Input(
        labels_n=classes,
        pred_probs_nk=np.full((len(classes), 7), 1 / 7),
        wrong_n=np.arange(len(classes)) < 1,
        classes_n=classes,
    )
    row = figures(given, np.ones(len(classes)), flagged)
    assert row["flag_rate_correct_rare"] == pytest.approx(1 / 9)
    assert row["flag_rate_correct_frequent"] == pytest.approx(80 / 210)


def test_review_counts_confirmed_errors_among_the_first() -> None:
    given = Reviewed(
        labels_n=np.zeros(300, np.int64),
        pred_probs_nk=np.zeros((300, 2)),
        rows_r=np.array([10, 70, 200, 5]),
        wrong_r=np.array([True, True, True, False]),
    )
    row = review(given, np.arange(300.0))
    assert (row["found_first_50"], row["found_first_100"], row["confirmed"]) == (1, 2, 3)


def test_made_up_labels_are_the_same_each_time_and_a_tenth_is_wrong(tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        make_input(tmp_path / name, 4000, 7)
    one, other = load_made(tmp_path / "a"), load_made(tmp_path / "b")
    np.testing.assert_array_equal(one.pred_probs_nk, other.pred_probs_nk)
    assert abs(one.wrong_n.mean() - 0.1) < 0.02
    np.testing.assert_allclose(one.pred_probs_nk.sum(axis=1), 1.0, atol=1e-5)


def test_read_input_of_reviewed_labels_counts_an_error_where_few_chose_the_label(tmp_path) -> None:
    given = read_input(write_reviewed(tmp_path / "reviewed.npz"))
    assert isinstance(given, Reviewed)
    assert given.wrong_r.tolist() == [True] * 5 + [False] * 5
    with pytest.raises(ConfigError, match="no given"):
        read_input(write(tmp_path / "other.npz", mturk_id=np.arange(3)))


def test_memory_watch_sees_what_was_held_and_let_go() -> None:
    watch = MemoryWatch()
    held = np.ones(1 << 24)
    assert held.sum() > 0
    del held
    assert watch.stop() > 100 * 2**20
