"""The learning rate of each step."""

import pytest

from holdfast.learning.schedule import rate
from holdfast.learning.settings import OptimizerConfig


def _rates(schedule, steps=200, seen=0):
    config = OptimizerConfig(learning_rate=0.5, schedule=schedule)
    return [rate(config, step, steps, seen) for step in range(steps)]


def test_cosine_rises_over_a_tenth_then_falls_to_nearly_nothing():
    rates = _rates("cosine")
    assert rates[0] == pytest.approx(0.5 / 20, rel=1e-3)
    assert rates[:20] == sorted(rates[:20])
    assert rates[19:] == sorted(rates[19:], reverse=True)
    assert max(rates) == pytest.approx(0.5, rel=0.03)
    assert rates[-1] == pytest.approx(0.005, rel=0.02)


def test_cosine_of_one_step_takes_the_whole_rate():
    assert _rates("cosine", steps=1) == [0.5]


def test_constant_stays():
    assert set(_rates("constant", seen=10**6)) == {0.5}


@pytest.mark.parametrize(("seen", "decays"), [(0, 0), (999, 0), (1000, 1), (12_345, 12)])
def test_samples_seen_decays_by_the_thousand_whatever_the_step(seen, decays):
    assert _rates("samples_seen", steps=3, seen=seen) == [0.5 * 0.7 * 0.95**decays] * 3


@pytest.mark.parametrize("step", [-1, 5])
def test_rate_of_a_step_that_is_none_is_an_error(step):
    with pytest.raises(ValueError, match=f"step {step}"):
        rate(OptimizerConfig(), step, 5, 0)
