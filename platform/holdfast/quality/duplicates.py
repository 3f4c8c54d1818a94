"""Images that are there more than once, as they are or slightly changed.

Shape suffixes: n samples, m neighbors of each, p pairs, s samples in a set of duplicates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]  # ships no types
from scipy.sparse import csgraph  # type: ignore[import-untyped]

from holdfast.records import Floats, Ids

# Two samples are near-duplicates when they are this much closer to each other than to their
# other neighbors. Copies that were saved again, scaled, cropped by 2 pixels or made noisy lie
# below .13 nine times in ten (photographs of waste, blood cells, MNIST); the closest pairs of
# different pictures there begin at .17.
CLOSE = 0.15
# Inside a heap of copies the neighbors are copies as well. This share of what is usual among
# all samples is the least that counts as the distance to others.
LEAST_SCALE = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class DuplicateSets:
    """Sets of samples that show the same, and what is wrong with them.

    Attributes
    ----------
    rows_s, set_s : ndarray of int64, shape (S,)
        Samples, and the number of the set each is in; sorted by set, then by row.
    scores_s : ndarray of float64, shape (S,)
        In [0, 1]; 0 = the same picture, 1 = as far apart as neighbors usually are.
    exact_s : ndarray of bool, shape (S,)
        Whether another sample of the set has the same pixels.
    """

    rows_s: Ids
    set_s: Ids
    scores_s: NDArray[np.float64]
    exact_s: NDArray[np.bool_]

    @property
    def num_sets(self) -> int:
        """Number of sets."""
        return int(self.set_s.max()) + 1 if len(self.set_s) else 0

    def members(self, number: int) -> Ids:
        """Return the rows of one set. Time O(log S)."""
        first, last = np.searchsorted(self.set_s, [number, number + 1])
        return self.rows_s[first:last]

    def mixed(self, codes_n: Ids) -> Ids:
        """Return the sets whose samples carry two codes or more, ascending; -1 is no code."""
        codes_s = codes_n[self.rows_s]
        known = codes_s >= 0
        pairs = np.unique(np.stack([self.set_s[known], codes_s[known]], axis=1), axis=0)
        sets, counts = np.unique(pairs[:, 0], return_counts=True)
        return np.asarray(sets[counts > 1])


def close_pairs(distances_nm: Floats, rows_nm: Ids) -> tuple[Ids, NDArray[np.float64]]:
    """Find pairs of samples far closer to each other than to what else is around them.

    The distance of two samples is divided by the geometric mean of how far each is from its
    last neighbor of the graph, so that a crowded part of the set is measured by its own
    yardstick. Time and memory O(n m).

    Parameters
    ----------
    distances_nm : ndarray of float32, shape (N, M)
        To each sample's nearest others, ascending; infinite where there is none.
    rows_nm : ndarray of int64, shape (N, M)
        Which they are, itself left out; -1 where there is none.

    Returns
    -------
    pairs_p2 : ndarray of int64, shape (P, 2)
        Rows, the lower one first; each pair once, in ascending order.
    closeness_p : ndarray of float64, shape (P,)
        In [0, CLOSE); 0 = the same place.

    Examples
    --------
    >>> near = np.array([[0.01, 2.0], [0.01, 2.0], [2.0, 2.0]], np.float32)
    >>> close_pairs(near, np.array([[1, 2], [0, 2], [0, 1]]))[0].tolist()
    [[0, 1]]
    """
    none = np.empty((0, 2), np.int64), np.empty(0)
    if rows_nm.size == 0:
        return none
    last_n = np.where(np.isfinite(distances_nm), distances_nm, 0.0).max(axis=1).astype(np.float64)
    usual = float(np.median(last_n))
    if usual <= 0.0:
        # More than half of all samples lie where their neighbors do: nothing to measure by.
        usual = float(last_n.max()) or 1.0
    scale_n = np.maximum(last_n, LEAST_SCALE * usual)
    # The bound of every pair at once is too wide; it only keeps what is divided below small.
    starts, places = np.nonzero(distances_nm < CLOSE * scale_n.max())
    ends = rows_nm[starts, places]
    closeness = distances_nm[starts, places] / np.sqrt(scale_n[starts] * scale_n[ends])
    kept = (closeness < CLOSE) & (ends >= 0)
    pairs = np.sort(np.stack([starts[kept], ends[kept]], axis=1), axis=1)
    pairs, first = np.unique(pairs, axis=0, return_index=True)
    return pairs.astype(np.int64), closeness[kept][first].astype(np.float64)


def duplicate_sets(
    pairs_p2: Ids, closeness_p: NDArray[np.float64], contents_n: NDArray[Any]
) -> DuplicateSets:
    """Join pairs into sets: whatever is linked by pairs is one set.

    Parameters
    ----------
    pairs_p2, closeness_p : ndarray
        From `close_pairs`.
    contents_n : ndarray, shape (N,)
        A digest of each sample's pixels: equal where the pictures are the same, pixel for
        pixel. Only those of samples in a pair are read.

    Returns
    -------
    DuplicateSets
        Sets are numbered by their lowest row. Empty for no pairs. Time O(p log p).

    Examples
    --------
    >>> pairs = np.array([[0, 1], [1, 5]])
    >>> found = duplicate_sets(pairs, np.array([0.0, 0.1]), np.array(list("aabbbc")))
    >>> found.rows_s.tolist(), found.exact_s.tolist()
    ([0, 1, 5], [True, True, False])
    """
    rows_s, ends = np.unique(pairs_p2, return_inverse=True)
    ends = ends.reshape(-1, 2)
    size = len(rows_s)
    links = sparse.coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(size, size))
    _, set_s = csgraph.connected_components(links, directed=False)
    _, first, set_s = np.unique(set_s, return_index=True, return_inverse=True)
    set_s = np.argsort(np.argsort(first))[set_s]
    scores = np.ones(size)
    for side in (0, 1):
        np.minimum.at(scores, ends[:, side], closeness_p)
    _, content_s = np.unique(contents_n[rows_s], return_inverse=True)
    key = set_s * (int(content_s.max(initial=0)) + 1) + content_s
    _, inverse, counts = np.unique(key, return_inverse=True, return_counts=True)
    exact = counts[inverse] > 1
    order = np.lexsort((rows_s, set_s))
    return DuplicateSets(
        rows_s=rows_s[order].astype(np.int64),
        set_s=set_s[order].astype(np.int64),
        scores_s=np.where(exact, 0.0, scores)[order],
        exact_s=exact[order],
    )


def majority(codes_s: Ids, set_s: Ids) -> Ids:
    """Return, for each sample, the code that most of its set carries; -1 where two tie.

    Parameters
    ----------
    codes_s : ndarray of int64, shape (S,)
        -1: none, which does not count.
    set_s : ndarray of int64, shape (S,)

    Examples
    --------
    >>> majority(np.array([3, 3, 5, 1, 2]), np.array([0, 0, 0, 1, 1])).tolist()
    [3, 3, 3, -1, -1]
    """
    num_sets = int(set_s.max(initial=-1)) + 1
    known = codes_s >= 0
    cells, counts = np.unique(
        np.stack([set_s[known], codes_s[known]], axis=1), axis=0, return_counts=True
    )
    order = np.lexsort((counts, cells[:, 0]))
    cells, counts = cells[order], counts[order]
    winner = np.full(num_sets, -1, np.int64)
    last = np.flatnonzero(np.diff(cells[:, 0], append=-1))
    tied = (last > 0) & (cells[last - 1, 0] == cells[last, 0]) & (counts[last - 1] == counts[last])
    winner[cells[last, 0]] = np.where(tied, -1, cells[last, 1])
    return np.asarray(winner[set_s])
