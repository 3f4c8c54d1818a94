import numpy as np
import pytest

from holdfast.query.strategy import Candidates, top_n


def test_top_n_returns_highest_first():
    scores = np.array([0.2, 0.9, 0.5, 0.7])
    assert top_n(scores, 3, np.random.default_rng(0)).tolist() == [1, 3, 2]


def test_top_n_permuted_scores_select_the_same_samples():
    rng = np.random.default_rng(0)
    scores, order = rng.random(50), rng.permutation(50)
    plain = top_n(scores, 10, np.random.default_rng(1))
    moved = order[top_n(scores[order], 10, np.random.default_rng(1))]
    np.testing.assert_array_equal(plain, moved)


def test_top_n_equal_scores_are_drawn_at_random():
    drawn = [top_n(np.zeros(100), 1, np.random.default_rng(seed))[0] for seed in range(50)]
    assert len(set(drawn)) > 20


def test_top_n_more_than_there_are_returns_all():
    assert len(top_n(np.zeros(3), 10, np.random.default_rng(0))) == 3


def test_top_n_not_a_number_is_refused():
    with pytest.raises(ValueError, match="1 acquisition scores are not finite"):
        top_n(np.array([0.0, np.nan]), 1, np.random.default_rng(0))


def test_candidates_with_other_lengths_are_refused():
    with pytest.raises(ValueError, match="3 candidates but 2 embeddings"):
        Candidates(
            sample_ids_n=np.arange(3),
            pred_probs_nk=np.zeros((3, 0), np.float32),
            class_ids_k=np.empty(0, np.int64),
            embeddings_nd=np.zeros((2, 4), np.float32),
            labeled_counts_k=np.empty(0, np.int64),
            labeled_embeddings_md=np.zeros((0, 4), np.float32),
        )
