from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from holdfast.evaluation.metrics import (
    Metrics,
    measure,
    predict,
    rare_recall,
)
from holdfast.evaluation.rates import calibration_error, confusion_matrix


def probabilities(rng: np.random.Generator, samples: int, classes: int) -> np.ndarray:
    return rng.dirichlet(np.ones(classes), size=samples)


def test_measure_random_answers_equals_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    class_ids = np.array([2, 5, 9, 11])
    labels = class_ids[rng.integers(4, size=200)]
    probs = probabilities(rng, 200, 4)
    metrics = measure(probs, class_ids, labels)
    predicted = predict(probs, class_ids)
    assert metrics.macro_f1 == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert metrics.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels, predicted))
    weighted = f1_score(labels, predicted, average="weighted")
    assert metrics.weighted_f1 == pytest.approx(weighted)
    assert metrics.accuracy == pytest.approx((labels == predicted).mean())


def test_measure_unknown_true_class_has_recall_zero_and_lowers_the_means() -> None:
    probs = np.array([[0.9, 0.1], [0.1, 0.9], [0.8, 0.2]])
    metrics = measure(probs, np.array([3, 4]), np.array([3, 4, 7]))
    assert metrics.recall == {3: 1.0, 4: 1.0, 7: 0.0}
    assert metrics.balanced_accuracy == pytest.approx(2 / 3)
    assert metrics.known == (3, 4)
    assert metrics.confusion[7] == {3: 1}


def test_measure_known_class_without_samples_has_no_part_in_the_means() -> None:
    probs = np.array([[0.9, 0.1], [0.8, 0.2]])
    metrics = measure(probs, np.array([0, 1]), np.array([0, 0]))
    assert metrics.macro_f1 == 1.0
    assert set(metrics.recall) == {0}


def test_measure_permuted_columns_and_samples_change_nothing() -> None:
    rng = np.random.default_rng(1)
    class_ids = np.array([0, 3, 8])
    probs, labels = probabilities(rng, 50, 3), class_ids[rng.integers(3, size=50)]
    columns, rows = np.array([2, 0, 1]), rng.permutation(50)
    moved = measure(probs[rows][:, columns], class_ids[columns], labels[rows])
    original = measure(probs, class_ids, labels)
    assert moved.confusion == original.confusion
    assert moved.macro_f1 == original.macro_f1
    assert moved.calibration_error == pytest.approx(original.calibration_error)


def test_metrics_through_json_text_come_back_equal() -> None:
    rng = np.random.default_rng(2)
    labels = rng.choice([1, 4, 9], 30)
    metrics = measure(probabilities(rng, 30, 3), np.array([1, 4, 6]), labels, rng)
    assert metrics.intervals is not None
    assert Metrics.from_json(json.loads(json.dumps(metrics.to_json()))) == metrics


def test_metrics_from_json_without_a_value_names_it() -> None:
    with pytest.raises(ValueError, match="'known'"):
        Metrics.from_json({"num_samples": 3})


@pytest.mark.parametrize(
    ("probs", "classes", "labels", "message"),
    [
        (np.zeros((0, 2)), [0, 1], [], "no labeled samples"),
        (np.zeros((2, 0)), [], [0, 1], "knows no class"),
        (np.full((1, 2), np.nan), [0, 1], [0], "not finite"),
        (np.ones((1, 2)), [0], [0], "one column"),
        (np.ones((2, 1)), [0], [0], "labels_n has shape"),
    ],
)
def test_measure_bad_input_says_what_is_wrong(
    probs: np.ndarray, classes: list[int], labels: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        measure(probs, np.array(classes, np.int64), np.array(labels, np.int64))


def test_confusion_matrix_rows_sum_to_true_counts() -> None:
    labels, predicted = np.array([1, 1, 4, 6]), np.array([1, 4, 4, 1])
    matrix = confusion_matrix(predicted, labels, np.array([1, 4, 6]))
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 0]]


def test_confusion_matrix_class_outside_the_list_is_refused() -> None:
    with pytest.raises(ValueError, match="predicted_n holds classes"):
        confusion_matrix(np.array([5]), np.array([1]), np.array([1]))


def test_calibration_error_confidence_that_equals_accuracy_is_zero() -> None:
    correct = np.arange(10) < 7
    assert calibration_error(np.full(10, 0.7), correct) == pytest.approx(0.0)
    assert calibration_error(np.full(10, 0.9), correct) == pytest.approx(0.2)
    assert calibration_error(np.array([]), np.array([], bool)) == 0.0


def test_rare_recall_averages_measured_rare_classes_only() -> None:
    counts = np.array([100, 100, 3, 2, 1])
    assert rare_recall({0: 1.0, 2: 0.2, 3: 0.6}, counts) == pytest.approx(0.4)
    assert rare_recall({0: 1.0}, counts) is None
    assert rare_recall({0: 1.0, 1: 0.5}, np.array([5, 5])) is None
