"""Strangers are flagged, and their score falls as they move away."""

import numpy as np

from holdfast.quality.outliers import outliers


def test_outliers_of_equal_distances_are_none():
    assert not outliers(np.ones((50, 5))).flagged_n.any()


def test_outliers_do_not_depend_on_the_unit():
    distances = np.random.default_rng(0).gamma(9, size=(200, 5))
    distances[:3] *= 6
    found, scaled = outliers(distances), outliers(1000 * distances)
    assert found.flagged_n[:3].all()
    assert (found.flagged_n == scaled.flagged_n).all()
    np.testing.assert_allclose(found.scores_n, scaled.scores_n)


def test_outlier_score_falls_with_distance():
    distances = np.random.default_rng(1).gamma(9, size=(100, 5))
    order = np.argsort(distances.mean(axis=1))
    assert (np.diff(outliers(distances).scores_n[order]) < 0).all()


def test_outliers_pass_over_missing_neighbors():
    distances = np.ones((20, 3))
    distances[:, 2] = np.inf
    distances[7, :2] = 9
    assert np.flatnonzero(outliers(distances).flagged_n).tolist() == [7]


def test_outliers_of_a_handful_are_none():
    for num in range(4):
        found = outliers(np.arange(num, dtype=np.float64)[:, None] ** 9)
        assert len(found.scores_n) == num
        assert not found.flagged_n.any()
