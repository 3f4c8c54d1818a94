"""A few samples that stand for many."""

import numpy as np

from holdfast.learning.subsample import subsample


def _subsample(labels, num, trust=None, seed=0):
    trust = np.ones(len(labels)) if trust is None else np.array(trust)
    labels = np.array(labels)
    return subsample(labels, trust.astype(np.float32), num, np.random.default_rng(seed))


def test_subsample_gives_classes_equal_shares_and_spare_ones_to_others():
    labels = np.repeat([5, 1, 9], [40, 30, 2])
    assert np.bincount(labels[_subsample(labels, 20)])[[1, 5, 9]].tolist() == [9, 9, 2]


def test_subsample_takes_no_sample_twice_and_no_more_than_there_are():
    assert _subsample([1, 1, 2], 10).tolist() == [0, 1, 2]
    assert _subsample([1, 1, 2], 0).tolist() == []
    assert _subsample([], 3).tolist() == []


def test_subsample_leaves_samples_without_trust_out():
    assert _subsample([1, 1, 1, 2], 3, trust=[0, 1, 0, 1]).tolist() == [1, 3]


def test_subsample_prefers_trusted_samples():
    trust = np.r_[np.ones(50), np.full(50, 0.05)]
    chosen = np.concatenate([_subsample(np.zeros(100), 20, trust, seed) for seed in range(20)])
    assert (chosen < 50).mean() > 0.8
