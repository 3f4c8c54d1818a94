"""Which samples go into a batch."""

import numpy as np
import pytest

from holdfast.learning.sampling import BatchSampler, Turns

# Class 1 of the five has no sample, nor has the last.
POSITIONS = np.array([3] * 60 + [0] * 30 + [2] * 10)
KINDS = ("systematic", "weighted", "progressive")


def _sampler(positions=POSITIONS, weights=None, balance=1.0, sampling="systematic"):
    weights = np.ones(len(positions)) if weights is None else weights
    return BatchSampler(
        np.array(positions, np.int64),
        np.float32(weights),
        num_classes=5,
        balance=balance,
        sampling=sampling,
    )


def _draw(size, done=0.0, seed=0, **settings):
    return _sampler(**settings).draw(size, np.random.default_rng(seed), done)


def test_draw_balanced_gives_every_class_its_share_in_every_batch():
    sampler, rng = _sampler(), np.random.default_rng(0)
    for _ in range(50):
        counts = np.unique(POSITIONS[sampler.draw(16, rng, 0.0)], return_counts=True)[1]
        assert sorted(counts.tolist()) == [5, 5, 6]


def test_draw_unbalanced_follows_the_classes_as_they_are():
    drawn = POSITIONS[_draw(1000, balance=0.0)]
    assert np.bincount(drawn, minlength=5).tolist() == [300, 0, 100, 600, 0]


@pytest.mark.parametrize("sampling", KINDS)
def test_draw_with_a_weight_of_zero_never_draws_it(sampling):
    weights = np.ones(100)
    weights[::2] = 0
    assert (_draw(2000, done=0.5, weights=weights, sampling=sampling) % 2 == 1).all()


def test_draw_within_a_class_follows_the_trust():
    weights = np.ones(60)
    weights[0] = 0.25
    hits = np.bincount(_draw(60_000, positions=POSITIONS[:60], weights=weights), minlength=60)
    # Expected: 253 for the doubted one, 1,013 for the others; five deviations each.
    assert abs(hits[0] - 253) < 80
    assert np.abs(hits[1:] - 1013).max() < 160


@pytest.mark.parametrize("sampling", KINDS)
def test_draw_with_equal_trust_is_draw_without(sampling):
    one, two = (
        _draw(64, done=0.3, balance=0.5, weights=np.full(100, w), sampling=sampling)
        for w in (1, 0.5)
    )
    assert np.array_equal(one, two)


@pytest.mark.parametrize("sampling", KINDS)
def test_draw_of_one_sample_repeats_it(sampling):
    drawn = _draw(4, positions=[3], weights=[0.1], sampling=sampling)
    assert drawn.tolist() == [0, 0, 0, 0]


def test_draw_weighted_has_the_shares_on_average_only():
    drawn = POSITIONS[_draw(30_000, sampling="weighted")]
    assert np.abs(np.bincount(drawn, minlength=5)[[0, 2, 3]] - 10_000).max() < 500
    counts = {
        np.bincount(POSITIONS[_draw(30, sampling="weighted", seed=seed)], minlength=3)[2]
        for seed in range(20)
    }
    assert len(counts) > 2


def test_progressive_shares_move_from_natural_to_balanced():
    sampler = _sampler(sampling="progressive")
    start, middle, end = (sampler.shares_k(done) for done in (0.0, 0.5, 1.0))
    np.testing.assert_allclose(start, _sampler(balance=0.0).shares_k(0.0))
    np.testing.assert_allclose(end, _sampler(balance=1.0).shares_k(0.0))
    np.testing.assert_allclose(middle, (start + end) / 2)
    drawn = POSITIONS[_draw(600, done=0.5, sampling="progressive")]
    assert np.abs(np.bincount(drawn, minlength=5) - 600 * middle).max() < 1


def test_shares_between_bounds_lie_between_those_of_the_bounds():
    rarest = [_sampler(balance=b).shares_k(0.0)[2] for b in (0, 0.5, 1)]
    assert rarest[0] < rarest[1] < rarest[2] == pytest.approx(1 / 3)


@pytest.mark.parametrize("sampling", KINDS)
def test_shares_have_a_place_for_every_class_and_sum_to_one(sampling):
    shares = _sampler(sampling=sampling, balance=0.7).shares_k(0.4)
    assert shares[[1, 4]].tolist() == [0, 0]
    assert shares.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("positions", "weights", "balance", "message"),
    [
        ([1, 2], [0.0, 0.0], 1.0, "weight above 0"),
        ([], [], 1.0, "weight above 0"),
        ([1], [1.0, 1.0], 1.0, "1 labels but 2 weights"),
        ([1], [1.0], 1.5, "balance"),
        ([5], [1.0], 1.0, "not one of 5 classes"),
    ],
)
def test_sampler_with_nothing_to_draw_from_is_an_error(positions, weights, balance, message):
    with pytest.raises(ValueError, match=message):
        _sampler(positions, weights, balance)


@pytest.mark.parametrize("size", [1, 4, 7, 100])
def test_turns_give_every_sample_exactly_its_passes(size):
    rows, rng = np.array([4, 9, 2, 7, 5]), np.random.default_rng(0)
    turns, drawn = Turns(rows, 3), []
    while turns.left:
        drawn.append(turns.draw(size, rng))
        # At no time has one sample had two turns more than another.
        counts = np.bincount(np.concatenate(drawn), minlength=10)[rows]
        assert counts.max() - counts.min() <= 1
    assert (counts == 3).all()
    assert all(len(part) == size for part in drawn[:-1])
    assert len(turns.draw(size, rng)) == 0


def test_turns_have_another_order_in_each_pass():
    turns, rng = Turns(np.arange(50), 2), np.random.default_rng(0)
    one, two = turns.draw(50, rng), turns.draw(50, rng)
    assert not np.array_equal(one, two)
    assert np.array_equal(np.sort(one), np.sort(two))


def test_turns_unshuffled_come_as_they_are():
    turns = Turns(np.array([8, 3, 5]), 2, shuffled=False)
    assert turns.draw(6, np.random.default_rng(0)).tolist() == [8, 3, 5, 8, 3, 5]


def test_turns_restored_in_the_middle_go_on_the_same():
    rows, rng = np.arange(10), np.random.default_rng(0)
    turns = Turns(rows, 4)
    turns.draw(13, rng)
    again, other = Turns(rows, 4), np.random.default_rng(9)
    again.restore({key: value.copy() for key, value in turns.tensors().items()})
    other.bit_generator.state = rng.bit_generator.state
    assert turns.left == again.left
    for _ in range(4):
        assert np.array_equal(turns.draw(7, rng), again.draw(7, other))


def test_turns_of_nobody_are_empty():
    turns = Turns(np.zeros(0, np.int64), 2)
    assert turns.left == 0
    assert len(turns.draw(3, np.random.default_rng(0))) == 0


def test_turns_without_a_pass_are_an_error():
    with pytest.raises(ValueError, match="passes"):
        Turns(np.arange(3), 0)
