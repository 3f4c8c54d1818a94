import numpy as np

from holdfast.query.diversity import novelty, spread_picks
from holdfast.query.strategy import Candidates


def _candidates(embeddings, labeled=()):
    embeddings = np.asarray(embeddings, np.float32)
    labeled = np.asarray(labeled, np.float32).reshape(-1, embeddings.shape[1])
    return Candidates(
        sample_ids_n=np.arange(len(embeddings)),
        pred_probs_nk=np.zeros((len(embeddings), 0), np.float32),
        class_ids_k=np.empty(0, np.int64),
        embeddings_nd=embeddings,
        labeled_counts_k=np.empty(0, np.int64),
        labeled_embeddings_md=labeled,
    )


def test_novelty_is_zero_at_a_labeled_sample_and_one_farthest_away():
    pool = _candidates([[1, 0], [1, 0.5], [0, 1]], [[1, 0]])
    np.testing.assert_allclose(novelty(pool), [0.0, 0.5, 1.0])


def test_novelty_without_labels_is_one():
    assert novelty(_candidates([[1, 0], [0, 1]])).tolist() == [1.0, 1.0]


def test_novelty_equal_distances_are_equal():
    pool = _candidates([[0, 1], [0, 2], [1, 0]], [[1, 0]])
    assert novelty(pool)[0] == novelty(pool)[1]


def test_spread_picks_takes_one_of_each_group_of_copies():
    copies = np.repeat(np.eye(4), 10, axis=0)
    picks = spread_picks(
        _candidates(copies), np.ones(40), 4, factor=10, rng=np.random.default_rng(0)
    )
    assert sorted((picks // 10).tolist()) == [0, 1, 2, 3]


def test_spread_picks_factor_one_takes_the_highest_scores():
    scores = np.arange(20.0)
    pool = _candidates(np.random.default_rng(0).normal(size=(20, 3)))
    picks = spread_picks(pool, scores, 5, factor=1, rng=np.random.default_rng(0))
    assert picks.tolist() == [19, 18, 17, 16, 15]


def test_spread_picks_more_than_the_pool_returns_the_pool():
    pool = _candidates(np.random.default_rng(0).normal(size=(3, 3)))
    picks = spread_picks(pool, np.ones(3), 9, factor=4, rng=np.random.default_rng(0))
    assert sorted(picks.tolist()) == [0, 1, 2]
