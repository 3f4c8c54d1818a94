"""How evenly labels are spread over classes: which are rare, and how uneven it is in all.

Shape suffixes: k classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Ids

Shares = NDArray[np.float64]

RARE_SHARE = 0.5


def rare_line(counts_k: Ids) -> float:
    """Return the number of samples below which a class is rare: half of an equal share.

    A class is rare when it has fewer than half of the samples it would have if all classes
    had the same number. Benchmarks such as ImageNet-LT and LVIS set absolute numbers that
    fit their own size; a share fits 70 labels as well as 70 million, calls no class of a
    balanced set rare, and always leaves at least one class that is not. 0.0 without classes.
    """
    return RARE_SHARE * float(np.mean(counts_k)) if len(counts_k) else 0.0


def rare_classes(counts_k: Ids) -> NDArray[np.bool_]:
    """Mark the classes below the rare-class line.

    Parameters
    ----------
    counts_k : ndarray of int64, shape (K,)
        Samples of each class, by class id; a class without samples is rare.

    Returns
    -------
    ndarray of bool, shape (K,)

    Examples
    --------
    >>> rare_classes(np.array([100, 80, 20])).tolist()
    [False, False, True]
    """
    rare: NDArray[np.bool_] = np.asarray(counts_k) < rare_line(counts_k)
    return rare


@dataclass(frozen=True, kw_only=True, slots=True)
class Balance:
    """How labels are spread over classes.

    Attributes
    ----------
    counts_k, verified_k : ndarray of int64, shape (K,)
        Labels of each class, and those of them that people confirmed.
    shares_k : ndarray of float64, shape (K,)
        Share of all labels, in [0, 1]; all 0 without labels.
    effective_k : ndarray of float64, shape (K,)
        Effective number of samples [1]_ of each class, from 0 to its count: further samples
        of a large class add less and less. Beta is 1 - 1/N, N the largest count.
    ratio : float or None
        Labels of the largest class for one of the smallest that has any, 1 or more; high is
        uneven. None without labels.
    entropy : float or None
        Entropy of the shares by that of equal shares, in [0, 1]; low is uneven. None without
        labels or for one class.
    gini : float or None
        Gini coefficient of the counts, in [0, 1); 0 is even, high is uneven. None without
        labels.
    num_missing : int
        Classes without a label.

    References
    ----------
    .. [1] Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019.
    """

    counts_k: Ids
    verified_k: Ids
    shares_k: Shares
    effective_k: Shares
    ratio: float | None
    entropy: float | None
    gini: float | None
    num_missing: int


def measure_balance(counts_k: Ids, verified_k: Ids) -> Balance:
    """Measure how evenly labels are spread.

    Parameters
    ----------
    counts_k, verified_k : ndarray of int64, shape (K,)
        Labels of each class, and those of them that people confirmed; 0 or more.

    Raises
    ------
    ValueError
        If there are more confirmed labels than labels, or a count is negative.

    Examples
    --------
    >>> found = measure_balance(np.array([90, 10]), np.array([0, 0]))
    >>> found.ratio, round(found.entropy, 3), round(found.gini, 3)
    (9.0, 0.469, 0.4)
    """
    counts, verified = np.asarray(counts_k, np.int64), np.asarray(verified_k, np.int64)
    if len(counts) != len(verified) or (verified < 0).any() or (verified > counts).any():
        raise ValueError(
            "every class needs its labels and those of them that are confirmed, not "
            f"{counts.tolist()} and {verified.tolist()}"
        )
    total, present = int(counts.sum()), counts[counts > 0]
    shares: Shares = counts / max(total, 1)
    return Balance(
        counts_k=counts,
        verified_k=verified,
        shares_k=shares,
        effective_k=_effective(counts),
        ratio=float(present.max() / present.min()) if total else None,
        entropy=_entropy(shares) if total and len(counts) > 1 else None,
        gini=_gini(counts) if total else None,
        num_missing=len(counts) - len(present),
    )


def _effective(counts_k: Ids) -> Shares:
    largest = int(counts_k.max(initial=0))
    if largest <= 1:
        return counts_k.astype(np.float64)
    # (1 - beta^n) / (1 - beta), exact where beta is close to 1.
    effective: Shares = -np.expm1(counts_k * math.log1p(-1 / largest)) * largest
    return effective


def _entropy(shares_k: Shares) -> float:
    present = shares_k[shares_k > 0]
    # Rounding may put equal shares above 1.
    return min(float(-(present * np.log(present)).sum() / math.log(len(shares_k))), 1.0)


def _gini(counts_k: Ids) -> float:
    """Return half of the mean difference between two classes by the mean count."""
    ranked, num = np.sort(counts_k).astype(np.float64), len(counts_k)
    places = 2 * np.arange(1, num + 1) - num - 1
    return max(float((places * ranked).sum() / (num * ranked.sum())), 0.0)
