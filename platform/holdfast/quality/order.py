"""Whether samples that look alike stand near each other in the order they came in.

Shape suffixes: n samples, m neighbors of each, e edges, b bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Ids

_PERMUTATIONS = 99
_BINS = 256
# Among thousands of samples any trace of an order is beyond chance: one that moves fewer than
# one neighbor in a hundred matters to nobody.
_NOTABLE = 0.01
# Edges that are looked at: more make the answer slower, not surer.
_MOST_EDGES = 200_000
# Above this many samples places are drawn, not dealt: two samples may share one, which is
# rare among so many and six times as fast.
_DEALT = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class OrderTest:
    """What the order says about the pictures.

    Attributes
    ----------
    statistic : float
        In [0, 1]; largest difference between the distribution of how far neighbors stand
        apart, and that in a random order. 0: the order says nothing.
    p_value : float
        Share of random orders that differ as much, in [0.01, 1].
    """

    statistic: float
    p_value: float

    @property
    def dependent(self) -> bool:
        """Whether no random order came near, and the difference is worth a thought."""
        return self.p_value <= 1 / (_PERMUTATIONS + 1) and self.statistic >= _NOTABLE


def order_test(rows_nm: Ids, rng: np.random.Generator, strata_n: Ids | None = None) -> OrderTest:
    """Test whether neighbors stand closer, or farther, in the order than chance would put them.

    The distances in the order between neighbors are compared with those in 99 random orders
    (Kolmogorov and Smirnov's statistic, its distribution by permutation). With strata samples
    change places only within their own, which tests what the strata leave unexplained: in
    a folder per class the order follows the class, which is no news.

    Parameters
    ----------
    rows_nm : ndarray of int64, shape (N, M)
        Each sample's nearest others, rows in the order the samples came in; -1: nobody.
    strata_n : ndarray of int64, shape (N,), optional

    Returns
    -------
    OrderTest
        For fewer than three samples there is no order: 0.0 and 1.0. Time O(n log n) for each
        random order up to 100,000 samples, O(n) above.

    References
    ----------
    .. [1] Cummings et al., "Detecting Dataset Drift and Non-IID Sampling via k-Nearest
       Neighbors", ICML 2023 workshop on data-centric machine learning research.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rows = np.arange(400)[:, None]
    >>> order_test(np.minimum(rows + 1, 399), rng).dependent
    True
    >>> order_test(rng.permutation(400)[:, None], rng).dependent
    False
    """
    num = len(rows_nm)
    starts, places = np.nonzero(rows_nm >= 0)
    if num < 3 or not len(starts):
        return OrderTest(statistic=0.0, p_value=1.0)
    if len(starts) > _MOST_EDGES:
        kept = np.sort(rng.choice(len(starts), _MOST_EDGES, replace=False))
        starts, places = starts[kept], places[kept]
    ends = rows_nm[starts, places]
    observed = _spread(starts, ends, num)
    strata = np.zeros(num, np.int64) if strata_n is None else strata_n
    # Samples in the order of their strata: shuffled within, they take each other's places.
    home = np.argsort(strata, kind="stable")
    random = np.empty((_PERMUTATIONS, _BINS))
    for turn in range(_PERMUTATIONS):
        position = _shuffled(home, strata[home], rng)
        random[turn] = _spread(position[starts], position[ends], num)
    # INVARIANT: the observed order and the random ones are treated alike, or p would be off.
    everything = np.vstack([observed, random])
    total = everything.sum(axis=0)
    others = (total - everything) / _PERMUTATIONS
    statistics = np.abs(everything - others).max(axis=1)
    extreme = int((statistics[1:] >= statistics[0]).sum())
    return OrderTest(statistic=float(statistics[0]), p_value=(1 + extreme) / (_PERMUTATIONS + 1))


def _shuffled(home_n: Ids, strata_n: Ids, rng: np.random.Generator) -> Ids:
    """Return a random place for each sample among those of its stratum."""
    num = len(home_n)
    position = np.empty(num, np.int64)
    if num <= _DEALT:
        position[home_n[np.lexsort((rng.random(num), strata_n))]] = home_n
        return position
    begins = np.flatnonzero(np.diff(strata_n, prepend=strata_n[0] - 1))
    sizes = np.diff(begins, append=num)
    first, size = np.repeat(begins, sizes), np.repeat(sizes, sizes)
    position[home_n] = home_n[first + (size * rng.random(num)).astype(np.int64)]
    return position


def _spread(starts_e: Ids, ends_e: Ids, num: int) -> NDArray[np.float64]:
    """Return the cumulative distribution of distances in the order, in bins."""
    # Finer where neighbors stand next to each other: a burst of frames is a few places long.
    share = np.sqrt(np.abs(starts_e - ends_e) / num)
    counts = np.bincount((share * _BINS).astype(np.int64), minlength=_BINS)
    return np.asarray(np.cumsum(counts) / len(starts_e))
