import numpy as np

from holdfast.query.minority import class_weights, expected_rarity
from holdfast.query.strategy import Candidates


def _candidates(probs, counts):
    probs = np.asarray(probs, np.float32)
    return Candidates(
        sample_ids_n=np.arange(len(probs)),
        pred_probs_nk=probs,
        class_ids_k=np.arange(probs.shape[1]),
        embeddings_nd=np.zeros((len(probs), 2), np.float32),
        labeled_counts_k=np.asarray(counts, np.int64),
        labeled_embeddings_md=np.zeros((0, 2), np.float32),
    )


def test_class_weights_power_zero_is_one_everywhere():
    assert class_weights(np.array([1000, 10, 0]), 0.0).tolist() == [1.0, 1.0, 1.0]


def test_class_weights_equal_counts_are_one_everywhere():
    assert class_weights(np.array([7, 7]), 1.0).tolist() == [1.0, 1.0]


def test_expected_rarity_is_the_mean_weight_under_the_probabilities():
    rarity = expected_rarity(_candidates([[1, 0], [0, 1], [0.5, 0.5]], [100, 25]), 0.5)
    np.testing.assert_allclose(rarity, [0.5, 1.0, 0.75])


def test_expected_rarity_without_a_model_is_one():
    assert expected_rarity(_candidates(np.ones((3, 0)), []), 1.0).tolist() == [1.0, 1.0, 1.0]
