"""Noise judged from labels and probabilities, where the truth is known."""

import numpy as np
import pytest

from holdfast.quality.candidates import CANDIDATES, blocks, candidates, local_flips, log_sizes
from holdfast.quality.cut import cut_for_f1, cut_for_precision, with_checked, with_sum
from holdfast.quality.disagreement import survey, wrong_by_class
from holdfast.quality.flips import flip_shares
from holdfast.quality.label_noise import judge


def _softmax(logits):
    exps = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exps / exps.sum(axis=1, keepdims=True)


def _world(seed, *, num=6000, shares=None, num_classes=5, height=4.0, noise=0.2, pairs=False):
    """Labels, whether each is wrong, true classes, and what a calibrated model of them says.

    With `pairs`, each class is only ever taken for the next, and the model learned to.
    """
    rng = np.random.default_rng(seed)
    shares = np.full(num_classes, 1 / num_classes) if shares is None else np.asarray(shares)
    num_classes = len(shares)
    true = rng.choice(num_classes, num, p=shares)
    logits = rng.normal(scale=1.5, size=(num, num_classes))
    logits[np.arange(num), true] += height
    if pairs:
        flips = (1 - noise) * np.eye(num_classes) + noise * np.roll(np.eye(num_classes), 1, axis=1)
    else:
        flips = np.full((num_classes, num_classes), noise / (num_classes - 1))
        np.fill_diagonal(flips, 1 - noise)
    truths = _softmax(logits * height / 1.5**2 + np.log(shares))
    given = (flips[true].cumsum(axis=1) > rng.random((num, 1))).argmax(axis=1)
    return given, given != true, true, truths @ flips


def _f1(wrong, flagged):
    return 2 * (wrong & flagged).sum() / max(1, wrong.sum() + flagged.sum())


def _best_f1(wrong, scores):
    found = np.cumsum(wrong[np.argsort(scores, kind="stable")])
    return (2 * found / (np.arange(1, len(wrong) + 1) + wrong.sum())).max()


@pytest.mark.parametrize("power", [0.4, 1.0, 2.0])
@pytest.mark.parametrize(
    ("noise", "pairs"), [(0.05, False), (0.2, False), (0.4, False), (0.2, True), (0.4, True)]
)
def test_cut_is_near_the_best_one_however_sure_the_model_is(noise, power, pairs):
    given, wrong, _, probs = _world(0, noise=noise, pairs=pairs)
    told = _softmax(power * np.log(probs))
    judged = judge(given, told)
    flagged = cut_for_f1(judged.error_probs_n)
    assert _f1(wrong, flagged) > _best_f1(wrong, judged.scores_n) - 0.03


@pytest.mark.parametrize("height", [2.0, 6.0])
def test_clean_labels_are_hardly_flagged(height):
    given, _, _, probs = _world(1, noise=0.0, height=height)
    judged = judge(given, probs)
    assert cut_for_f1(judged.error_probs_n).mean() < 0.01
    assert judged.error_probs_n.mean() < 0.01


def test_estimated_number_of_errors_follows_the_truth():
    for noise in (0.05, 0.1, 0.2, 0.4):
        given, wrong, _, probs = _world(2, noise=noise)
        assert judge(given, probs).error_probs_n.sum() == pytest.approx(wrong.sum(), rel=0.3)


def test_labels_flipped_one_way_rank_better_than_by_self_confidence():
    given, wrong, _, probs = _world(3, noise=0.3, pairs=True)
    plain = _best_f1(wrong, probs[np.arange(len(given)), given])
    assert _best_f1(wrong, judge(given, probs).scores_n) > plain + 0.05


def test_renumbered_classes_give_the_same_scores():
    given, _, _, probs = _world(4)
    order = np.random.default_rng(0).permutation(5)
    moved = judge(np.argsort(order)[given], probs[:, order])
    plain = judge(given, probs)
    np.testing.assert_allclose(moved.scores_n, plain.scores_n, rtol=1e-3, atol=1e-6)
    np.testing.assert_array_equal(order[moved.predicted_n], plain.predicted_n)


def test_rare_class_of_a_model_that_follows_the_prior_is_not_suspect_for_being_rare():
    rates = np.zeros(2)
    for seed in range(3):
        given, wrong, true, probs = _world(
            seed, num=20_000, shares=[0.45, 0.3, 0.2, 0.03, 0.02], noise=0.1, height=3.0
        )
        flagged = cut_for_f1(_monotone(judge(given, probs)))
        for place, classes in enumerate(([3, 4], [0, 1])):
            correct = ~wrong & np.isin(true, classes)
            rates[place] += flagged[correct].mean() / 3
    assert rates[0] <= 1.5 * rates[1] + 0.005


def _monotone(judged):
    """Error probabilities sorted into the order of the scores."""
    error_probs = np.empty(len(judged.scores_n))
    error_probs[np.argsort(judged.scores_n)] = np.sort(judged.error_probs_n)[::-1]
    return error_probs


