from __future__ import annotations

import numpy as np
import pytest

from holdfast.evaluation.continual import (
    backward_transfer,
    forgetting,
    forgetting_over_rounds,
    forward_transfer,
    recall_over_rounds,
)
from holdfast.evaluation.metrics import Metrics, measure

NAN = np.nan


def metrics_with(known: list[int], predicted: list[int], labels: list[int]) -> Metrics:
    probs = (np.array(predicted)[:, None] == np.array(known)).astype(float)
    return measure(probs, np.array(known), np.array(labels))


def test_forgetting_recall_that_never_falls_is_not_positive() -> None:
    rising = np.sort(np.random.default_rng(0).random((5, 3)), axis=0)
    assert (forgetting_over_rounds(rising)[1:] <= 0).all()
    assert forgetting(np.full((4, 3), 0.7)) == 0.0


def test_forgetting_single_round_is_zero() -> None:
    assert forgetting(np.array([[0.3, 0.9]])) == 0.0
    assert backward_transfer(np.array([[0.3, 0.9]])) == 0.0


def test_forgetting_best_earlier_counts_not_the_first() -> None:
    recall = np.array([[0.5], [0.9], [0.6]])
    assert forgetting(recall) == pytest.approx(0.3)
    assert backward_transfer(recall) == pytest.approx(0.1)


def test_forgetting_class_learned_in_the_last_round_takes_no_part() -> None:
    recall = np.array([[0.9, NAN], [0.5, 0.1]])
    assert forgetting(recall) == pytest.approx(0.4)
    assert np.isnan(forgetting_over_rounds(recall)[-1, 1])


def test_forgetting_permuted_classes_permute_the_result() -> None:
    recall = np.random.default_rng(1).random((4, 6))
    order = np.random.default_rng(2).permutation(6)
    moved = forgetting_over_rounds(recall[:, order])
    assert np.array_equal(moved, forgetting_over_rounds(recall)[:, order], equal_nan=True)


def test_forgetting_of_experiences_is_the_table_below_the_diagonal() -> None:
    accuracy = np.array([[0.9, NAN, NAN], [0.7, 0.8, NAN], [0.6, 0.75, 0.9]])
    assert forgetting(accuracy) == pytest.approx((0.3 + 0.05) / 2)


def test_forgetting_over_rounds_each_row_is_forgetting_until_then() -> None:
    recall = np.random.default_rng(3).random((5, 4))
    drops = forgetting_over_rounds(recall)
    assert np.isnan(drops[0]).all()
    for row in range(1, 5):
        assert drops[row].mean() == pytest.approx(forgetting(recall[: row + 1]))


def test_forgetting_over_rounds_round_without_samples_keeps_the_best() -> None:
    drops = forgetting_over_rounds(np.array([[0.9], [NAN], [0.4]]))
    assert np.isnan(drops[1, 0])
    assert drops[2, 0] == pytest.approx(0.5)


def test_forward_transfer_counts_later_classes_at_first_sight() -> None:
    recall = np.array([[0.9, NAN, NAN], [0.8, 0.7, NAN], [0.8, 0.1, 0.6]])
    fresh = np.array([0.0, 0.5, 0.8])
    assert forward_transfer(recall, fresh) == pytest.approx((0.2 - 0.2) / 2)
    assert forward_transfer(recall, np.array([0.0, 0.5, NAN])) == pytest.approx(0.2)
    assert forward_transfer(recall[:1], fresh) == 0.0


def test_recall_over_rounds_is_keyed_by_class_and_nan_until_learned() -> None:
    labels = [3, 3, 8]
    first = metrics_with([3], [3, 3, 3], labels)
    second = metrics_with([3, 8], [3, 8, 8], labels)
    third = metrics_with([8], [8, 8, 8], labels)
    classes, recall = recall_over_rounds([first, second, third])
    assert classes.tolist() == [3, 8]
    assert np.array_equal(recall, [[1.0, NAN], [0.5, 1.0], [0.0, 1.0]], equal_nan=True)
    assert forgetting(recall) == pytest.approx(0.5)


@pytest.mark.parametrize("table", [np.zeros((0, 2)), np.zeros(3), np.array([[1.5]])])
def test_forgetting_bad_table_is_refused(table: np.ndarray) -> None:
    with pytest.raises(ValueError, match="recall_rk"):
        forgetting(table)
