"""Where to cut a ranking of suspect labels, from how likely each is to be wrong.

Shape suffixes: n samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit  # type: ignore[import-untyped]  # ships no types

Probs = NDArray[np.float64]
Mask = NDArray[np.bool_]

# How far off the estimated number of wrong labels is, as a standard deviation relative to
# it: about a third over the inputs the method was chosen on.
_RELATIVE_ERROR = 0.35


def cut_for_f1(error_probs_n: Probs) -> Mask:
    """Flag the most suspect labels whose expected F1 is highest.

    With the m most suspect flagged, about sum of their probabilities are wrong, and F1 is
    about 2 * that / (m + sum of all probabilities). At the best m the last label flagged is
    wrong with half that F1 [1]_. Time O(n log n).

    Parameters
    ----------
    error_probs_n : ndarray of float64, shape (N,)
        In [0, 1]; high = suspect.

    Returns
    -------
    ndarray of bool, shape (N,)
        Labels alike in probability are flagged together. None where fewer than half a
        label is expected to be wrong.

    References
    ----------
    .. [1] Lipton et al., "Optimal Thresholding of Classifiers to Maximize F1 Measure",
       ECML 2014.

    Examples
    --------
    >>> cut_for_f1(np.array([0.9, 0.1, 0.8, 0.05])).tolist()
    [True, False, True, False]
    """
    total = float(error_probs_n.sum())
    if total < 0.5:
        return np.zeros(len(error_probs_n), np.bool_)
    falling = np.sort(error_probs_n)[::-1]
    expected = 2.0 * np.cumsum(falling) / (np.arange(1, len(falling) + 1) + total)
    return np.asarray(error_probs_n >= falling[int(np.argmax(expected))])


def cut_for_precision(error_probs_n: Probs, precision: float) -> Mask:
    """Flag as many of the most suspect labels as keep the expected precision.

    Parameters
    ----------
    error_probs_n : ndarray of float64, shape (N,)
    precision : float
        Least share of wrong labels expected among those flagged, in (0, 1].

    Returns
    -------
    ndarray of bool, shape (N,)
        None where even the most suspect label is not suspect enough.

    Examples
    --------
    >>> cut_for_precision(np.array([0.9, 0.1, 0.8, 0.05]), 0.6).tolist()
    [True, True, True, False]
    """
    flagged = np.zeros(len(error_probs_n), np.bool_)
    order = np.argsort(-error_probs_n, kind="stable")
    means = np.cumsum(error_probs_n[order]) / np.arange(1, len(order) + 1)
    # Means fall, for they are of ever less suspect labels.
    flagged[order[: int((means >= precision).sum())]] = True
    return flagged


def cut_for_budget(order_n: NDArray[np.int64], budget: int) -> Mask:
    """Flag the first of a ranking, as many as will be reviewed."""
    flagged = np.zeros(len(order_n), np.bool_)
    flagged[order_n[:budget]] = True
    return flagged


def with_sum(error_probs_n: Probs, total: float) -> Probs:
    """Return the probabilities with all odds multiplied by one factor, to sum to `total`.

    The ranking stays as it is. The factor is found by bisection; time O(n).

    Examples
    --------
    >>> with_sum(np.array([0.9, 0.5, 0.1]), 1.0).round(2).tolist()
    [0.75, 0.23, 0.03]
    """
    if total <= 0:
        return np.zeros(len(error_probs_n))
    if total >= len(error_probs_n):
        return np.ones(len(error_probs_n))
    log_odds = logit(np.clip(error_probs_n, 1e-12, 1.0 - 1e-12))
    low, high = -60.0, 60.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if float(expit(log_odds + middle).sum()) < total:
            low = middle
        else:
            high = middle
    return np.asarray(expit(log_odds + low))


def with_checked(error_probs_n: Probs, num_checked: int, num_wrong: int) -> Probs:
    """Return the probabilities once people checked labels drawn at random.

    The estimated rate of wrong labels is taken as a Beta distribution as wide as such
    estimates have been off (a third of the rate); what people found is added to it, and the
    probabilities are moved to the mean of the result.

    Parameters
    ----------
    num_checked, num_wrong : int
        Labels drawn at random from all of these, and how many of them were wrong.

    Raises
    ------
    ValueError
        If more were wrong than checked, or a count is negative.
    """
    if not 0 <= num_wrong <= num_checked:
        raise ValueError(f"{num_wrong} of {num_checked} checked labels cannot be wrong")
    num = len(error_probs_n)
    if not num or not num_checked:
        return error_probs_n
    # No estimate is so sure that there are no errors that people could not correct it.
    rate = float(np.clip(error_probs_n.mean(), 0.5 / num, 1 - 0.5 / num))
    strength = (1.0 - rate) / (rate * _RELATIVE_ERROR**2)
    # Expecting few errors is no reason to outweigh thousands of checks.
    strength = min(strength, 1.0 / _RELATIVE_ERROR**2 / max(rate, 1e-3))
    mean = (strength * rate + num_wrong) / (strength + num_checked)
    return with_sum(error_probs_n, mean * num)
