"""To which label a class is flipped, from counts of few, drawn toward every label alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln  # type: ignore[import-untyped]  # ships no types

Probs = NDArray[np.float64]

# Labels' worth of "every other label alike"; the likeliest is taken.
_STRENGTHS = np.geomspace(0.5, 30_000.0, 34)


def flip_shares(counts_kk: Probs) -> Probs:
    """Return how the wrong labels of each class spread over the other labels.

    Rows are drawn from a Dirichlet distribution around even shares, whose strength is the
    one under which the counts are most likely: labels flipped at random come out even
    however few were counted, and labels flipped one way keep their direction. Time O(K²).

    Parameters
    ----------
    counts_kk : ndarray of float64, shape (K, K)
        Row: true class; column: label. Not whole numbers; the diagonal is not read.

    Returns
    -------
    ndarray of float64, shape (K, K)
        Rows sum to 1; the diagonal is 0.

    References
    ----------
    .. [1] Minka, "Estimating a Dirichlet distribution", 2000 (the Polya distribution).

    Examples
    --------
    >>> flip_shares(np.array([[0.0, 9.0, 9.0], [0.0, 0.0, 0.0], [9.0, 9.0, 0.0]])).round(2)
    array([[0. , 0.5, 0.5],
           [0.5, 0. , 0.5],
           [0.5, 0.5, 0. ]])
    """
    num_classes = len(counts_kk)
    if num_classes == 2:
        return 1.0 - np.eye(2)
    counts = np.array(counts_kk)
    np.fill_diagonal(counts, 0.0)
    sums = counts.sum(axis=1)
    met = counts[counts > 0]  # labels never met leave the likelihood as it is
    fits = []
    for strength in _STRENGTHS:
        each = strength / (num_classes - 1)
        rows = gammaln(strength) - gammaln(strength + sums)
        fits.append(float(rows.sum() + (gammaln(each + met) - gammaln(each)).sum()))
    strength = float(_STRENGTHS[int(np.argmax(fits))])
    shares: Probs = (counts + strength / (num_classes - 1)) / (sums + strength)[:, None]
    np.fill_diagonal(shares, 0.0)
    return shares
