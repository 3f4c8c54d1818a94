import numpy as np
import pytest

from holdfast.model import neighbors
from holdfast.model.neighbors import (
    NeighborIndex,
    clusters,
    distance_to_nearest,
    graph,
    nearest,
)


def _points(seed: int, num: int, dims: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num, dims)).astype(np.float32)


def _recall(exact, found) -> float:
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(exact, found, strict=True)]))


def test_nearest_small_base_equals_brute_force():
    queries, base = _points(0, 20), _points(1, 50)
    brute = np.linalg.norm(queries[:, None] - base[None], axis=2)
    distances, indices = nearest(queries, base, 3)
    np.testing.assert_array_equal(indices, np.argsort(brute, axis=1)[:, :3])
    np.testing.assert_allclose(distances, np.sort(brute, axis=1)[:, :3], rtol=1e-4)


def test_nearest_large_base_finds_almost_all_true_neighbors(monkeypatch):
    queries, base = _points(0, 500), _points(1, 4000)
    exact_distances, exact = nearest(queries, base, 5)
    monkeypatch.setattr(neighbors, "EXACT_LIMIT", 100)
    distances, found = nearest(queries, base, 5)
    assert _recall(exact, found) > 0.8
    assert (distances >= exact_distances - 1e-5).all()
    np.testing.assert_array_equal(found, nearest(queries, base, 5)[1])


def test_nearest_large_base_and_few_queries_is_exact(monkeypatch):
    queries, base = _points(0, 20), _points(1, 2000)
    exact = nearest(queries, base, 5)[1]
    monkeypatch.setattr(neighbors, "EXACT_LIMIT", 100)
    np.testing.assert_array_equal(nearest(queries, base, 5)[1], exact)


def test_nearest_many_queries_of_a_small_base_are_exact(monkeypatch):
    queries, base = _points(0, 5000), _points(1, 200)
    monkeypatch.setattr(neighbors, "EXACT_LIMIT", 10_000)
    exact = nearest(queries, base, 5)[1]
    monkeypatch.setattr(neighbors, "EXACT_LIMIT", 4_000)
    np.testing.assert_array_equal(nearest(queries, base, 5)[1], exact)


