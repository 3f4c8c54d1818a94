"""Which exemplars stay."""

import numpy as np
import pytest

from holdfast.learning.exemplars import fair_shares, hardness, herd, herded, priorities


def test_fair_shares_under_imbalance_uses_every_slot():
    assert fair_shares(np.array([4000, 400, 40]), 600).tolist() == [280, 280, 40]


@pytest.mark.parametrize("seed", range(5))
def test_fair_shares_always_fills_and_never_favors_the_larger(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 50, size=8)
    for capacity in (0, 1, 7, 100, 1000):
        shares = fair_shares(counts, capacity)
        assert shares.sum() == min(capacity, counts.sum())
        assert (shares <= counts).all()
        cut = shares < counts
        # Whoever was cut has, within one slot, as much as the largest share.
        assert not cut.any() or shares[cut].min() >= shares.max() - 1


def test_fair_shares_of_a_negative_capacity_is_an_error():
    with pytest.raises(ValueError, match="0 or more, not -1"):
        fair_shares(np.array([3]), -1)


def test_priorities_of_equal_weights_rank_as_the_keys_do():
    keys = np.random.default_rng(0).random(50)
    for weight in (0.0, 0.3, 1.0):
        ranked = np.argsort(priorities(keys, np.full(50, weight, np.float32)))
        assert np.array_equal(ranked, np.argsort(keys))


def test_priorities_of_a_zero_key_are_finite():
    assert np.isfinite(priorities(np.zeros(1), np.ones(1, np.float32))).all()


def _embeddings(num=200, seed=0):
    return np.random.default_rng(seed).standard_normal((num, 8)).astype(np.float32) + 0.5


def _distance_of_means(embeddings, rows):
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.linalg.norm(unit[rows].mean(axis=0) - unit.mean(axis=0))


def test_herd_of_fewer_is_a_prefix_of_more():
    embeddings, weights = _embeddings(), np.ones(200, np.float32)
    more = herd(embeddings, weights, 50)
    assert len(set(more.tolist())) == 50
    assert np.array_equal(herd(embeddings, weights, 20), more[:20])


def test_herd_follows_the_mean_closer_than_a_draw():
    embeddings = _embeddings()
    herd_distance = _distance_of_means(embeddings, herd(embeddings, np.ones(200, np.float32), 10))
    drawn = [
        _distance_of_means(embeddings, np.random.default_rng(seed).permutation(200)[:10])
        for seed in range(20)
    ]
    assert herd_distance < min(drawn)


def test_herd_matches_the_method_written_out():
    embeddings = _embeddings(30)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    mean, picked = unit.mean(axis=0), []
    for k in range(1, 11):
        distances = [
            np.inf if i in picked else np.linalg.norm(mean - (unit[[*picked, i]].sum(0)) / k)
            for i in range(30)
        ]
        picked.append(int(np.argmin(distances)))
    assert herd(embeddings, np.ones(30, np.float32), 10).tolist() == picked


def test_herd_of_all_takes_everyone_whatever_the_trust():
    weights = np.r_[np.zeros(5), np.ones(5)].astype(np.float32)
    picks = herd(_embeddings(10), weights, 10)
    assert sorted(picks.tolist()) == list(range(10))
    assert sorted(picks[:5].tolist()) == list(range(5, 10))


def test_herd_prefers_trusted_samples_among_equals():
    embeddings = np.repeat(_embeddings(20), 2, axis=0)
    weights = np.tile(np.float32([0.2, 1.0]), 20)
    picks = herd(embeddings, weights, 20)
    assert weights[picks].mean() > 0.9


def test_herd_of_identical_samples_picks_each_once():
    picks = herd(np.ones((6, 3), np.float32), np.ones(6, np.float32), 6)
    assert sorted(picks.tolist()) == list(range(6))


def test_herded_picks_within_each_class_alone():
    labels = np.repeat([3, 8], 100)
    embeddings, weights = _embeddings(), np.ones(200, np.float32)
    stays = herded(labels, weights, embeddings, 20)
    for k in (3, 8):
        rows = np.flatnonzero(labels == k)
        alone = rows[herd(embeddings[rows], weights[rows], 10)]
        assert np.array_equal(np.flatnonzero(stays & (labels == k)), np.sort(alone))


def test_hardness_of_the_usual_loss_is_a_half_and_a_wild_one_counts_less_than_twice():
    labels = np.array([0, 0, 0, 7, 7])
    hard = hardness(labels, np.float32([1, 1, 1, 0.1, 1e6]))
    assert hard[:3].tolist() == [0.5] * 3
    assert hard.max() < 1 and hard.min() > 0


def test_hardness_without_any_loss_is_the_same_for_all():
    assert hardness(np.zeros(3, np.int64), np.zeros(3, np.float32)).tolist() == [0.5] * 3


@pytest.mark.parametrize("loss", [np.nan, np.inf, -1.0])
def test_hardness_of_an_impossible_loss_is_an_error(loss):
    with pytest.raises(ValueError, match="losses"):
        hardness(np.zeros(2, np.int64), np.float32([1, loss]))
