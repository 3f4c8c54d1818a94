"""An order that follows the pictures is told from one that does not."""

import numpy as np
import pytest

from holdfast.model.neighbors import nearest
from holdfast.quality.order import order_test


def neighbors(points, m=5):
    return nearest(points, points, m + 1)[1][:, 1:]


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def test_random_order_is_rarely_called_dependent(rng):
    found = []
    for _ in range(40):
        points = rng.normal(size=(150, 4)).astype(np.float32)
        found.append(order_test(neighbors(points), rng))
    assert sum(one.dependent for one in found) <= 3
    # Under chance alone p-values are spread over the whole range.
    assert 0.3 < np.mean([one.p_value for one in found]) < 0.7


def test_drift_is_found(rng):
    drifting = rng.normal(size=(400, 4)) + np.linspace(0, 3, 400)[:, None]
    found = order_test(neighbors(drifting.astype(np.float32)), rng)
    assert found.dependent
    assert found.statistic > 0.1


def test_order_by_stratum_is_explained_by_the_strata(rng):
    strata = np.repeat(np.arange(4), 100)
    points = rng.normal(size=(400, 4)) + 6 * strata[:, None]
    rows = neighbors(points.astype(np.float32))
    assert order_test(rows, rng).dependent
    assert not order_test(rows, rng, strata).dependent


def test_bursts_inside_strata_are_found(rng):
    strata = np.repeat(np.arange(4), 100)
    frames = np.repeat(rng.normal(size=(80, 6)), 5, axis=0)
    points = frames + 0.1 * rng.normal(size=frames.shape) + 6 * strata[:, None]
    assert order_test(neighbors(points.astype(np.float32)), rng, strata).dependent


def test_strata_of_one_each_leave_nothing_to_shuffle(rng):
    rows = neighbors(rng.normal(size=(50, 3)).astype(np.float32))
    found = order_test(rows, rng, np.arange(50))
    assert found.p_value == 1.0
    assert found.statistic == pytest.approx(0.0, abs=1e-9)


def test_places_drawn_for_many_samples_give_the_same_answer(rng, monkeypatch):
    monkeypatch.setattr("holdfast.quality.order._DEALT", 0)
    strata = np.repeat(np.arange(4), 500)
    points = rng.normal(size=(2000, 4)) + 6 * strata[:, None]
    rows = neighbors(points.astype(np.float32))
    assert order_test(rows, rng).dependent
    assert not order_test(rows, rng, strata).dependent
    assert not order_test(neighbors(rng.normal(size=(2000, 4)).astype(np.float32)), rng).dependent


def test_few_samples_have_no_order(rng):
    assert order_test(np.array([[1], [0]]), rng).p_value == 1.0
    assert order_test(np.full((9, 2), -1), rng).p_value == 1.0
