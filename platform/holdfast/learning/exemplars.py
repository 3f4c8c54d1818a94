"""Which samples stay when not all can: every class its share, trusted labels first.

Shape suffixes: n samples, k classes, g groups, d embedding dimensions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Floats, Ids

_LEAST_WEIGHT = 1e-6  # of a pick: one without trust is still picked when all others are
_LEAST_HARDNESS = 1e-6  # a sample without any loss still has a place in the draw


def fair_shares(counts_k: Ids, capacity: int) -> Ids:
    """Split a capacity over classes: equally, and what one cannot use goes to the others.

    Parameters
    ----------
    counts_k : ndarray of int64, shape (K,)
        What each class could fill, 0 or more.
    capacity : int
        0 or more.

    Returns
    -------
    ndarray of int64, shape (K,)
        At most `counts_k`; sums to the capacity, or to all there is if that is less. Where
        the split leaves a remainder, the first classes have one more.

    Raises
    ------
    ValueError
        If the capacity is negative.

    Examples
    --------
    >>> fair_shares(np.array([4000, 400, 40]), 600).tolist()
    [280, 280, 40]
    """
    if capacity < 0:
        raise ValueError(f"a buffer's capacity should be 0 or more, not {capacity}")
    counts = np.sort(counts_k)
    # After filling the i smallest classes, the rest share what is left equally.
    left = capacity - (np.cumsum(counts) - counts)
    levels = left // np.arange(len(counts), 0, -1)
    unmet = np.flatnonzero(counts > levels)
    if not len(unmet):
        return counts_k.astype(np.int64)
    shares: Ids = np.minimum(counts_k, levels[unmet[0]]).astype(np.int64)
    spare = np.flatnonzero(counts_k > shares)[: capacity - int(shares.sum())]
    shares[spare] += 1
    return shares


def priorities(keys_n: NDArray[np.float64], weights_n: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return places in a weighted draw without replacement: the highest stay.

    The logarithm of ``key ** (1 / weight)``. Of many samples, one of weight 0.5 stays half
    as often as one of weight 1, however few are kept and in whatever order they come.

    Parameters
    ----------
    keys_n : ndarray of float64, shape (N,)
        Uniform in [0, 1), one per sample, drawn once.
    weights_n : ndarray of float, shape (N,)
        0 or more. Samples of weight 0 are ranked by their key alone: compare them only
        with each other.

    References
    ----------
    .. [1] Efraimidis and Spirakis, "Weighted Random Sampling with a Reservoir",
       Information Processing Letters, 2006.
    """
    weights = np.where(weights_n > 0, weights_n, 1.0).astype(np.float64)
    places: NDArray[np.float64] = np.log(np.maximum(keys_n, np.finfo(np.float64).tiny)) / weights
    return places


def drawn(
    labels_n: Ids, weights_n: Floats, priorities_n: NDArray[np.float64], capacity: int
) -> NDArray[np.bool_]:
    """Choose the highest priorities of each class within its share.

    A sample of weight 0 stays only where every trusted one does and room is left.

    Parameters
    ----------
    labels_n : ndarray of int64, shape (N,)
        One label for all makes it a draw that ignores classes.
    weights_n : ndarray of float32, shape (N,)
        Only whether they are above 0 is read.
    priorities_n : ndarray of float64, shape (N,)
        From `priorities`.

    Returns
    -------
    ndarray of bool, shape (N,)
        True for at most `capacity` samples.

    Notes
    -----
    Cost: O(N log N). A sample that was not chosen once would not be chosen later, beside
    more samples or for less capacity.
    """
    groups_n, counts_g, shares_g = _shares(labels_n, weights_n, capacity)
    line = np.lexsort((-priorities_n, groups_n))
    starts_g = np.cumsum(counts_g) - counts_g
    ranks_n = np.empty(len(line), np.int64)
    ranks_n[line] = np.arange(len(line)) - starts_g[groups_n[line]]
    stays: NDArray[np.bool_] = ranks_n < shares_g[groups_n]
    return stays


