import numpy as np
import pytest
from sklearn.datasets import load_digits

from holdfast.query import cold_start
from holdfast.query.cold_start import typical_picks


def pick(points, num, seed=0):
    return typical_picks(np.asarray(points, np.float32), num, np.random.default_rng(seed))


def blobs(num=5, each=40):
    rng = np.random.default_rng(0)
    return np.eye(num).repeat(each, axis=0) + rng.normal(0, 0.08, (num * each, num))


def test_picks_of_separate_groups_are_one_of_each():
    picks = pick(blobs(), 5)
    assert sorted((picks // 40).tolist()) == [0, 1, 2, 3, 4]


def test_picks_lie_nearer_the_middle_of_their_group_than_most():
    points = blobs()
    for row in pick(points, 5).tolist():
        group = row // 40
        to_middle = np.linalg.norm(points[group * 40 : group * 40 + 40] - np.eye(5)[group], axis=1)
        assert np.linalg.norm(points[row] - np.eye(5)[group]) < np.quantile(to_middle, 0.4)


def test_picks_of_the_same_generator_are_the_same():
    np.testing.assert_array_equal(pick(blobs(), 7, seed=3), pick(blobs(), 7, seed=3))


@pytest.mark.parametrize("num", [0, 1, 3, 10, 25])
def test_picks_never_repeat_and_never_exceed_the_pool(num):
    picks = pick(blobs(num=2, each=5), num)
    assert len(picks) == len(set(picks.tolist())) == min(num, 10)


def test_picks_of_copies_take_each_kind_before_a_copy():
    points = np.repeat([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]], 8, axis=0)
    picks = pick(points, 6)
    assert len(set(picks.tolist())) == 6
    assert {row // 8 for row in picks[:3].tolist()} == {0, 1, 2}


def test_picks_of_an_empty_pool_are_none():
    assert pick(np.empty((0, 3)), 4).shape == (0,)


def test_picks_from_parts_of_large_clusters_stay_typical(monkeypatch):
    monkeypatch.setattr(cold_start, "LARGEST_CLUSTER", 15)
    assert sorted((pick(blobs(), 5) // 40).tolist()) == [0, 1, 2, 3, 4]


def test_picks_of_digits_meet_more_classes_than_random_ones():
    data = load_digits()
    typical, random = [], []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        part = rng.permutation(len(data.target))[:1200]
        typical.append(len(set(data.target[part][pick(data.data[part], 15, seed)])))
        random.append(len(set(data.target[rng.choice(part, 15)])))
    assert sum(typical) > sum(random) + 3


def test_picks_negative_number_is_refused():
    with pytest.raises(ValueError, match="0 or more"):
        pick(blobs(), -1)
