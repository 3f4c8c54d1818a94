import numpy as np
import pytest
from cleanlab.rank import get_label_quality_scores

from holdfast.quality.confident_learning import label_scores

METHODS = ("self_confidence", "normalized_margin", "confidence_weighted_entropy")


def _probs(seed: int, num: int = 300, num_classes: int = 4):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(num_classes, 0.3), size=num)
    labels = np.array([rng.choice(num_classes, p=row) for row in probs])
    return labels, probs


@pytest.mark.parametrize("method", METHODS)
def test_label_scores_in_small_batches_equal_a_direct_call_to_cleanlab(method):
    labels, probs = _probs(0)
    direct = get_label_quality_scores(labels, probs, method=method)
    parts = label_scores(labels, probs, method, batch_entries=28)
    np.testing.assert_allclose(parts, direct, atol=1e-12)


def test_label_scores_of_self_confidence_are_the_probability_of_the_label():
    labels, probs = _probs(1)
    scores = label_scores(labels, probs, "self_confidence")
    np.testing.assert_allclose(scores, probs[np.arange(300), labels])


def test_label_scores_empty_gives_none():
    assert label_scores(np.empty(0, np.int64), np.empty((0, 3)), METHODS[0]).shape == (0,)
