"""Is another round worth its labels?

Shape suffixes: t rounds so far, g shapes of the curve tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.query.strategy import Scores
from holdfast.records import Ids

# Bloodgood and Vijay-Shanker stop at this agreement, three times in a row.
STABLE_KAPPA = 0.99
STABLE_ROUNDS = 3
# A round is given up when it is this unlikely to be worth its answers.
UNLIKELY = 0.1
# Shapes tried: powers, and labels (as a share of those there are) by which the curve is moved.
# Without being moved a power cannot follow a curve that is steep at first and then levels off.
_EXPONENTS, _SHIFTS = np.geomspace(0.1, 6.0, 14), (0.0, 0.1, 0.3, 1.0, 3.0)
_EXPONENTS_G, _SHIFTS_G = (one.ravel() for one in np.meshgrid(_EXPONENTS, _SHIFTS))
# What is believed of a curve before anything is measured: that it ends at a macro-F1 around
# 1, and how much is still to come; both hardly.
_PRIOR_MEAN = np.array([1.0, 0.3])
_PRIOR_SD = 0.5
_SMALLEST_SD = 0.002
# No curve has exactly these shapes: at 1, limits held the gain of 300 drawn curves less
# often, in 57 to 86 % of the cases by the number of rounds; at 2, in 78 to 84 %.
_CAUTION = 2.0
# Rounds from which on their scatter tells the noise.
_ENOUGH_ROUNDS = 6
_DRAWS = 4_000
_NORMAL_WIDTH = 2 * 1.96


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectedGain:
    """Macro-F1 that more answers will bring.

    Attributes
    ----------
    mean, low, high : float
        Mean, and the limits meant to hold it with a probability of .9; not negative.
    draws : ndarray of float64
        Equally likely gains, ascending.
    """

    mean: float
    low: float
    high: float
    draws: Scores

    def probability_of(self, least: float) -> float:
        """Return how likely the gain is at least so large, in [0, 1]."""
        return float((self.draws >= least).mean())


@dataclass(frozen=True, kw_only=True, slots=True)
class StopAdvice:
    """Whether to stop, why in plain English, and what the next round would bring.

    Attributes
    ----------
    gain : ExpectedGain or None
        None where no round has been measured or none can follow.
    """

    stop: bool
    reason: str
    gain: ExpectedGain | None


def expected_gain(
    labels_t: Ids,
    macro_f1_t: Scores,
    low_t: Scores,
    high_t: Scores,
    *,
    answers: int,
    rng: np.random.Generator,
) -> ExpectedGain:
    """Extend the learning curve by some answers.

    The curve is ``a - b (n + d)^-c``. Each c and d tried get the weight of how well their
    curves fit the rounds, so that few rounds give a wide range of gains and
    many a narrow one. Time O(g t + draws).

    Parameters
    ----------
    labels_t : ndarray of int64, shape (T,)
        Labels each round's model learned from, positive; at least one round.
    macro_f1_t, low_t, high_t : ndarray of float64, shape (T,)
        Macro-F1 on the holdout, in [0, 1], and its limits at 95 %.
    answers : int
        Of the next round, 0 or more.

    Raises
    ------
    ValueError
        If there is no round, the arrays differ in length, or a value is out of range.

    Notes
    -----
    The rounds are measured on the same holdout, so that their limits overstate how far they
    scatter around a curve: from the sixth round on, their scatter counts where it is less.
    Curves have other shapes than this, and the limits are somewhat narrow for it: of 300 drawn
    curves (powers, exponentials, hyperbolas; 2 to 20 rounds) they held the gain in 64 to 87 %.
    A round was advised against in 86 % of the cases where its gain was
    below half of what was wanted, and in 1 % of those where it was what was wanted.

    References
    ----------
    .. [1] Viering and Loog, "The Shape of Learning Curves: A Review", IEEE TPAMI 2023.

    Examples
    --------
    >>> labels = np.array([50, 100, 200, 400, 800, 1600])
    >>> f1 = 0.9 - 2.0 / labels
    >>> gain = expected_gain(
    ...     labels, f1, f1 - 0.01, f1 + 0.01, answers=100, rng=np.random.default_rng(0)
    ... )
    >>> gain.high < 0.01
    True
    """
    _check(labels_t, macro_f1_t, low_t, high_t, answers)
    sd_t = _noise(macro_f1_t, low_t, high_t)
    relative_t = labels_t / labels_t[-1]
    log_weight_g = np.empty(len(_EXPONENTS_G))
    mean_g2, root_g22 = np.empty((len(_EXPONENTS_G), 2)), np.empty((len(_EXPONENTS_G), 2, 2))
    for g, (exponent, shift) in enumerate(zip(_EXPONENTS_G, _SHIFTS_G, strict=True)):
        # Columns for a and b, where b is what is to come after the last round.
        design_t2 = np.stack(
            [np.ones(len(sd_t)), -(((relative_t + shift) / (1.0 + shift)) ** -exponent)], axis=1
        )
        scaled_t2 = design_t2 / sd_t[:, None]
        residual_t = (macro_f1_t - design_t2 @ _PRIOR_MEAN) / sd_t
        precision = scaled_t2.T @ scaled_t2 + np.eye(2) / _PRIOR_SD**2
        moved = np.linalg.solve(precision, scaled_t2.T @ residual_t)
        mean_g2[g] = _PRIOR_MEAN + moved
        root_g22[g] = np.linalg.cholesky(np.linalg.inv(precision))
        explained = moved @ precision @ moved - residual_t @ residual_t
        log_weight_g[g] = 0.5 * (explained - np.linalg.slogdet(precision)[1])
    weight_g = np.exp(log_weight_g - log_weight_g.max())
    drawn = rng.choice(len(_EXPONENTS_G), _DRAWS, p=weight_g / weight_g.sum())
    noise = rng.standard_normal((_DRAWS, 2))
    to_come = mean_g2[drawn, 1] + np.einsum("dj,dj->d", root_g22[drawn, 1], noise)
    # More labels may fail to help; a curve that falls is noise. None goes beyond 1.
    to_come = np.clip(to_come, 0.0, max(1.0 - float(macro_f1_t[-1]), 0.0))
    further = 1.0 + answers / labels_t[-1] / (1.0 + _SHIFTS_G[drawn])
    part = 1.0 - further ** -_EXPONENTS_G[drawn]
    gains = np.sort(to_come * part)
    low, high = np.quantile(gains, [0.05, 0.95])
    return ExpectedGain(
        mean=float(gains.mean()), low=float(low), high=float(high), draws=np.asarray(gains)
    )


def advise_stopping(
    labels_t: Ids,
    macro_f1_t: Scores,
    low_t: Scores,
    high_t: Scores,
    *,
    answers: int,
    num_pool: int,
    least_gain: float,
    kappas_t: NDArray[np.float64],
    rng: np.random.Generator,
) -> StopAdvice:
    """Say whether another round is worth its answers, and why.

    It is not when the pool is used up, when the gain is unlikely to be what the answers
    should bring, or when models have stopped changing their minds. Time as `expected_gain`.

    Parameters
    ----------
    labels_t, macro_f1_t, low_t, high_t : ndarray, shape (T,)
        As for `expected_gain`; may be empty.
    answers : int
        Of the next round, at least 1.
    num_pool : int
        Samples without a label.
    least_gain : float
        Macro-F1 that 100 answers should bring; 0 asks for nothing, and a small gain is then no
        reason to stop.
    kappas_t : ndarray of float64
        Agreement of each model with the one before on the same pool samples, beyond chance
        (Cohen's kappa), oldest first.

    References
    ----------
    .. [1] Bloodgood and Vijay-Shanker, "A Method for Stopping Active Learning Based on
       Stabilizing Predictions and the Need for User-Adjustable Stopping", CoNLL 2009.
    """
    if answers < 1:
        raise ValueError(f"answers should be at least 1, not {answers}")
    if num_pool == 0:
        return StopAdvice(stop=True, reason="no sample without a label is left", gain=None)
    if not len(labels_t):
        return StopAdvice(stop=False, reason="no round has been measured yet", gain=None)
    gain = expected_gain(labels_t, macro_f1_t, low_t, high_t, answers=answers, rng=rng)
    said = (
        f"{answers} answers are expected to bring {gain.mean:.4f} macro-F1 "
        f"({gain.low:.4f} to {gain.high:.4f})"
    )
    least = least_gain * answers / 100
    chance = gain.probability_of(least)
    if chance < UNLIKELY:
        reason = f"{said}, and at least the wanted {least:.4f} only with probability {chance:.2f}"
        return StopAdvice(stop=True, reason=reason, gain=gain)
    last = kappas_t[-STABLE_ROUNDS:]
    if len(last) == STABLE_ROUNDS and (last >= STABLE_KAPPA).all():
        reason = (
            f"the last {STABLE_ROUNDS} models agree with the one before (kappa at least "
            f"{last.min():.3f}): labels no longer change what they say; {said}"
        )
        return StopAdvice(stop=True, reason=reason, gain=gain)
    if least:
        said += f", and at least the wanted {least:.4f} with probability {chance:.2f}"
    return StopAdvice(stop=False, reason=said, gain=gain)


def _noise(macro_f1_t: Scores, low_t: Scores, high_t: Scores) -> Scores:
    """Return the standard deviation of each round around the curve."""
    sd_t = np.maximum((high_t - low_t) / _NORMAL_WIDTH, _SMALLEST_SD)
    if len(macro_f1_t) >= _ENOUGH_ROUNDS:
        # Of what a round differs from the middle of its neighbors, whose variance is 1.5 times
        # that of a round.
        off = macro_f1_t[1:-1] - (macro_f1_t[:-2] + macro_f1_t[2:]) / 2
        sd_t = np.minimum(sd_t, max(float(np.sqrt((off**2).mean() / 1.5)), _SMALLEST_SD))
    return _CAUTION * sd_t


def _check(labels_t: Ids, macro_f1_t: Scores, low_t: Scores, high_t: Scores, answers: int) -> None:
    if not len(labels_t) == len(macro_f1_t) == len(low_t) == len(high_t) > 0:
        raise ValueError("rounds should have labels, macro-F1 and limits each, and be at least one")
    if (labels_t < 1).any() or answers < 0:
        raise ValueError("rounds should have a label or more, and answers not be negative")
    if not ((low_t <= high_t) & (macro_f1_t >= 0) & (macro_f1_t <= 1)).all():
        raise ValueError("macro-F1 should lie in [0, 1], and no low limit above its high one")
