import numpy as np
import pytest

from holdfast.model import k_center
from holdfast.model.k_center import farthest_first
from holdfast.model.neighbors import distance_to_nearest


def _points(seed: int, num: int, dims: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num, dims)).astype(np.float32)


def _one_by_one(points, num_picks, distances, weights):
    """Compare every sample with every pick."""
    distances, picks = distances.astype(np.float64), []
    for _ in range(num_picks):
        value = weights * distances
        value[picks] = -1.0
        picks.append(int(np.argmax(value)))
        distances = np.minimum(distances, np.linalg.norm(points - points[picks[-1]], axis=1))
    return picks


@pytest.mark.parametrize("even", [True, False])
def test_farthest_first_with_fronts_equals_comparing_all_with_all(even, monkeypatch):
    monkeypatch.setattr(k_center, "_FRONT", 16)
    points = _points(0, 1500)
    weights = np.ones(1500) if even else np.random.default_rng(1).random(1500)
    distances = distance_to_nearest(points, _points(2, 3))
    picks = farthest_first(points, 200, distances_n=distances, weights_n=weights)
    assert picks.tolist() == _one_by_one(points, 200, distances, weights)


def test_farthest_first_covers_every_cluster_before_any_twice():
    centers = 100.0 * np.eye(5, 8, dtype=np.float32)
    points = (centers[np.arange(40) % 5] + 0.1 * _points(2, 40)).astype(np.float32)
    picks = farthest_first(
        points, 5, distances_n=np.full(40, np.inf, np.float32), weights_n=np.ones(40)
    )
    assert sorted((picks % 5).tolist()) == [0, 1, 2, 3, 4]


def test_farthest_first_without_center_begins_with_the_largest_weight():
    picks = farthest_first(
        _points(0, 30),
        1,
        distances_n=np.full(30, np.inf, np.float32),
        weights_n=np.where(np.arange(30) == 11, 2.0, 1.0),
    )
    assert picks.tolist() == [11]


def test_farthest_first_avoids_what_already_has_a_center():
    points = np.array([[0.0], [1.0], [10.0]], np.float32)
    near = distance_to_nearest(points, np.array([[10.0]], np.float32))
    assert farthest_first(points, 1, distances_n=near, weights_n=np.ones(3)).tolist() == [0]


@pytest.mark.parametrize("num", [6, 900])
def test_farthest_first_all_of_equal_samples_picks_each_once(num):
    points = np.zeros((num, 2), np.float32)
    for weights in (np.ones(num), np.zeros(num)):
        picks = farthest_first(
            points, num, distances_n=np.zeros(num, np.float32), weights_n=weights
        )
        assert sorted(picks.tolist()) == list(range(num))


def test_farthest_first_more_picks_than_samples_is_refused():
    with pytest.raises(ValueError, match="4 picks wanted of 3 samples"):
        farthest_first(_points(0, 3), 4, distances_n=np.zeros(3, np.float32), weights_n=np.ones(3))
