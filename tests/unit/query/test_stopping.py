import numpy as np
import pytest

from holdfast.query.stopping import advise_stopping, expected_gain

NO_KAPPAS = np.empty(0)


def rounds(curve, num, width=0.02, noise=0.0, seed=0):
    labels = 50 * np.arange(1, num + 1)
    f1 = curve(labels.astype(float))
    f1 = np.clip(f1 + np.random.default_rng(seed).normal(0, noise, num), 0, 1)
    return labels, f1, f1 - width, f1 + width


def rising(labels):
    return 0.9 - 10 / labels


def flat(labels):
    return 0.9 + 0 * labels


def gain_of(curve, num, answers=50, **settings):
    return expected_gain(
        *rounds(curve, num, **settings), answers=answers, rng=np.random.default_rng(0)
    )


def advise(curve, num, *, least_gain=0.01, num_pool=500, kappas=NO_KAPPAS):
    return advise_stopping(
        *rounds(curve, num),
        answers=50,
        num_pool=num_pool,
        least_gain=least_gain,
        kappas_t=np.asarray(kappas),
        rng=np.random.default_rng(0),
    )


@pytest.mark.parametrize("num", [3, 6, 12])
def test_gain_of_a_power_law_holds_what_the_next_answers_bring(num):
    gain = gain_of(rising, num)
    true = rising(50.0 * (num + 1)) - rising(50.0 * num)
    assert gain.low <= true <= gain.high
    assert gain.low <= gain.mean <= gain.high


def test_gain_from_few_rounds_is_wider_than_from_many():
    widths = [gain_of(rising, num) for num in (1, 3, 8, 20)]
    spans = [gain.high - gain.low for gain in widths]
    assert spans == sorted(spans, reverse=True)
    assert spans[0] > 10 * spans[-1]


def test_gain_grows_with_the_answers_and_none_bring_none():
    none, few, many = (gain_of(rising, 5, answers=answers) for answers in (0, 50, 500))
    assert none.mean == none.high == 0.0
    assert few.mean < many.mean


def test_gain_never_leads_beyond_one():
    gain = gain_of(lambda labels: 0.99 + 0 * labels, 1, answers=100_000, width=0.3)
    assert gain.high <= 0.01 + 1e-9


def test_gain_wider_limits_of_few_rounds_make_it_less_sure():
    narrow, wide = (gain_of(rising, 4, width=width) for width in (0.01, 0.1))
    assert wide.high - wide.low > narrow.high - narrow.low


def test_gain_scatter_of_many_rounds_counts_where_it_is_less_than_their_limits():
    assert gain_of(rising, 12, width=0.3).high < 3 * gain_of(rising, 12, width=0.02).high


@pytest.mark.parametrize("changed", [{"answers": -1}, {"labels_t": np.array([0, 50])}])
def test_gain_values_out_of_range_are_refused(changed):
    labels, f1, low, high = rounds(rising, 2)
    given = {"labels_t": labels, "macro_f1_t": f1, "low_t": low, "high_t": high, "answers": 5}
    with pytest.raises(ValueError, match="rounds should have"):
        expected_gain(**(given | changed), rng=np.random.default_rng(0))


def test_advice_flat_curve_stops_with_the_gain_and_its_limits():
    advice = advise(flat, 10)
    assert advice.stop
    assert advice.gain.mean < 0.005
    assert "50 answers are expected to bring" in advice.reason
    assert "at least the wanted 0.0050 only with probability" in advice.reason


def test_advice_rising_curve_goes_on():
    assert not advise(rising, 4).stop


def test_advice_one_round_is_too_little_to_stop_on():
    assert not advise(flat, 1).stop


def test_advice_a_gain_nobody_asked_for_is_no_reason_to_stop():
    assert not advise(flat, 10, least_gain=0.0).stop


def test_advice_used_up_pool_stops():
    assert advise(rising, 4, num_pool=0).reason == "no sample without a label is left"


def test_advice_before_the_first_round_goes_on():
    advice = advise(flat, 0)
    assert (advice.stop, advice.gain) == (False, None)


@pytest.mark.parametrize(
    ("kappas", "stop"),
    [
        ([0.5, 0.995, 0.992, 1.0], True),
        ([0.995, 0.98, 0.995], False),
        ([1.0, 1.0], False),
        ([0.999, np.nan, 0.999], False),
    ],
)
def test_advice_three_models_that_agree_stop(kappas, stop):
    advice = advise(rising, 4, kappas=kappas)
    assert advice.stop == stop
    assert ("kappa" in advice.reason) == stop
