"""Which two classes are taken for each other, how often, and in which direction.

Shape suffixes: n samples, k classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv  # type: ignore[import-untyped]  # ships no types

from holdfast.records import Ids

_BLOCK = 65_536
# Chance that, of all pairs together, one is named that is no more confused than the others.
_ALPHA = 0.05
_FEWEST = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassPair:
    """Two classes, and how many samples of each look like the other.

    Attributes
    ----------
    first, second : int
        Class ids; more samples of `first` look like `second` than the other way, by rate.
    first_as_second, second_as_first : int
        Samples labeled the one that confidently look like the other.
    first_rate, second_rate : float
        The same as shares of the samples with that label, in [0, 1].
    """

    first: int
    second: int
    first_as_second: int
    second_as_first: int
    first_rate: float
    second_rate: float


def confident_counts(columns_n: Ids, pred_probs_nk: NDArray[np.floating]) -> Ids:
    """Count samples by the class on record and the class they confidently look like.

    A sample counts as the class it is most probable of, among those whose probability is at
    least the mean that the class's own samples reach; it counts nowhere where no class is.
    Time O(n k) in two passes by blocks, memory O(k²).

    Parameters
    ----------
    columns_n : ndarray of int64, shape (N,)
        Labels as columns 0..K-1.
    pred_probs_nk : ndarray of float, shape (N, K)
        Out of sample; rows sum to 1.

    Returns
    -------
    ndarray of int64, shape (K, K)
        Row: on record; column: looks like.

    References
    ----------
    .. [1] Northcutt et al., "Confident Learning: Estimating Uncertainty in Dataset
       Labels", JAIR 2021 (the confident joint, here without calibration).
    """
    num_classes = pred_probs_nk.shape[1]
    own_n = pred_probs_nk[np.arange(len(columns_n)), columns_n].astype(np.float64)
    sizes_k = np.bincount(columns_n, minlength=num_classes)
    means_k = np.bincount(columns_n, own_n, num_classes) / np.maximum(sizes_k, 1)
    # A class without samples has no mean to reach.
    thresholds_k = np.where(sizes_k > 0, means_k, np.inf)
    counts = np.zeros(num_classes * num_classes, np.int64)
    for start in range(0, len(columns_n), _BLOCK):
        probs = pred_probs_nk[start : start + _BLOCK]
        # A mean of equal numbers may be a rounding above them.
        reached = probs >= thresholds_k - 1e-6
        looks = np.where(reached, probs, -1.0).argmax(axis=1)
        sure = reached.any(axis=1)
        cells = columns_n[start : start + _BLOCK][sure] * num_classes + looks[sure]
        counts += np.bincount(cells, minlength=len(counts))
    return counts.reshape(num_classes, num_classes)


def confused_pairs(counts_kk: Ids, sizes_k: Ids, class_ids_k: Ids) -> tuple[ClassPair, ...]:
    """Return the pairs of classes that are confused more than pairs usually are.

    A pair is named where at least two samples of one class look like the other, and the rate
    of that is above the mean rate over all pairs with 95 % confidence for all of them
    together. Of two classes the one pair is named as soon as two samples are confused.

    Parameters
    ----------
    counts_kk : ndarray of int64, shape (K, K)
        From `confident_counts`.
    sizes_k : ndarray of int64, shape (K,)
        Samples with each label.
    class_ids_k : ndarray of int64, shape (K,)

    Returns
    -------
    tuple of ClassPair
        The most confused first. Time O(k²).

    Examples
    --------
    >>> counts = np.array([[80, 20, 0, 0], [9, 90, 0, 1], [0, 0, 99, 1], [0, 1, 0, 99]])
    >>> [(pair.first, pair.second) for pair in
    ...  confused_pairs(counts, np.full(4, 100), np.arange(4))]
    [(0, 1)]
    """
    num_classes = len(sizes_k)
    if num_classes < 2:
        return ()
    off = counts_kk * (1 - np.eye(num_classes, dtype=np.int64))
    rates = off / np.maximum(sizes_k, 1)[:, None]
    num_cells = num_classes * (num_classes - 1)
    usual = rates.sum() / num_cells
    given, looks = np.nonzero(off >= _FEWEST)
    hits, tries = off[given, looks], sizes_k[given]
    # The lower end of the exact interval of a rate (Clopper and Pearson).
    least = betaincinv(hits, np.maximum(tries - hits, 0) + 1, _ALPHA / num_cells)
    clear = np.ones(len(hits), np.bool_) if num_classes == 2 else least > usual
    low, high = np.minimum(given, looks)[clear], np.maximum(given, looks)[clear]
    low, high = np.unique(np.stack([low, high], axis=1), axis=0).T
    order = np.argsort(-(rates[low, high] + rates[high, low]), kind="stable")
    turned = rates[low, high] < rates[high, low]
    first, second = np.where(turned, high, low)[order], np.where(turned, low, high)[order]
    return tuple(
        ClassPair(
            first=int(class_ids_k[a]),
            second=int(class_ids_k[b]),
            first_as_second=int(off[a, b]),
            second_as_first=int(off[b, a]),
            first_rate=float(rates[a, b]),
            second_rate=float(rates[b, a]),
        )
        for a, b in zip(first.tolist(), second.tolist(), strict=True)
    )
