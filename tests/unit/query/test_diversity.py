import numpy as np

from holdfast.query.diversity import balanced_picks, novelty
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


def _picks(scores, votes, places, num, *, power=0.5, labeled=None, width=0.1):
    votes = np.asarray(votes, np.float32)
    return balanced_picks(
        np.asarray(scores, np.float64),
        votes,
        np.asarray(places, np.float32),
        num,
        labeled_k=np.ones(votes.shape[1]) if labeled is None else np.asarray(labeled, float),
        power=power,
        width=width,
    )


def test_balanced_picks_takes_one_of_each_group_of_copies():
    picks = _picks(np.ones(40), np.ones((40, 1)), np.repeat(np.eye(4), 10, axis=0), 4)
    assert sorted((picks // 10).tolist()) == [0, 1, 2, 3]


def test_balanced_picks_of_nothing_but_copies_follow_the_scores():
    picks = _picks([0.1, 0.3, 0.2], np.ones((3, 1)), np.ones((3, 2)), 3)
    assert picks.tolist() == [1, 2, 0]


def test_balanced_picks_without_power_and_width_take_the_highest_scores():
    rng = np.random.default_rng(0)
    places, votes = 100 * rng.normal(size=(20, 3)), rng.dirichlet(np.ones(4), size=20)
    picks = _picks(np.arange(20), votes, places, 5, power=0, labeled=[1, 50, 2, 9], width=0)
    assert picks.tolist() == [19, 18, 17, 16, 15]


def test_balanced_picks_share_a_query_between_classes_that_lack_labels_alike():
    rng = np.random.default_rng(1)
    classes = np.repeat([0, 1], [90, 10])
    picks = _picks(
        rng.uniform(0.5, 1, 100), np.eye(2)[classes], rng.normal(size=(100, 5)), 12, power=2
    )
    assert np.bincount(classes[picks]).min() >= 5  # by chance 1


def test_balanced_picks_prefer_the_class_with_fewer_labels():
    places = np.random.default_rng(1).normal(size=(6, 3))
    votes = np.eye(2)[[0, 0, 0, 1, 1, 1]]
    assert set(_picks(np.ones(6), votes, places, 3, labeled=[30, 2]).tolist()) == {3, 4, 5}
