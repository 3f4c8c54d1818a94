"""A weak group is named for what its classes do not explain, and chance is not named."""

import numpy as np

from holdfast.quality.weak_groups import cluster, weak_groups


def test_group_that_errs_more_than_others_is_named():
    rng = np.random.default_rng(0)
    groups = rng.integers(12, size=1200)
    wrong = rng.random(1200) < np.where(groups == 5, 0.35, 0.1)
    (weak,) = weak_groups(groups, rng.integers(4, size=1200), wrong)
    assert weak.group == 5
    assert weak.size == (groups == 5).sum()
    assert weak.num_wrong == wrong[groups == 5].sum()
    assert weak.low < weak.rate < weak.high
    assert weak.expected < weak.low


def test_group_is_not_blamed_for_a_hard_class():
    rng = np.random.default_rng(1)
    groups = rng.integers(10, size=3000)
    # Group 3 consists of the hard class, which is as hard elsewhere.
    classes = np.where(groups == 3, 0, rng.integers(4, size=3000))
    wrong = rng.random(3000) < np.where(classes == 0, 0.4, 0.05)
    assert weak_groups(groups, classes, wrong) == ()


def test_groups_of_chance_are_rarely_named():
    rng = np.random.default_rng(2)
    named = 0
    for _ in range(200):
        groups = rng.integers(20, size=600)
        named += bool(weak_groups(groups, rng.integers(3, size=600), rng.random(600) < 0.15))
    assert named <= 20


def test_groups_of_fewer_than_five_are_left_out():
    groups = np.r_[np.zeros(100, np.int64), np.ones(4, np.int64)]
    wrong = groups == 1
    assert weak_groups(groups, np.zeros(104, np.int64), wrong) == ()


def test_groups_without_errors_are_not_weak():
    groups = np.repeat([0, 1, 2], 30)
    assert weak_groups(groups, np.zeros(90, np.int64), np.zeros(90, np.bool_)) == ()


def test_one_group_has_nobody_to_compare_with():
    assert weak_groups(np.zeros(50, np.int64), np.zeros(50, np.int64), np.ones(50, bool)) == ()
    empty = np.empty(0, np.int64)
    assert weak_groups(empty, empty, np.empty(0, np.bool_)) == ()


def test_clusters_keep_what_lies_together():
    rng = np.random.default_rng(3)
    centers = np.repeat(20 * rng.normal(size=(4, 8)), 100, axis=0)
    numbers = cluster((centers + rng.normal(size=(400, 8))).astype(np.float32), rng)
    of_center = [set(numbers[start : start + 100].tolist()) for start in range(0, 400, 100)]
    assert all(not a & b for i, a in enumerate(of_center) for b in of_center[:i])


def test_few_samples_are_one_cluster():
    rng = np.random.default_rng(4)
    assert not cluster(rng.normal(size=(50, 3)).astype(np.float32), rng).any()
