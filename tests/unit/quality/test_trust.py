"""How far each label of a set is trusted."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from holdfast.model.neighbors import nearest
from holdfast.model.pixels import average_pixels, principal_components
from holdfast.quality.trust import CLEAN, LEAST_TRUST, noise_among, trust

# How often each digit comes where the tail is long: 20 to 1.
LONG_TAIL = (170 * 20.0 ** (-np.arange(10) / 9)).astype(int)


@pytest.fixture(scope="module")
def digits():
    bunch = load_digits()
    images = (bunch.images * 15.9).astype(np.uint8)[:, None]
    return principal_components(average_pixels(images)), bunch.target.astype(np.int64)


def _rows(truth, long_tail):
    if not long_tail:
        return np.arange(len(truth))
    return np.concatenate([np.flatnonzero(truth == k)[: LONG_TAIL[k]] for k in range(10)])


def _redrawn(truth, share, seed, classes=10):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(truth)) < share, rng.integers(classes, size=len(truth)), truth)


def _clusters(sizes, spread=0.3, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    centers = 5 * rng.standard_normal((len(sizes), 6))
    points = centers[truth] + spread * rng.standard_normal((len(truth), 6))
    return points.astype(np.float32), truth


@pytest.mark.parametrize("long_tail", [False, True])
def test_trust_of_clean_labels_keeps_every_class(digits, long_tail):
    rows = _rows(digits[1], long_tail)
    embeddings, labels = digits[0][rows], digits[1][rows]
    weights = trust(embeddings, labels)
    for k in range(10):
        assert weights[labels == k].mean() > 0.97
    assert weights.min() > 0.9


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("noise", [0.2, 0.4])
@pytest.mark.parametrize(("long_tail", "kept", "pure"), [(False, 0.9, 0.98), (True, 0.85, 0.95)])
def test_trust_of_noisy_labels_keeps_the_right_ones(digits, noise, seed, long_tail, kept, pure):
    rows = _rows(digits[1], long_tail)
    embeddings, truth = digits[0][rows], digits[1][rows]
    labels = _redrawn(truth, noise, seed)
    weights, right = trust(embeddings, labels), labels == truth
    assert weights[right].mean() > kept
    assert weights[right].sum() / weights.sum() > pure


def test_trust_sums_to_the_number_of_right_labels(digits):
    labels = _redrawn(digits[1], 0.4, 3)
    right = (labels == digits[1]).sum()
    assert 0.88 < trust(digits[0], labels).sum() / right < 1.02


def test_trust_of_rare_labels_survives_noise_in_frequent_ones():
    embeddings, truth = _clusters([400, 400, 12])
    labels = _redrawn(truth, 0.3, 0, classes=3)
    weights = trust(embeddings, labels)
    rare = labels == 2
    assert weights[rare & (truth == 2)].mean() > 0.7
    assert weights[rare & (truth != 2)].mean() < 0.1


def test_trust_doubts_samples_of_a_class_nobody_named():
    embeddings, truth = _clusters([300, 300, 200])
    rng = np.random.default_rng(0)
    # The third cluster belongs to neither class; its labels are a coin's.
    labels = np.where(truth == 2, rng.integers(2, size=800), _redrawn(truth, 0.1, 1, classes=2))
    weights = trust(embeddings, labels)
    assert weights[truth == 2].mean() < 0.3
    assert weights[(truth < 2) & (labels == truth)].mean() > 0.85


def test_trust_permuting_samples_permutes_trust(digits):
    labels = _redrawn(digits[1], 0.3, 1)[:600]
    order = np.random.default_rng(0).permutation(600)
    one = trust(digits[0][:600], labels)
    other = trust(digits[0][:600][order], labels[order])
    assert np.allclose(one[order], other, atol=1e-6)


def test_trust_does_not_depend_on_class_ids(digits):
    labels = _redrawn(digits[1], 0.3, 1)[:600]
    renamed = np.random.default_rng(0).permutation(10)[labels] * 7 + 100
    one, other = trust(digits[0][:600], labels), trust(digits[0][:600], renamed)
    assert np.allclose(one, other)


def test_trust_of_a_class_without_support_is_small_but_not_nothing():
    embeddings, truth = _clusters([200, 200])
    labels = _redrawn(truth, 0.3, 0, classes=2)
    labels[np.random.default_rng(1).permutation(400)[:4]] = 9
    weights = trust(embeddings, labels)
    assert weights[labels == 9].min() == np.float32(LEAST_TRUST)


def test_trust_of_a_single_class_is_full():
    points, _ = _clusters([20])
    assert trust(points, np.full(20, 4)).tolist() == [1] * 20


@pytest.mark.parametrize("num", [0, 1, 2])
def test_trust_of_too_few_samples_is_full(num):
    weights = trust(np.zeros((num, 3), np.float32), np.arange(num))
    assert weights.tolist() == [1] * num
    assert weights.dtype == np.float32


@pytest.mark.parametrize("num", [3, 4, 7])
def test_trust_of_a_handful_is_a_probability(num):
    weights = trust(np.zeros((num, 3), np.float32), np.arange(num) % 2)
    assert ((weights >= 0) & (weights <= 1)).all()


def test_trust_among_many_copies_of_one_image_is_a_probability():
    points = np.repeat(np.eye(2, dtype=np.float32), 60, axis=0)
    weights = trust(points, np.arange(120) % 3)
    assert len(weights) == 120
    assert ((weights >= 0) & (weights <= 1)).all()


def test_noise_among_neighbors_is_near_the_share_redrawn(digits):
    near = nearest(digits[0], digits[0], 6)[1][:, 1:]
    for share in (0.0, 0.1, 0.2, 0.4):
        estimate = noise_among(near, _redrawn(digits[1], share, 0))
        assert abs(estimate - share) < 0.08
        assert (estimate < CLEAN) == (share == 0)


def test_trust_of_too_few_embeddings_is_an_error():
    with pytest.raises(ValueError, match="3 labels need as many embeddings, not 2"):
        trust(np.zeros((2, 1), np.float32), np.arange(3))


def test_trust_without_neighbors_is_an_error():
    with pytest.raises(ValueError, match="at least 1, not 0"):
        trust(np.zeros((3, 1), np.float32), np.arange(3), neighbors=0)
