"""Counts are cleanlab's, and a pair is named for being confused more than others."""

import numpy as np
import pytest
from cleanlab.count import compute_confident_joint

from holdfast.quality.class_pairs import confident_counts, confused_pairs


def probabilities(num, num_classes, seed):
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(num_classes), rng.integers(num_classes, size=num - num_classes)]
    probs = rng.dirichlet(np.full(num_classes, 0.5), num) + 1.5 * np.eye(num_classes)[labels]
    return labels, probs / probs.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("num_classes", [2, 5, 12])
def test_counts_are_those_of_the_confident_joint(num_classes, monkeypatch):
    labels, probs = probabilities(800, num_classes, num_classes)
    monkeypatch.setattr("holdfast.quality.class_pairs._BLOCK", 97)
    expected = compute_confident_joint(labels, probs, calibrate=False)
    counts = confident_counts(labels, probs)
    # cleanlab gives each class at least one sample on the diagonal.
    assert (np.maximum(counts, np.eye(num_classes, dtype=int)) == expected).all()


def test_counts_of_a_class_without_samples_are_zero():
    labels, probs = probabilities(60, 3, 0)
    wider = np.c_[0.5 * probs, np.full(60, 0.5)]
    assert not confident_counts(labels, wider)[:, 3].any()


def test_pair_with_all_the_confusion_is_the_one_named():
    counts = np.diag(np.full(6, 95))
    counts[1, 4], counts[4, 1] = 5, 12
    (pair,) = confused_pairs(counts, np.full(6, 100), 10 * np.arange(6))
    assert (pair.first, pair.second) == (40, 10)
    assert (pair.first_as_second, pair.second_as_first) == (12, 5)
    assert (pair.first_rate, pair.second_rate) == (0.12, 0.05)


def test_pairs_confused_alike_are_not_named():
    counts = np.full((5, 5), 4) + np.diag(np.full(5, 80))
    assert confused_pairs(counts, np.full(5, 100), np.arange(5)) == ()


def test_pairs_of_random_confusion_are_rarely_named():
    rng = np.random.default_rng(0)
    named = 0
    for _ in range(100):
        counts = rng.multinomial(200, np.r_[0.9, np.full(7, 0.1 / 7)], size=8)
        # The first entry of each row is what was right: to the diagonal with it.
        counts = np.stack([np.roll(row, place) for place, row in enumerate(counts)])
        named += bool(confused_pairs(counts, np.full(8, 200), np.arange(8)))
    assert named <= 10


def test_two_classes_have_one_pair_once_two_samples_are_confused():
    sizes = np.array([50, 50])
    assert confused_pairs(np.array([[49, 1], [1, 49]]), sizes, np.arange(2)) == ()
    (pair,) = confused_pairs(np.array([[47, 3], [0, 50]]), sizes, np.arange(2))
    assert (pair.first, pair.second, pair.second_as_first) == (0, 1, 0)


def test_one_class_has_no_pair():
    assert confused_pairs(np.array([[9]]), np.array([9]), np.arange(1)) == ()
