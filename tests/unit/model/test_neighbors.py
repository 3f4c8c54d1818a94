import numpy as np
import pytest

from holdfast.model import neighbors
from holdfast.model.neighbors import distance_to_nearest, farthest_first, nearest


def _points(seed: int, num: int, dims: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num, dims)).astype(np.float32)


def test_nearest_small_base_equals_brute_force():
    queries, base = _points(0, 20), _points(1, 50)
    brute = np.linalg.norm(queries[:, None] - base[None], axis=2)
    distances, indices = nearest(queries, base, 3)
    np.testing.assert_array_equal(indices, np.argsort(brute, axis=1)[:, :3])
    np.testing.assert_allclose(distances, np.sort(brute, axis=1)[:, :3], rtol=1e-4)


def test_nearest_large_base_finds_almost_all_true_neighbors(monkeypatch):
    queries, base = _points(0, 50), _points(1, 4000)
    _, exact = nearest(queries, base, 5)
    monkeypatch.setattr(neighbors, "EXACT_LIMIT", 100)
    _, found = nearest(queries, base, 5)
    recall = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(exact, found, strict=True)])
    assert recall > 0.8
    np.testing.assert_array_equal(found, nearest(queries, base, 5)[1])


def test_nearest_more_neighbors_than_base_returns_whole_base():
    distances, indices = nearest(_points(0, 4), _points(1, 2), 10)
    assert distances.shape == indices.shape == (4, 2)


def test_nearest_empty_base_returns_no_columns():
    assert nearest(_points(0, 4), _points(1, 0), 3)[1].shape == (4, 0)
    assert np.isinf(distance_to_nearest(_points(0, 4), _points(1, 0))).all()


def test_nearest_other_dimensions_are_refused():
    with pytest.raises(ValueError, match="3 dimensions but the base has 8"):
        nearest(_points(0, 4, 3), _points(1, 5), 1)


def test_farthest_first_covers_every_cluster_before_any_twice():
    centers = 100.0 * np.eye(5, 8, dtype=np.float32)
    points = (centers[np.arange(40) % 5] + 0.1 * _points(2, 40)).astype(np.float32)
    picks = farthest_first(
        points, 5, distances_n=np.full(40, np.inf, np.float32), weights_n=np.ones(40)
    )
    assert sorted((picks % 5).tolist()) == [0, 1, 2, 3, 4]


def test_farthest_first_avoids_what_already_has_a_center():
    points = np.array([[0.0], [1.0], [10.0]], np.float32)
    near = distance_to_nearest(points, np.array([[10.0]], np.float32))
    assert farthest_first(points, 1, distances_n=near, weights_n=np.ones(3)).tolist() == [0]


def test_farthest_first_all_samples_picks_each_once():
    points = np.zeros((6, 2), np.float32)
    picks = farthest_first(points, 6, distances_n=np.zeros(6, np.float32), weights_n=np.ones(6))
    assert sorted(picks.tolist()) == list(range(6))