def herded(
    labels_n: Ids, weights_n: Floats, embeddings_nd: Floats, capacity: int
) -> NDArray[np.bool_]:
    """Choose samples of each class whose mean embedding follows the mean of the class.

    Parameters
    ----------
    labels_n, weights_n, capacity
        As for `drawn`.
    embeddings_nd : ndarray of float32, shape (N, D)
        Scaled to length 1 here.

    Returns
    -------
    ndarray of bool, shape (N,)
        True for at most `capacity` samples.

    Notes
    -----
    The mean is of what is given here: where some of a class were let go before, it is the
    mean of those that were kept and the new ones. Cost: O(m n d) for m kept of n samples
    of a class, no Python per sample that is not kept.
    """
    groups_n, counts_g, shares_g = _shares(labels_n, weights_n, capacity)
    stays: NDArray[np.bool_] = shares_g[groups_n] == counts_g[groups_n]
    for group in np.flatnonzero((shares_g > 0) & (shares_g < counts_g)):
        rows = np.flatnonzero(groups_n == group)
        picks = herd(embeddings_nd[rows], weights_n[rows], int(shares_g[group]))
        stays[rows[picks]] = True
    return stays


def herd(embeddings_nd: Floats, weights_n: Floats, num_picks: int) -> Ids:
    """Pick samples one after another so that their mean stays close to the mean of all.

    Both means are of embeddings scaled to length 1; the mean of all is weighted, and a
    sample's distance to what the next pick should be counts 1 / weight as much.

    Parameters
    ----------
    embeddings_nd : ndarray of float32, shape (N, D)
    weights_n : ndarray of float32, shape (N,)
        Trust; all 0 is the same as all 1.
    num_picks : int
        At most N.

    Returns
    -------
    ndarray of int64, shape (num_picks,)
        Rows in the order picked, each once; fewer picks are a prefix of more.

    Notes
    -----
    Cost: O(m n d) for m picks.

    References
    ----------
    .. [1] Rebuffi et al., "iCaRL: Incremental Classifier and Representation Learning",
       CVPR 2017.
    """
    weights = weights_n.astype(np.float64) if weights_n.any() else np.ones(len(weights_n))
    norms = np.linalg.norm(embeddings_nd, axis=1, keepdims=True)
    unit = embeddings_nd / np.maximum(norms, 1e-12)
    mean_d = weights @ unit / weights.sum()
    # What the next pick should be for the mean of the picks to be exact.
    wanted_d = mean_d.copy()
    squares_n = np.einsum("nd,nd->n", unit, unit)
    reluctance_n = 1 / np.maximum(weights, _LEAST_WEIGHT)
    picks = np.empty(num_picks, np.int64)
    for step in range(num_picks):
        distances_n = squares_n - 2 * (unit @ wanted_d) + wanted_d @ wanted_d
        # Rounding may take an exact match below 0, where less trust would count for more.
        costs_n = np.maximum(distances_n, 1e-12) * reluctance_n
        pick = int(np.argmin(costs_n))
        picks[step] = pick
        reluctance_n[pick] = np.inf
        wanted_d += mean_d - unit[pick]
    return picks


def hardness(labels_n: Ids, losses_n: Floats) -> NDArray[np.float64]:
    """Return how hard each sample is for its class: loss / (loss + mean loss of the class).

    Parameters
    ----------
    losses_n : ndarray of float32, shape (N,)
        0 or more.

    Returns
    -------
    ndarray of float64, shape (N,)
        In (0, 1); 0.5 for a sample as hard as its class. A wild loss, which is more often
        a wrong label than a lesson, counts less than twice a usual one.

    Raises
    ------
    ValueError
        If a loss is negative or not a number.

    References
    ----------
    .. [1] Buzzega et al., "Rethinking Experience Replay: a Bag of Tricks for Continual
       Learning", ICPR 2020 (loss-aware balanced reservoir; the saturation is ours).
    """
    if not np.all(np.isfinite(losses_n)) or np.any(losses_n < 0):
        raise ValueError("losses should be numbers of 0 or more")
    _, classes_n, counts_k = np.unique(labels_n, return_inverse=True, return_counts=True)
    means_k = np.bincount(classes_n, losses_n) / counts_k
    totals_n = losses_n + means_k[classes_n]
    shares = np.divide(losses_n, totals_n, out=np.full(len(losses_n), 0.5), where=totals_n > 0)
    return np.asarray(np.maximum(shares, _LEAST_HARDNESS), np.float64)


def _shares(labels_n: Ids, weights_n: Floats, capacity: int) -> tuple[Ids, Ids, Ids]:
    """Return groups, their sizes and shares: trusted samples by class, then the others."""
    classes_k, classes_n = np.unique(labels_n, return_inverse=True)
    num = len(classes_k)
    groups_n = np.where(weights_n > 0, classes_n, classes_n + num)
    counts_g = np.bincount(groups_n, minlength=2 * num)
    trusted_k = fair_shares(counts_g[:num], capacity)
    doubted_k = fair_shares(counts_g[num:], capacity - int(trusted_k.sum()))
    return groups_n, counts_g, np.concatenate([trusted_k, doubted_k])
