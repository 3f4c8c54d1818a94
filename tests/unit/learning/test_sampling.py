"""Which samples go into a batch."""

import numpy as np
import pytest

from holdfast.learning.sampling import BatchSampler

LABELS = np.array([7] * 60 + [2] * 30 + [4] * 10)


def _draw(labels, weights, balance, size, seed=0):
    sampler = BatchSampler(labels, np.float32(weights), balance=balance)
    return sampler.draw(size, np.random.default_rng(seed))


def test_draw_balanced_gives_every_class_its_share_in_every_batch():
    sampler = BatchSampler(LABELS, np.ones(100, np.float32), balance=1.0)
    rng = np.random.default_rng(0)
    for _ in range(50):
        counts = np.unique(LABELS[sampler.draw(16, rng)], return_counts=True)[1]
        assert sorted(counts.tolist()) == [5, 5, 6]


def test_draw_unbalanced_follows_the_classes_as_they_are():
    drawn = LABELS[_draw(LABELS, np.ones(100), 0.0, 1000)]
    assert [(drawn == k).sum() for k in (7, 2, 4)] == [600, 300, 100]


def test_draw_with_a_weight_of_zero_never_draws_it():
    weights = np.ones(100)
    weights[::2] = 0
    assert (_draw(LABELS, weights, 1.0, 2000) % 2 == 1).all()


def test_draw_within_a_class_follows_the_trust():
    weights = np.ones(100)
    weights[0] = 0.25
    hits = np.bincount(_draw(LABELS[:60], weights[:60], 1.0, 60_000), minlength=60)
    # Expected: 253 for the doubted one, 1,013 for the others; five deviations each.
    assert abs(hits[0] - 253) < 80
    assert np.abs(hits[1:] - 1013).max() < 160


def test_draw_with_equal_trust_is_draw_without():
    assert np.array_equal(
        _draw(LABELS, np.ones(100), 0.5, 64), _draw(LABELS, np.full(100, 0.5), 0.5, 64)
    )


def test_draw_of_one_sample_repeats_it():
    assert _draw(np.array([3]), [0.1], 1.0, 4).tolist() == [0, 0, 0, 0]


def test_shares_between_bounds_lie_between_those_of_the_bounds():
    shares = [
        BatchSampler(LABELS, np.ones(100, np.float32), balance=b).shares_k for b in (0, 0.5, 1)
    ]
    rarest = [share_k[1] for share_k in shares]  # classes in order: 2, 4, 7
    assert rarest[0] < rarest[1] < rarest[2] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("labels", "weights", "balance", "message"),
    [
        ([1, 2], [0.0, 0.0], 1.0, "weight above 0"),
        ([], [], 1.0, "weight above 0"),
        ([1], [1.0, 1.0], 1.0, "1 labels but 2 weights"),
        ([1], [1.0], 1.5, "balance"),
    ],
)
def test_sampler_with_nothing_to_draw_from_is_an_error(labels, weights, balance, message):
    with pytest.raises(ValueError, match=message):
        BatchSampler(np.array(labels, np.int64), np.float32(weights), balance=balance)
