"""Samples that are unlike all others.

Shape suffixes: n samples, m neighbors of each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Floats

# Interquartile ranges above the third quartile at which cleanlab begins to call a sample an
# outlier (1 / 0.37 - 1), kept so that both say the same of the same graph.
FENCE = 1 / 0.37 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Outliers:
    """How far every sample is from its neighbors.

    Attributes
    ----------
    scores_n : ndarray of float64, shape (N,)
        In [0, 1]; low = suspect: exp(-distance / median distance of all).
    flagged_n : ndarray of bool, shape (N,)
    """

    scores_n: NDArray[np.float64]
    flagged_n: NDArray[np.bool_]


def outliers(distances_nm: Floats) -> Outliers:
    """Score samples by their mean distance to their nearest others.

    A sample is flagged where that distance lies `FENCE` interquartile ranges above the third
    quartile of all. Time O(n m).

    Parameters
    ----------
    distances_nm : ndarray of float, shape (N, M)
        To each sample's nearest others; infinite where there is none.

    Returns
    -------
    Outliers
        Nothing is flagged among fewer than four samples.

    References
    ----------
    .. [1] Kuan and Mueller, "Back to the Basics: Revisiting Out-of-Distribution Detection
       Baselines", ICML 2022 workshop on principles of distribution shift.

    Examples
    --------
    >>> distances = np.full((9, 2), 1.0)
    >>> distances[4] = 7.0
    >>> np.flatnonzero(outliers(distances).flagged_n).tolist()
    [4]
    """
    known = np.isfinite(distances_nm)
    total = np.where(known, distances_nm, 0.0).sum(axis=1, dtype=np.float64)
    mean_n = total / np.maximum(known.sum(axis=1), 1)
    if len(mean_n) < 4:
        return Outliers(scores_n=np.ones(len(mean_n)), flagged_n=np.zeros(len(mean_n), np.bool_))
    low, middle, high = np.percentile(mean_n, [25, 50, 75])
    # Where most samples are copies of each other there is no usual distance.
    usual = max(float(middle), 1e-12)
    return Outliers(
        scores_n=np.exp(-mean_n / usual),
        flagged_n=mean_n > high + FENCE * (high - low),
    )
