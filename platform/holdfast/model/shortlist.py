"""The nearest that each of many queries has met so far.

Shape suffixes: m queries, n base samples, d embedding dimensions, k neighbors; of one offer:
b queries, c base samples, h pairs.
"""

from __future__ import annotations

import numpy as np

from holdfast.records import Floats, Ids

# Products looked at together; they fit into a core's cache.
_PRODUCTS = 2**18
# Squares of distances below this share of the squared length are mostly rounding.
_CANCELED = 1e-4
# Rows settled together.
_ROWS = 65_536


class Shortlist:
    """K places for each of M queries, all empty at first.

    Memory: 12 bytes a place.
    """

    def __init__(self, num_queries: int, k: int) -> None:
        self._squared_mk = np.full((num_queries, k), np.inf, np.float32)
        self._rows_mk = np.full((num_queries, k), -1, np.int64)

    @property
    def k(self) -> int:
        """Places for each query."""
        return self._rows_mk.shape[1]

    def farthest(self, queries: Ids) -> Floats:
        """Squared distance that a query's next neighbor must not reach; infinite with room."""
        farthest: Floats = self._squared_mk[queries].max(axis=1)
        return farthest

    def keep(self, queries: Ids, squared_bc: Floats, rows_bc: Ids) -> None:
        """Keep what is nearer than what was met so far; no row may be offered twice."""
        squared = np.concatenate([self._squared_mk[queries], squared_bc], axis=1)
        rows = np.concatenate([self._rows_mk[queries], rows_bc], axis=1)
        kept = np.argpartition(squared, self.k - 1, axis=1)[:, : self.k]
        self._squared_mk[queries] = np.take_along_axis(squared, kept, axis=1)
        self._rows_mk[queries] = np.take_along_axis(rows, kept, axis=1)

    def keep_pairs(self, queries_h: Ids, squared_h: Floats, rows_h: Ids) -> None:
        """Do the same with pairs, any number for each query; time O(h log h)."""
        order = np.lexsort((squared_h, queries_h))
        queries_h = queries_h[order]
        heads, firsts, counts = np.unique(queries_h, return_index=True, return_counts=True)
        turn_h = np.arange(len(order)) - np.repeat(firsts, counts)
        head_h = np.repeat(np.arange(len(heads)), counts)
        near = turn_h < self.k
        width = int(turn_h[near].max(initial=-1)) + 1
        squared = np.full((len(heads), width), np.inf, np.float32)
        rows = np.full((len(heads), width), -1, np.int64)
        squared[head_h[near], turn_h[near]] = squared_h[order[near]]
        rows[head_h[near], turn_h[near]] = rows_h[order[near]]
        self.keep(heads, squared, rows)

    def settled(self, queries_md: Floats, base_nd: Floats) -> tuple[Floats, Ids]:
        """Return distances, ascending, and rows; infinite and -1 where a place is empty."""
        for start in range(0, len(self._rows_mk), _ROWS):
            part = slice(start, start + _ROWS)
            squared, rows, queries = self._squared_mk[part], self._rows_mk[part], queries_md[part]
            rows[np.isinf(squared)] = -1
            # A square that is the small difference of large products is rounding: copies
            # would lie apart, so such pairs are compared once more, number by number.
            lengths = np.einsum("md,md->m", queries, queries)
            doubtful, places = np.nonzero(squared < _CANCELED * lengths[:, None])
            for at in range(0, len(doubtful), _ROWS):
                pairs = doubtful[at : at + _ROWS], places[at : at + _ROWS]
                apart = queries[pairs[0]] - base_nd[rows[pairs]]
                squared[pairs] = np.einsum("md,md->m", apart, apart)
            order = np.lexsort((rows, squared), axis=1)
            rows[:] = np.take_along_axis(rows, order, axis=1)
            squared[:] = np.sqrt(np.maximum(np.take_along_axis(squared, order, axis=1), 0.0))
        return self._squared_mk, self._rows_mk


def pairs_within(queries_bd: Floats, base_cd: Floats, squared_b: Floats) -> tuple[Ids, Ids, Floats]:
    """Return the pairs that are nearer than a squared distance for each query.

    Two to three times as fast as keeping the nearest of all pairs, where few are that near:
    the rest costs a product and a comparison each.

    Returns
    -------
    places_h, others_h : ndarray of int64
        Rows of `queries_bd`, ascending, and of `base_cd`.
    squared_h : ndarray of float32
    """
    half_c = 0.5 * np.einsum("cd,cd->c", base_cd, base_cd)
    lengths_b = np.einsum("bd,bd->b", queries_bd, queries_bd)
    least_b = 0.5 * (lengths_b - squared_b)
    places, others, squared = [], [], []
    step = max(1, _PRODUCTS // max(len(base_cd), 1))
    for start in range(0, len(queries_bd), step):
        part = slice(start, start + step)
        # Of |q - b|^2 = |q|^2 - 2 (q b - |b|^2 / 2) all but the product is known.
        products = queries_bd[part] @ base_cd.T
        products -= half_c
        hits = np.flatnonzero(products > least_b[part, None])
        places.append(start + hits // len(base_cd))
        others.append(hits % len(base_cd))
        squared.append(lengths_b[places[-1]] - 2.0 * products.ravel()[hits])
    return np.concatenate(places), np.concatenate(others), np.concatenate(squared)
