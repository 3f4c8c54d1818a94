"""Exponents that make probabilities predict labels, fitted to the labels themselves.

Labels out of sample are what the probabilities were meant to predict, so that over- and
underconfidence show without a true label.

Shape suffixes: b samples, m candidate classes of a sample (the label on record first).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax  # type: ignore[import-untyped]  # ships no types

Probs = NDArray[np.float64]

_STEPS = 30
_LONGEST_STEP = 0.5
_SMALL_STEP = 1e-4  # far below what labels can tell
_LEAST, _MOST = 0.05, 8.0
# Of the exponent of the class prior around 0: how far probabilities lack the prior.
_PRIOR_SPREAD = 0.5


def label_exponents(logs_bm: Probs, priors_bm: Probs, sizes_m: Probs) -> tuple[float, float]:
    """Return the exponents of probability and of class prior that make the labels likeliest.

    The second is about 0 where the probabilities hold the prior already, and 1 where it was
    divided out of them; it is drawn toward 0. Damped Newton steps; time O(B M).

    Parameters
    ----------
    logs_bm, priors_bm : ndarray of float64, shape (B, M)
        Logarithms for each candidate; the label is the first.
    sizes_m : ndarray of float64, shape (M,)
        Logarithm of how many classes each candidate stands for.
    """
    values = np.array([1.0, 0.0])
    for _ in range(_STEPS):
        probs = softmax(values[0] * logs_bm + values[1] * priors_bm + sizes_m, axis=1)
        mean_log = (probs * logs_bm).sum(axis=1)
        mean_prior = (probs * priors_bm).sum(axis=1)
        ridge = 1.0 / _PRIOR_SPREAD**2
        gradient = np.array(
            [
                (logs_bm[:, 0] - mean_log).sum(),
                (priors_bm[:, 0] - mean_prior).sum() - ridge * values[1],
            ]
        )
        both = float(((probs * logs_bm * priors_bm).sum(axis=1) - mean_log * mean_prior).sum())
        curvature = np.array(
            [
                [((probs * logs_bm**2).sum(axis=1) - mean_log**2).sum() + 1e-3, both],
                [both, ((probs * priors_bm**2).sum(axis=1) - mean_prior**2).sum() + ridge],
            ]
        )
        step = np.linalg.solve(curvature, gradient)
        values = values + np.clip(step, -_LONGEST_STEP, _LONGEST_STEP)
        values = np.clip(values, [_LEAST, -1.0], [_MOST, 2.0])
        if np.abs(step).max() < _SMALL_STEP:
            break
    return float(values[0]), float(values[1])


def truth_exponent(logs_bm: Probs, sizes_m: Probs, reach_bm: Probs) -> float:
    """Return the exponent of true-class probabilities that makes the labels likeliest.

    Parameters
    ----------
    logs_bm : ndarray of float64, shape (B, M)
        Of the true class being each candidate.
    sizes_m : ndarray of float64, shape (M,)
    reach_bm : ndarray of float64, shape (B, M)
        Probability that a sample of each candidate is given the label on record.
    """
    value = 1.0
    for _ in range(_STEPS):
        probs = softmax(value * logs_bm + sizes_m, axis=1)
        held = probs * reach_bm
        target = (held * logs_bm).sum(axis=1) / np.maximum(held.sum(axis=1), 1e-300)
        mean = (probs * logs_bm).sum(axis=1)
        curvature = float(((probs * logs_bm**2).sum(axis=1) - mean**2).sum()) + 1e-3
        step = float((target - mean).sum()) / curvature
        value = float(np.clip(value + np.clip(step, -_LONGEST_STEP, _LONGEST_STEP), _LEAST, _MOST))
        if abs(step) < _SMALL_STEP:
            break
    return value