def test_probabilities_without_the_prior_are_not_divided_by_it_again():
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    given, _, _, probs = _world(5, shares=shares, noise=0.1)
    even = probs / np.bincount(given, minlength=4)
    even /= even.sum(axis=1, keepdims=True)
    held, divided = judge(given, probs), judge(given, even)
    assert abs(held.noise.exponents[1]) < 0.3
    assert divided.noise.exponents[1] > 0.6
    flagged = [cut_for_f1(judged.error_probs_n) for judged in (held, divided)]
    assert (flagged[0] == flagged[1]).mean() > 0.985


def test_many_classes_are_weighed_as_if_all_were_candidates():
    given, wrong, _, probs = _world(6, num_classes=30, height=5.0, num=8000, noise=0.15)
    judged = judge(given, probs)
    assert judged.error_probs_n.sum() == pytest.approx(wrong.sum(), rel=0.3)
    assert _f1(wrong, cut_for_f1(judged.error_probs_n)) > _best_f1(wrong, judged.scores_n) - 0.03


def test_candidates_hold_the_label_first_and_all_probability_once():
    given, _, _, probs = _world(7, num_classes=30, num=50)
    classes, logs = candidates(given, probs)
    np.testing.assert_array_equal(classes[:, 0], given)
    assert classes.shape == (50, CANDIDATES + 1)
    sizes = log_sizes(classes, 30)
    np.testing.assert_allclose(np.exp(logs + sizes).sum(axis=1), 1.0, atol=1e-5)
    flips = np.full((30, 30), 0.1 / 29)
    np.fill_diagonal(flips, 0.9)
    np.testing.assert_allclose(local_flips(classes, flips).sum(axis=2), 1.0)


def test_floor_is_the_share_of_labels_wrong_at_random():
    given, _, _, probs = _world(8, noise=0.25, num=20_000)
    seen = survey(given, probs, blocks(*probs.shape))
    np.testing.assert_allclose(seen.floors_k, 0.25, atol=0.06)


def test_floor_of_a_clean_set_is_next_to_none():
    given, _, _, probs = _world(9, noise=0.0, height=2.5, num=20_000)
    assert survey(given, probs, blocks(*probs.shape)).floors_k.max() < 0.01


def test_wrong_labels_by_class_show_the_direction_they_go():
    given, _, _, probs = _world(10, noise=0.3, pairs=True)
    counted = wrong_by_class(given, survey(given, probs, blocks(*probs.shape)))
    assert (np.argmax(counted, axis=1) == (np.arange(5) + 1) % 5).all()


def test_flip_shares_are_even_for_few_even_counts_and_keep_a_direction():
    rng = np.random.default_rng(0)
    even = flip_shares(rng.poisson(3.0, (8, 8)).astype(float))
    assert even[~np.eye(8, dtype=bool)].std() < 0.03
    one_way = flip_shares(50.0 * np.roll(np.eye(8), 1, axis=1))
    assert one_way[np.arange(8), (np.arange(8) + 1) % 8].min() > 0.95
    np.testing.assert_allclose(one_way.sum(axis=1), 1.0)


def test_cut_for_f1_of_calibrated_probabilities_expects_the_most():
    probs = np.random.default_rng(0).beta(0.3, 2.0, 500)
    falling = np.sort(probs)[::-1]
    expected = 2 * np.cumsum(falling) / (np.arange(1, 501) + probs.sum())
    flagged = cut_for_f1(probs)
    assert flagged.sum() == np.argmax(expected) + 1
    # The last label flagged is wrong with about half the F1 expected.
    assert probs[flagged].min() == pytest.approx(expected.max() / 2, abs=0.02)


def test_cut_for_precision_flags_none_where_none_is_suspect_enough():
    assert not cut_for_precision(np.array([0.5, 0.2]), 0.9).any()
    assert cut_for_precision(np.array([0.5, 0.2]), 0.1).all()


def test_with_sum_keeps_the_order_and_reaches_the_sum():
    probs = np.random.default_rng(1).random(200)
    for total in (1.0, 50.0, 190.0):
        moved = with_sum(probs, total)
        assert moved.sum() == pytest.approx(total, rel=1e-6)
        np.testing.assert_array_equal(np.argsort(moved), np.argsort(probs))
    assert with_sum(probs, 0.0).max() == 0.0
    assert with_sum(probs, 200.0).min() == 1.0


def test_checked_labels_outweigh_the_estimate_the_more_there_are():
    probs = np.full(1000, 0.1)
    few, many = (with_checked(probs, num, num // 2).mean() for num in (20, 2000))
    assert 0.1 < few < many < 0.5
    assert many > 0.45
    np.testing.assert_array_equal(with_checked(probs, 0, 0), probs)
    with pytest.raises(ValueError, match="3 of 2"):
        with_checked(probs, 2, 3)
