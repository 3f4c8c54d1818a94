import numpy as np
import pytest
from scipy.stats import chisquare

from holdfast.data.streaming_sampler import StreamingSampler


def test_draw_frequencies_fit_the_weights_also_after_they_changed() -> None:
    rng = np.random.default_rng(0)
    weights = rng.random(500) + 0.05
    sampler = StreamingSampler(rng.random(500))
    sampler.change(np.arange(500), weights)
    counts = np.bincount(
        np.concatenate([sampler.draw(256, rng) for _ in range(1000)]), minlength=500
    )
    assert chisquare(counts, weights / weights.sum() * counts.sum()).pvalue > 0.001


def test_draw_frequencies_of_other_weights_are_told_apart() -> None:
    # What the test above would say if the sampler were wrong by a twentieth.
    rng = np.random.default_rng(0)
    weights = np.ones(500)
    wrong = np.where(np.arange(500) < 250, 1.05, 0.95)
    counts = np.bincount(StreamingSampler(wrong).draw(256_000, rng), minlength=500)
    assert chisquare(counts, weights / weights.sum() * counts.sum()).pvalue < 1e-6


def test_draw_never_gives_a_sample_of_weight_zero() -> None:
    rng = np.random.default_rng(0)
    sampler = StreamingSampler(np.ones(3000))
    gone = np.flatnonzero(np.arange(3000) % 7)
    sampler.change(gone, np.zeros(len(gone)))
    assert not np.isin(sampler.draw(20_000, rng), gone).any()


def test_draw_without_replacement_gives_each_sample_once_in_a_pass() -> None:
    rng = np.random.default_rng(0)
    weights = rng.random(1000)
    weights[::10] = 0
    sampler = StreamingSampler(weights, replacement=False)
    first, both = sampler.draw(900, rng), sampler.draw(600, rng)
    assert np.array_equal(np.sort(first), np.flatnonzero(weights))
    assert len(np.unique(both)) == 600


def test_draw_without_replacement_takes_each_next_one_by_the_weights_left() -> None:
    rng = np.random.default_rng(0)
    weights = np.array([1.0, 2.0, 3.0])
    pairs = np.zeros((3, 3))
    for _ in range(6000):
        first, second = StreamingSampler(weights, replacement=False).draw(2, rng)
        pairs[first, second] += 1
    share = weights / 6
    wanted = share[:, None] * weights / (6 - weights)[:, None]
    off = ~np.eye(3, dtype=bool)
    assert not pairs[~off].any()
    assert chisquare(pairs[off], wanted[off] * 6000).pvalue > 0.001


def test_change_without_replacement_counts_for_who_came_in_the_next_pass() -> None:
    rng = np.random.default_rng(0)
    sampler = StreamingSampler(np.array([1e9, 1.0, 1.0]), replacement=False)
    assert sampler.draw(1, rng).tolist() == [0]
    sampler.change(np.array([0, 1]), np.array([5.0, 0.0]))
    assert sampler.draw(1, rng).tolist() == [2]
    assert sorted(sampler.draw(2, rng).tolist()) == [0, 2]


@pytest.mark.parametrize("replacement", [True, False])
def test_restore_goes_on_bit_for_bit(replacement: bool) -> None:
    rng = np.random.default_rng(0)
    sampler = StreamingSampler(rng.random(2000), replacement=replacement)
    sampler.draw(1900, rng)
    sampler.change(np.arange(300), rng.random(300) * 1e6)
    kept, state = sampler.tensors(), rng.bit_generator.state
    wanted = [sampler.draw(256, rng) for _ in range(20)]
    other, again = StreamingSampler(np.ones(2000), replacement=replacement), rng
    other.restore(kept)
    again.bit_generator.state = state
    assert np.array_equal(wanted, [other.draw(256, again) for _ in range(20)])


def test_restore_of_another_size_or_kind_is_refused() -> None:
    kept = StreamingSampler(np.ones(5)).tensors()
    for other in (StreamingSampler(np.ones(6)), StreamingSampler(np.ones(5), replacement=False)):
        with pytest.raises(ValueError, match="the state is of 5 samples"):
            other.restore(kept)


@pytest.mark.parametrize("wrong", [-1.0, np.nan, np.inf])
def test_change_without_replacement_refuses_what_is_no_weight_of_who_came(wrong: float) -> None:
    sampler = StreamingSampler(np.ones(2), replacement=False)
    came = sampler.draw(1, np.random.default_rng(0))
    with pytest.raises(ValueError, match=f"has {wrong}"):
        sampler.change(came, np.array([wrong]))


def test_draw_without_any_weight_is_refused() -> None:
    for replacement in (True, False):
        with pytest.raises(ValueError, match="no sample has a weight above 0"):
            StreamingSampler(np.zeros(3), replacement=replacement).draw(1, np.random.default_rng(0))
