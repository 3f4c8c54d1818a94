"""Copies are found, neighbors are not copies, and sets are what pairs link."""

import numpy as np
import pytest

from holdfast.model.neighbors import nearest
from holdfast.quality.duplicates import close_pairs, duplicate_sets, majority


def others(points, m=10):
    distances, rows = nearest(points, points, m + 1)
    other = rows != np.arange(len(points))[:, None]
    other[other.all(axis=1), -1] = False
    shape = (len(points), rows.shape[1] - 1)
    return distances[other].reshape(shape), rows[other].reshape(shape)


@pytest.fixture
def points():
    return np.random.default_rng(3).normal(size=(400, 6)).astype(np.float32)


def test_pairs_of_random_points_are_none(points):
    pairs, closeness = close_pairs(*others(points))
    assert pairs.shape == (0, 2)
    assert closeness.shape == (0,)


def test_pairs_are_the_planted_copies_at_any_scale(points):
    rng = np.random.default_rng(4)
    copies = points[:20] + rng.normal(scale=0.02, size=(20, 6)).astype(np.float32)
    everything = np.concatenate([points, copies])
    for scale in (1e-3, 1.0, 1e3):
        pairs, _ = close_pairs(*others(everything * np.float32(scale)))
        assert pairs.tolist() == [[row, 400 + row] for row in range(20)]


def test_pairs_follow_their_samples_when_permuted(points):
    everything = np.concatenate([points, points[:8]])
    order = np.random.default_rng(5).permutation(len(everything))
    pairs, _ = close_pairs(*others(everything[order]))
    there = np.sort(order[pairs], axis=1)
    assert sorted(map(tuple, there.tolist())) == [(row, 400 + row) for row in range(8)]


def test_pairs_of_a_crowded_part_are_measured_by_its_own_yardstick(points):
    crowd = 5 + 0.1 * np.random.default_rng(6).normal(size=(200, 6)).astype(np.float32)
    pairs, _ = close_pairs(*others(np.concatenate([points, crowd])))
    assert len(pairs) == 0


def test_heap_of_more_copies_than_neighbors_is_one_set(points):
    heap = np.repeat(points[:1], 40, axis=0)
    heap += np.random.default_rng(7).normal(scale=1e-3, size=heap.shape).astype(np.float32)
    everything = np.concatenate([points, heap])
    sets = duplicate_sets(*close_pairs(*others(everything)), np.arange(len(everything)))
    assert sets.num_sets == 1
    assert sets.members(0).tolist() == [0, *range(400, 440)]


def test_pairs_of_padded_neighbors_leave_nobody_out():
    distances = np.array([[0.0, np.inf], [0.0, np.inf], [5.0, np.inf]], np.float32)
    rows = np.array([[1, -1], [0, -1], [0, -1]])
    assert close_pairs(distances, rows)[0].tolist() == [[0, 1]]


def test_all_the_same_image_is_one_exact_set():
    same = np.zeros((6, 3), np.float32)
    sets = duplicate_sets(*close_pairs(*others(same, 5)), np.zeros(6, np.int64))
    assert sets.num_sets == 1
    assert sets.exact_s.all()
    assert not sets.scores_s.any()


def test_sets_tell_exact_copies_from_near_ones():
    pairs = np.array([[0, 4], [4, 7], [2, 3]])
    contents = np.array(list("abcdexxa"))
    contents[4] = "a"
    sets = duplicate_sets(pairs, np.array([0.0, 0.1, 0.05]), contents)
    assert sets.rows_s.tolist() == [0, 4, 7, 2, 3]
    assert sets.set_s.tolist() == [0, 0, 0, 1, 1]
    assert sets.exact_s.tolist() == [True, True, True, False, False]
    assert sets.scores_s.tolist() == [0.0, 0.0, 0.0, 0.05, 0.05]


def test_sets_without_pairs_are_none():
    sets = duplicate_sets(np.empty((0, 2), np.int64), np.empty(0), np.array(["a"]))
    assert sets.num_sets == 0
    assert sets.mixed(np.array([0])).tolist() == []


def test_mixed_names_sets_with_two_codes_and_ignores_missing_ones():
    pairs = np.array([[0, 1], [2, 3], [4, 5]])
    sets = duplicate_sets(pairs, np.zeros(3), np.arange(6))
    assert sets.mixed(np.array([1, 2, 3, 3, 4, -1])).tolist() == [0]


def test_majority_is_what_most_say_whatever_the_order():
    codes, numbers = np.array([1, 2, 2, 5, 5, 4, -1]), np.array([0, 0, 0, 1, 1, 2, 2])
    order = np.random.default_rng(0).permutation(7)
    expected = np.array([2, 2, 2, 5, 5, 4, 4])
    assert majority(codes[order], numbers[order]).tolist() == expected[order].tolist()