def test_nearest_from_a_memory_map_equals_an_array(monkeypatch, tmp_path):
    monkeypatch.setattr(neighbors, "EXACT_LIMIT", 100)
    points = _points(0, 1000)
    np.save(tmp_path / "points.npy", points)
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r")
    for found, expected in zip(graph(mapped, 4), graph(points, 4), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_nearest_more_neighbors_than_base_returns_whole_base():
    distances, indices = nearest(_points(0, 4), _points(1, 2), 10)
    assert distances.shape == indices.shape == (4, 2)


def test_nearest_empty_base_returns_no_columns():
    assert nearest(_points(0, 4), _points(1, 0), 3)[1].shape == (4, 0)
    assert np.isinf(distance_to_nearest(_points(0, 4), _points(1, 0))).all()


def test_nearest_other_dimensions_are_refused():
    with pytest.raises(ValueError, match="3 dimensions but the base has 8"):
        nearest(_points(0, 4, 3), _points(1, 5), 1)


@pytest.mark.parametrize("limit", [100, 20_000])
def test_nearest_copies_far_from_zero_lie_at_distance_zero(limit, monkeypatch):
    monkeypatch.setattr(neighbors, "EXACT_LIMIT", limit)
    points = 1000.0 + _points(0, 400)
    distances, rows = graph(np.concatenate([points, points]), 1)
    assert (distances == 0).all()
    np.testing.assert_array_equal(rows[:, 0], (np.arange(800) + 400) % 800)


@pytest.mark.parametrize("limit", [100, 20_000])
def test_graph_never_names_a_sample_as_its_own_neighbor(limit, monkeypatch):
    monkeypatch.setattr(neighbors, "EXACT_LIMIT", limit)
    points = np.concatenate([_points(0, 700), np.zeros((300, 8), np.float32)])
    distances, rows = graph(points, 6)
    assert rows.shape == (1000, 6)
    assert (rows != np.arange(1000)[:, None]).all()
    assert (np.diff(distances, axis=1) >= 0).all()
    assert all(len(set(row)) == 6 for row in rows.tolist())


def test_graph_in_cells_finds_almost_all_true_neighbors(monkeypatch):
    points = _points(0, 3000)
    exact = graph(points, 5)[1]
    monkeypatch.setattr(neighbors, "EXACT_LIMIT", 100)
    assert _recall(exact, graph(points, 5)[1]) > 0.8


def test_graph_of_one_sample_has_no_columns():
    assert graph(_points(0, 1), 3)[1].shape == (1, 0)


def test_graph_of_crowd_still_finds_copies(monkeypatch):
    monkeypatch.setattr(neighbors, "EXACT_LIMIT", 100)
    monkeypatch.setattr(neighbors, "_CROWDED", 2)
    points = np.concatenate([np.zeros((900, 8), np.float32), _points(0, 100)])
    distances, _ = graph(points, 3)
    assert (distances[:900] == 0).all()


@pytest.mark.parametrize("limit", [100, 20_000])
def test_index_grown_in_steps_equals_index_filled_at_once(limit, monkeypatch):
    monkeypatch.setattr(neighbors, "EXACT_LIMIT", limit)
    points, ids = _points(0, 900), 10 * np.arange(900)
    grown, filled = NeighborIndex(points, 900), NeighborIndex(points, 900)
    filled.add(ids, points)
    for part in (slice(0, 500), slice(500, 900)):
        grown.add(ids[part], points[part])
    np.testing.assert_array_equal(grown.sample_ids, ids)
    for one, other in zip(grown.search(points, 3), filled.search(points, 3), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (grown.search(points, 1)[1][:, 0] == ids).mean() > 0.95


@pytest.mark.parametrize("limit", [100, 20_000])
def test_index_from_its_bytes_answers_the_same(limit, monkeypatch):
    monkeypatch.setattr(neighbors, "EXACT_LIMIT", limit)
    points = _points(0, 600)
    index = NeighborIndex(points, 600)
    index.add(np.arange(600), points)
    again = NeighborIndex.from_bytes(index.to_bytes())
    assert (len(again), again.dimensions) == (600, 8)
    np.testing.assert_array_equal(again.search(points, 4)[1], index.search(points, 4)[1])
    again.add(np.array([600]), points[:1])
    assert len(again) == 601


def test_index_of_lists_finds_almost_all_true_neighbors(monkeypatch):
    points = _points(0, 3000)
    exact = nearest(points, points, 5)[1]
    monkeypatch.setattr(neighbors, "EXACT_LIMIT", 100)
    index = NeighborIndex(points[:1500], 3000)
    index.add(np.arange(3000), points)
    assert _recall(exact, index.search(points, 5)[1]) > 0.8


def test_index_is_outgrown_when_its_lists_are_too_long(monkeypatch):
    monkeypatch.setattr(neighbors, "EXACT_LIMIT", 100)
    flat, lists = NeighborIndex(_points(0, 50), 50), NeighborIndex(_points(0, 900), 900)
    assert [flat.outgrown(100), flat.outgrown(101)] == [False, True]
    assert [lists.outgrown(3600), lists.outgrown(3601)] == [False, True]


def test_index_from_other_bytes_is_refused():
    with pytest.raises(ValueError, match="not an index of neighbors"):
        NeighborIndex.from_bytes(b"something else")


def test_index_that_is_empty_finds_nothing():
    assert NeighborIndex(_points(0, 0), 0).search(_points(1, 3), 2)[1].shape == (3, 0)


def test_clusters_of_separate_groups_are_the_groups():
    points = _points(0, 90) * 0.05 + np.eye(8, dtype=np.float32)[[0, 3, 5]].repeat(30, axis=0)
    own = clusters(points, 3).reshape(3, 30)
    assert sorted(np.unique(own[group]).tolist() for group in range(3)) == [[0], [1], [2]]


@pytest.mark.parametrize("num", [1, 5, 40])
def test_clusters_are_numbered_below_their_number(num):
    own = clusters(_points(0, 40), num)
    assert own.shape == (40,)
    assert 0 <= own.min() <= own.max() < num


@pytest.mark.parametrize("num", [0, 41])
def test_clusters_more_than_samples_or_none_are_refused(num):
    with pytest.raises(ValueError, match="between 1 and 40"):
        clusters(_points(0, 40), num)
