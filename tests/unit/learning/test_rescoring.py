"""Trust in exemplars, revised, and what the buffer reports."""

import json

import numpy as np
import pytest

from holdfast.learning.replay import empty_buffer, merge, shrink
from holdfast.learning.rescoring import LEAST_BELIEF, describe_buffer, rescore
from holdfast.records import Experience


def _buffer(labels, weights=None):
    num = len(labels)
    experience = Experience(
        number=1,
        sample_ids_n=np.arange(num),
        images_nchw=np.zeros((num, 1, 8, 8), np.uint8),
        labels_n=np.array(labels, np.int64),
        weights_n=np.ones(num, np.float32) if weights is None else np.float32(weights),
        withdrawn_ids=np.zeros(0, np.int64),
    )
    return merge(empty_buffer((1, 8, 8)), experience, np.random.default_rng(0))


def _probs(labels, class_ids, confidence):
    """Return rows that give each label its confidence and split the rest."""
    labels, class_ids = np.array(labels), np.array(class_ids)
    rest = (1 - np.array(confidence, float)) / (len(class_ids) - 1)
    return np.where(
        labels[:, None] == class_ids, np.array(confidence, float)[:, None], rest[:, None]
    )


def test_rescore_of_equal_belief_changes_nothing():
    labels = [4, 4, 9, 9]
    buffer = _buffer(labels, [1, 0.5, 1, 0.2])
    again = rescore(buffer, _probs(labels, [9, 4, 1], [0.7, 0.7, 0.2, 0.2]), np.array([9, 4, 1]))
    assert np.allclose(again.weights_n, buffer.weights_n)


def test_rescore_twice_is_rescoring_once():
    labels, ids = [4] * 6, np.array([4, 5])
    probs = _probs(labels, ids, [0.9, 0.9, 0.8, 0.9, 0.4, 0.05])
    once = rescore(_buffer(labels, [0.5] * 6), probs, ids)
    twice = rescore(once, probs, ids)
    assert once.weights_n.tobytes() == twice.weights_n.tobytes()
    sure = rescore(twice, _probs(labels, ids, [0.9] * 6), ids)
    assert np.allclose(sure.weights_n, 0.5)


def test_rescore_lowers_doubted_labels_as_far_as_they_were_doubted():
    labels, ids = [0] * 10 + [1] * 10, np.array([0, 1])
    confidence = [0.9] * 9 + [0.0] + [0.9] * 9 + [0.5]
    buffer = _buffer(labels, [0.5] * 20)
    weights = rescore(buffer, _probs(labels, ids, confidence), ids).weights_n
    assert weights[9] == pytest.approx(0.5 * (1 - 0.5 * (1 - LEAST_BELIEF)))
    assert weights[9] < weights[19] < 0.5
    assert weights[:9].min() == 0.5 and weights[10:19].min() == 0.5


def test_rescore_leaves_confirmed_labels_alone_however_hard_they_are():
    labels, ids = [0] * 9 + [1], np.array([0, 1])
    buffer = _buffer(labels, [0.6] * 4 + [1.0] * 6)
    again = rescore(buffer, _probs(labels, ids, [0.9] * 8 + [0.0, 0.1]), ids)
    assert again.weights_n[4:].tolist() == [1.0] * 6


def test_rescore_of_a_class_the_network_hardly_knows_keeps_its_trust():
    labels, ids = [0] * 50 + [1] * 3, np.array([0, 1, 2])
    probs = _probs(labels, ids, [0.95] * 50 + [0.02] * 3)
    weights = rescore(_buffer(labels), probs, ids).weights_n
    assert np.allclose(weights, 1)


def test_rescore_of_a_class_the_network_never_saw_keeps_its_trust():
    labels, ids = [0, 0, 7, 7], np.array([0, 3])
    weights = rescore(_buffer(labels, [1, 1, 0.3, 1]), np.full((4, 2), 0.5), ids).weights_n
    assert weights.tolist() == np.float32([1, 1, 0.3, 1]).tolist()


def test_rescore_of_a_class_without_any_confidence_keeps_its_trust():
    labels, ids = [0, 0], np.array([0, 1])
    assert rescore(_buffer(labels), _probs(labels, ids, [0, 0]), ids).weights_n.tolist() == [1, 1]


def test_rescore_permuting_classes_changes_nothing():
    rng = np.random.default_rng(0)
    labels = rng.choice([2, 5, 11], size=60)
    probs, ids = rng.dirichlet(np.ones(3), size=60), np.array([2, 5, 11])
    order = np.array([2, 0, 1])
    one, other = (
        rescore(_buffer(labels), p, k) for p, k in ((probs, ids), (probs[:, order], ids[order]))
    )
    assert one.weights_n.tobytes() == other.weights_n.tobytes()


def test_rescore_before_shrinking_makes_the_buffer_purer():
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=400)
    wrong = rng.random(400) < 0.3
    labels, ids = np.where(wrong, 1 - truth, truth), np.array([0, 1])
    confidence = np.where(wrong, 0.15, 0.85)
    buffer = _buffer(labels, np.full(400, 0.4))
    purity = [
        describe_buffer(kept, 60, truth[kept.sample_ids_n])["purity"]
        for kept in (
            shrink(buffer, 60),
            shrink(rescore(buffer, _probs(labels, ids, confidence), ids), 60),
        )
    ]
    assert purity[1] > purity[0] + 0.05


def test_rescore_with_probabilities_of_another_shape_is_an_error():
    with pytest.raises(ValueError, match=r"\(2, 3\) \(exemplars, classes\), not \(2, 2\)"):
        rescore(_buffer([0, 1]), np.ones((2, 2)), np.arange(3))


def test_describe_buffer_gives_json_with_fill_shares_trust_and_purity():
    buffer = _buffer([3, 3, 3, 8], [1, 1, 0.5, 0.5])
    summary = describe_buffer(buffer, 16, np.array([3, 3, 8, 8]))
    assert json.loads(json.dumps(summary)) == {
        "samples": 4,
        "fill": 0.25,
        "shares": {"3": 0.75, "8": 0.25},
        "trust": 0.75,
        "purity": 0.75,
    }
    assert "purity" not in describe_buffer(buffer, 16)


def test_describe_buffer_of_an_empty_one_says_so():
    summary = describe_buffer(empty_buffer((1, 8, 8)), 0, np.zeros(0, np.int64))
    assert summary == {"samples": 0, "fill": 0.0, "shares": {}, "trust": None, "purity": None}
