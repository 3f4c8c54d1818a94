"""Groups of samples that are classified worse than their classes explain.

Shape suffixes: n samples, g groups, k classes, d dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv  # type: ignore[import-untyped]  # ships no types

from holdfast.records import Floats, Ids

# Chance that, of all groups together, one is named that is no worse than the others.
ALPHA = 0.05
FEWEST = 5
# Samples in a cluster, about; and clusters at most.
_CLUSTER_SIZE = 100
_MOST_CLUSTERS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class WeakGroup:
    """A group in which predictions and labels disagree too often.

    Attributes
    ----------
    group : int
        Its number.
    size, num_wrong : int
        Samples, and those whose prediction is not the label on record.
    rate, low, high : float
        Share that is wrong, and its exact 95 % interval, in [0, 1].
    expected : float
        Share that would be wrong if each of its samples did as others of its class do.
    p_value : float
        Of doing this badly by chance, corrected for the number of groups (Holm).
    """

    group: int
    size: int
    num_wrong: int
    rate: float
    low: float
    high: float
    expected: float
    p_value: float


def weak_groups(groups_n: Ids, columns_n: Ids, wrong_n: NDArray[np.bool_]) -> tuple[WeakGroup, ...]:
    """Return the groups whose error rate is significantly above what the others make likely.

    Each group is compared with all samples outside of it, class by class, so that a group is
    not blamed for holding much of a hard class; a class of which nobody else has a sample
    counts as all others do. The test is binomial, which is on the safe side here.
    Groups of fewer than five samples are left out. Time O(n log n), memory O(n).

    Parameters
    ----------
    groups_n, columns_n : ndarray of int64, shape (N,)
        Group and class of each sample, each numbered from 0.
    wrong_n : ndarray of bool, shape (N,)
        Whether the prediction, made out of sample, is not the label on record.

    Returns
    -------
    tuple of WeakGroup
        The least likely by chance first; empty for fewer than two groups.

    References
    ----------
    .. [1] Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian
       Journal of Statistics, 1979.
    .. [2] Breslow and Day, "Statistical Methods in Cancer Research II", IARC 1987, chapter 2
       (indirect standardization).

    Examples
    --------
    >>> groups = np.repeat([0, 1, 2], 40)
    >>> wrong = (np.arange(120) % 20 == 0) | (groups == 1) & (np.arange(120) % 3 == 0)
    >>> [one.group for one in weak_groups(groups, np.zeros(120, np.int64), wrong)]
    [1]
    """
    if not len(groups_n) or not groups_n.max():
        return ()
    sizes_g = np.bincount(groups_n)
    wrong_g = np.bincount(groups_n, wrong_n, len(sizes_g)).astype(np.int64)
    expected_g = _expected(groups_n, columns_n, wrong_n, sizes_g)
    tested = np.flatnonzero((sizes_g >= FEWEST) & (sizes_g < len(groups_n)))
    hits, tries = wrong_g[tested], sizes_g[tested]
    # P(X >= hits) of a binomial; 1 where nothing is wrong.
    chance = np.where(
        hits > 0,
        betainc(np.maximum(hits, 1), tries - np.maximum(hits, 1) + 1, expected_g[tested]),
        1.0,
    )
    order = np.argsort(chance, kind="stable")
    steps = np.arange(len(order), 0, -1)
    adjusted = np.minimum(np.maximum.accumulate(chance[order] * steps), 1.0)
    return tuple(
        _weak_group(int(tested[row]), int(hits[row]), int(tries[row]), float(expected), float(p))
        for row, expected, p in zip(
            order.tolist(), expected_g[tested][order].tolist(), adjusted.tolist(), strict=True
        )
        if p < ALPHA
    )


def cluster(embeddings_nd: Floats, rng: np.random.Generator) -> Ids:
    """Return the number of the cluster each sample is in, for sets without groups.

    About one cluster for a hundred samples, 200 at most. Time O(n d clusters).
    """
    num_clusters = int(np.clip(len(embeddings_nd) // _CLUSTER_SIZE, 1, _MOST_CLUSTERS))
    if num_clusters == 1:
        return np.zeros(len(embeddings_nd), np.int64)
    # Deferred: scikit-learn is slow to import.
    from sklearn.cluster import (  # type: ignore[import-untyped]  # ships no types
        MiniBatchKMeans,
    )

    model = MiniBatchKMeans(
        num_clusters, n_init=1, max_iter=20, random_state=int(rng.integers(2**31))
    )
    return np.asarray(model.fit_predict(embeddings_nd), np.int64)


def _expected(
    groups_n: Ids, columns_n: Ids, wrong_n: NDArray[np.bool_], sizes_g: Ids
) -> NDArray[np.float64]:
    """Return each group's error rate as the samples outside of it, of its classes, have it."""
    num_classes = int(columns_n.max()) + 1
    cells, inverse = np.unique(groups_n * num_classes + columns_n, return_inverse=True)
    size_c = np.bincount(inverse)
    wrong_c = np.bincount(inverse, wrong_n, len(cells))
    group_c, class_c = cells // num_classes, cells % num_classes
    outside = np.bincount(columns_n, minlength=num_classes)[class_c] - size_c
    wrong_outside = np.bincount(columns_n, wrong_n, num_classes)[class_c] - wrong_c
    wrong_g = np.bincount(groups_n, wrong_n, len(sizes_g))
    others_g = (wrong_n.sum() - wrong_g) / np.maximum(len(groups_n) - sizes_g, 1)
    # One more sample that does as all others do: a class of few must not prove too much.
    rate_c = (wrong_outside + others_g[group_c]) / (outside + 1)
    total_g = np.bincount(group_c, rate_c * size_c, len(sizes_g))
    return np.asarray(np.clip(total_g / np.maximum(sizes_g, 1), 1e-9, 1.0))


def _weak_group(group: int, hits: int, tries: int, expected: float, p_value: float) -> WeakGroup:
    return WeakGroup(
        group=group,
        size=tries,
        num_wrong=hits,
        rate=hits / tries,
        low=float(betaincinv(hits, tries - hits + 1, 0.025)) if hits else 0.0,
        high=float(betaincinv(hits + 1, tries - hits, 0.975)) if hits < tries else 1.0,
        expected=expected,
        p_value=p_value,
    )
