import numpy as np
from cleanlab.count import num_label_issues
from cleanlab.rank import get_label_quality_scores

from holdfast.quality.confident_learning import inspect_labels


def _probs(seed: int, num: int = 300, num_classes: int = 4):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(num_classes, 0.3), size=num)
    labels = np.array([rng.choice(num_classes, p=row) for row in probs])
    return labels, probs


def test_inspect_labels_equals_a_direct_call_to_cleanlab():
    labels, probs = _probs(0)
    quality = inspect_labels(labels, probs)
    np.testing.assert_allclose(
        quality.scores_n, get_label_quality_scores(labels, probs, method="self_confidence")
    )
    direct = num_label_issues(labels, probs, estimation_method="off_diagonal")
    assert abs(quality.num_errors - direct) <= 1


def test_inspect_labels_in_small_batches_gives_the_same():
    labels, probs = _probs(1)
    whole, parts = inspect_labels(labels, probs), inspect_labels(labels, probs, batch_size=7)
    np.testing.assert_array_equal(whole.scores_n, parts.scores_n)
    np.testing.assert_allclose(whole.thresholds_k, parts.thresholds_k)
    assert whole.num_errors == parts.num_errors


def test_inspect_labels_empty_finds_nothing():
    quality = inspect_labels(np.empty(0, np.int64), np.empty((0, 3)))
    assert quality.num_errors == 0
    assert quality.scores_n.shape == (0,)
