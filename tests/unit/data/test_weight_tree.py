import numpy as np
import pytest

from holdfast.data.weight_tree import WeightTree


@pytest.mark.parametrize("num", [1, 31, 32, 33, 1024, 1025, 40_000])
def test_find_every_sample_is_found_where_the_running_sum_has_it(num: int) -> None:
    rng = np.random.default_rng(num)
    weights = rng.integers(0, 5, num).astype(float)
    weights[-1] = 1.0
    points = rng.random(2000) * weights.sum()
    wanted = np.searchsorted(np.cumsum(weights), points, side="right")
    assert np.array_equal(WeightTree(weights).find(points), wanted)


def test_find_points_at_and_beyond_both_ends_find_samples_with_a_weight() -> None:
    weights = np.zeros(2000)
    weights[[40, 1500]] = 0.1, 1e-9
    tree = WeightTree(weights)
    assert tree.find(np.array([0.0, tree.total, 2 * tree.total])).tolist() == [40, 1500, 1500]


def test_change_many_times_is_the_same_as_building_it_anew_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    weights = rng.random(5000)
    tree = WeightTree(weights)
    for _ in range(300):
        rows = rng.integers(0, 5000, 40)
        fresh = rng.random(40) * 10.0 ** rng.integers(-12, 12, 40)
        tree.change(rows, fresh)
        weights[rows] = fresh
    anew = WeightTree(weights)
    assert tree.total == anew.total
    assert np.array_equal(tree.weights_n, weights)
    points = rng.random(4000) * anew.total
    assert np.array_equal(tree.find(points), anew.find(points))


def test_change_of_one_sample_twice_keeps_the_last_weight() -> None:
    tree = WeightTree(np.ones(3))
    tree.change(np.array([1, 1]), np.array([9.0, 4.0]))
    assert tree.weights_n.tolist() == [1, 4, 1]
    assert tree.total == 6


def test_start_of_is_the_sum_of_the_weights_before() -> None:
    weights = np.random.default_rng(1).integers(0, 9, 3000).astype(float)
    tree = WeightTree(weights)
    rows = np.array([0, 1, 31, 32, 1024, 2999, 3000])
    assert np.array_equal(tree.start_of(rows), np.r_[0, np.cumsum(weights)][rows])


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_weights_that_are_none_are_refused_and_change_nothing(wrong: float) -> None:
    with pytest.raises(ValueError, match=f"but sample 1 has {wrong}"):
        WeightTree(np.array([1.0, wrong, 1.0]))
    tree = WeightTree(np.ones(40))
    with pytest.raises(ValueError, match=f"but sample 39 has {wrong}"):
        tree.change(np.array([3, 39]), np.array([5.0, wrong]))
    assert np.array_equal(tree.weights_n, np.ones(40))
    assert tree.total == 40


def test_change_of_rows_that_are_none_is_refused() -> None:
    tree = WeightTree(np.ones(40))
    for rows in ([-1], [40]):
        with pytest.raises(ValueError, match="not one of 40 samples"):
            tree.change(np.array(rows), np.ones(1))
    with pytest.raises(ValueError, match="2 samples but 1 weights"):
        tree.change(np.array([1, 2]), np.ones(1))


def test_without_any_weight_nothing_can_be_found() -> None:
    with pytest.raises(ValueError, match="no sample to draw from"):
        WeightTree(np.zeros(0))
    with pytest.raises(ValueError, match="no sample has a weight above 0"):
        WeightTree(np.zeros(5)).find(np.zeros(1))
