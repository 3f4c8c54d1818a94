"""Datalab on our graph says what our own findings say of it."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from holdfast.model.neighbors import nearest
from holdfast.quality.duplicates import close_pairs
from holdfast.quality.issue_table import ISSUES, datalab_issues, neighbor_matrix
from holdfast.quality.order import order_test
from holdfast.quality.outliers import outliers


@pytest.fixture(scope="module")
def digits():
    """Digits in random order, five copies and ten images of noise at the end."""
    points, labels = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(points))[:600]
    points, labels = points[order], labels[order]
    noise = rng.uniform(0, 16, (10, 64))
    points = np.concatenate([points, points[:5] + 0.01, noise]).astype(np.float32)
    labels = np.r_[labels, labels[:5], labels[:10]]
    distances, rows = nearest(points, points, 11)
    probs = rng.dirichlet(np.full(10, 0.3), len(points)) + 3 * np.eye(10)[labels]
    return labels, probs / probs.sum(axis=1, keepdims=True), distances[:, 1:], rows[:, 1:]


@pytest.fixture(scope="module")
def table(digits):
    return datalab_issues(*digits)


def test_outliers_are_datalabs_on_the_same_graph(digits, table):
    ours = outliers(digits[2])
    assert ours.flagged_n.tolist() == table["is_outlier_issue"].tolist()
    assert ours.flagged_n[-10:].all()
    np.testing.assert_allclose(ours.scores_n, table["outlier_score"])


def test_near_duplicates_are_datalabs_where_copies_are_plain(digits, table):
    pairs, _ = close_pairs(digits[2], digits[3])
    assert pairs.tolist() == [[row, 600 + row] for row in range(5)]
    assert np.unique(pairs).tolist() == np.flatnonzero(table["is_near_duplicate_issue"]).tolist()


@pytest.mark.parametrize("by_class", [False, True])
def test_order_is_datalabs_verdict(digits, by_class):
    labels, probs, distances, rows = digits
    order = np.argsort(labels, kind="stable") if by_class else np.arange(600)
    order = order[order < 600]
    # The same samples in another order, with neighbors among themselves.
    points = load_digits(return_X_y=True)[0]
    points = points[np.random.default_rng(0).permutation(len(points))[:600]][order]
    distances, rows = nearest(points.astype(np.float32), points.astype(np.float32), 11)
    theirs = datalab_issues(
        labels[order], probs[order], distances[:, 1:], rows[:, 1:], issue_types={"non_iid": {}}
    )
    ours = order_test(rows[:, 1:], np.random.default_rng(1))
    assert ours.dependent == bool(theirs["is_non_iid_issue"].any()) == by_class


def test_settings_are_left_as_they_were(digits):
    settings = {"label": {"clean_learning_kwargs": {}}, "outlier": {"k": 5}}
    datalab_issues(*digits, issue_types=settings)
    assert settings == {"label": {"clean_learning_kwargs": {}}, "outlier": {"k": 5}}
    assert all(not how for how in ISSUES.values())


def test_global_generator_is_left_as_it_was(digits):
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    datalab_issues(*digits, issue_types={"non_iid": {}})
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_nothing_is_printed(digits, capsys):
    datalab_issues(*digits)
    assert capsys.readouterr() == ("", "")


def test_graph_with_missing_neighbors_is_refused():
    with pytest.raises(ValueError, match="1 of 3 samples have fewer than 2 neighbors"):
        neighbor_matrix(np.ones((3, 2), np.float32), np.array([[1, 2], [0, -1], [0, 1]]))
