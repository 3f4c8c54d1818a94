from __future__ import annotations

import json

import numpy as np
import pytest

from holdfast.evaluation.intervals import Intervals, bootstrap_intervals
from holdfast.evaluation.metrics import Metrics, measure
from holdfast.evaluation.resampling import draw_cells, limits, sum_cells

CLASSES = np.array([2, 5, 9])


def answers(samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions right in about 7 of 10 cases, labels, and how sure the model says it is."""
    rng = np.random.default_rng(seed)
    labels = CLASSES[rng.choice(3, size=samples, p=[0.6, 0.3, 0.1])]
    predicted = np.where(rng.random(samples) < 0.6, labels, rng.choice(CLASSES, samples))
    return predicted, labels, rng.uniform(0.4, 1.0, samples)


def as_metrics(seed: int, samples: int) -> Metrics:
    rng = np.random.default_rng(seed)
    labels = CLASSES[rng.integers(3, size=samples)]
    probs = rng.dirichlet(np.ones(3), size=samples) + 0.3 * (labels[:, None] == CLASSES)
    return measure(probs / probs.sum(axis=1, keepdims=True), CLASSES, labels, rng)


def test_bootstrap_intervals_enclose_what_was_measured() -> None:
    metrics = as_metrics(0, 80)
    found = metrics.intervals
    assert found is not None
    assert set(found.overall) == {
        "accuracy",
        "balanced_accuracy",
        "macro_f1",
        "weighted_f1",
        "calibration_error",
    }
    for name, (low, high) in found.overall.items():
        assert 0 <= low <= getattr(metrics, name) <= high <= 1
        assert low < high
    for k in metrics.support:
        assert found.recall[k][0] <= metrics.recall[k] <= found.recall[k][1]
        assert found.precision[k][0] <= metrics.precision[k] <= found.precision[k][1]


def test_bootstrap_intervals_of_recall_have_the_width_of_the_binomial() -> None:
    predicted, labels, sure = answers(4000)
    found = bootstrap_intervals(predicted, labels, sure, np.random.default_rng(1))
    for k in CLASSES.tolist():
        hits = (predicted == k)[labels == k]
        error = np.sqrt(hits.mean() * (1 - hits.mean()) / len(hits))
        width = found.recall[k][1] - found.recall[k][0]
        assert width == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_bootstrap_intervals_cost_no_more_draws_for_repeated_samples() -> None:
    predicted, labels, _ = answers(50)
    sure = np.full(50, 0.9)
    small, large = np.random.default_rng(0), np.random.default_rng(0)
    few = bootstrap_intervals(predicted, labels, sure, small)
    many = bootstrap_intervals(
        np.tile(predicted, 100), np.tile(labels, 100), np.tile(sure, 100), large
    )
    narrow = [high - low for low, high in many.overall.values()]
    wide = [high - low for low, high in few.overall.values()]
    # A hundred times the samples: a tenth of the width.
    assert np.allclose(np.array(narrow) * 10, wide, rtol=0.25)


def test_bootstrap_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    predicted, labels, sure = answers(200_000, seed=3)
    truth = (predicted == labels).mean()
    inside = 0
    for seed in range(100):
        picked = np.random.default_rng(seed).choice(len(labels), 300, replace=False)
        low, high = bootstrap_intervals(
            predicted[picked],
            labels[picked],
            sure[picked],
            np.random.default_rng(seed),
            resamples=300,
        ).overall["accuracy"]
        inside += low <= truth <= high
    assert 88 <= inside <= 100


def test_bootstrap_intervals_in_chunks_keep_every_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.evaluation.resampling.CHUNK_CELLS", 10)
    predicted, labels, sure = answers(40)
    found = bootstrap_intervals(predicted, labels, sure, np.random.default_rng(0), resamples=30)
    assert set(found.recall) == set(found.precision) == set(labels.tolist())


def test_bootstrap_intervals_class_without_a_mistake_has_no_width() -> None:
    labels = np.array([1, 1, 1, 4, 4, 4])
    found = bootstrap_intervals(labels, labels, np.ones(6), np.random.default_rng(0))
    assert found.recall == {1: (1.0, 1.0), 4: (1.0, 1.0)}
    assert found.overall["calibration_error"] == (0.0, 0.0)


def test_bootstrap_intervals_bad_input_says_what_is_wrong() -> None:
    rng, nothing = np.random.default_rng(0), np.zeros(0, np.int64)
    with pytest.raises(ValueError, match="no labeled samples"):
        bootstrap_intervals(nothing, nothing, np.zeros(0), rng)
    with pytest.raises(ValueError, match="2 labels, but 1 predictions"):
        bootstrap_intervals(np.array([0]), np.array([0, 1]), np.ones(2), rng)


def test_intervals_through_json_text_come_back_equal() -> None:
    found = as_metrics(4, 30).intervals
    assert found is not None
    assert Intervals.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_draw_cells_every_stratum_keeps_its_size() -> None:
    cells, stratum = np.array([3, 1, 7, 2, 5]), np.array([0, 0, 1, 1, 2])
    drawn = draw_cells(cells, stratum, 50, np.random.default_rng(0))
    assert (sum_cells(drawn, stratum, 3) == [4, 9, 5]).all()
    assert (drawn[:, 0] != 3).any()


def test_sum_cells_positions_past_the_end_are_dropped() -> None:
    counts = np.array([[1, 2, 4], [8, 16, 32]])
    assert sum_cells(counts, np.array([1, 2, 0]), 2).tolist() == [[4, 1], [32, 8]]


def test_limits_take_the_bias_of_resampling_out() -> None:
    draws = np.random.default_rng(0).normal(0.5, 0.01, 2000)
    low, high = limits(draws, 0.3, 0.95)
    assert low == pytest.approx(0.28, abs=0.003)
    assert high == pytest.approx(0.32, abs=0.003)
