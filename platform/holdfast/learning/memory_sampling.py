"""Which exemplars go into a batch while what the buffer holds changes under way.

Shape suffixes: n rows, k classes, b rows of a batch, m rows that are held.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from holdfast.data.weight_tree import WeightTree
from holdfast.learning.sampling import Sampling, Shares, class_shares, draw_classes
from holdfast.records import Floats, Ids


class MemorySampler:
    """Draws as `BatchSampler` does, from rows that enter and leave.

    Parameters
    ----------
    positions_n : ndarray of int64, shape (N,)
        Class of each row, in [0, `num_classes`), whether held or not. At least one row.
    weights_n : ndarray of float32, shape (N,)
        Trust, 0 or more; 0 is never drawn.
    num_classes, balance, sampling
        As for `BatchSampler`.

    Notes
    -----
    Cost: O(N log N) once; O(M) when rows change, without sorting, and O(log N) for each that
    changes; O(K + B log N) a batch. `BatchSampler` would sort all rows each time.
    """

    def __init__(
        self,
        positions_n: Ids,
        weights_n: Floats,
        *,
        num_classes: int,
        balance: float,
        sampling: Sampling = "systematic",
    ) -> None:
        self._positions_n, self._weights_n = positions_n, weights_n.astype(np.float64)
        self._num_classes, self._balance, self._sampling = num_classes, balance, sampling
        # In the tree, the rows of a class lie side by side.
        self._order = np.argsort(positions_n, kind="stable")
        self._places_n = np.empty_like(self._order)
        self._places_n[self._order] = np.arange(len(self._order))
        sizes_k = np.bincount(positions_n, minlength=num_classes)
        self._last_k = np.cumsum(sizes_k) - 1
        self._first_k = self._last_k + 1 - sizes_k
        self._tree = WeightTree(np.zeros(len(positions_n)))
        self._held_m: Ids = np.zeros(0, np.int64)
        self._held_n: NDArray[np.bool_] = np.zeros(len(positions_n), bool)
        self._masses_k: Shares = np.zeros(num_classes)
        self._bases_k: Shares = np.zeros(num_classes)

    def hold(self, rows_m: Ids) -> None:
        """Draw from these rows, each named once, from now on."""
        entered = rows_m[~self._held_n[rows_m]]
        self._held_n[self._held_m] = False
        self._held_n[rows_m] = True
        left = self._held_m[~self._held_n[self._held_m]]
        self._held_m = rows_m
        changed = np.concatenate([entered, left])
        weights = np.where(self._held_n[changed], self._weights_n[changed], 0.0)
        self._tree.change(self._places_n[changed], weights)
        # Of the held rows and not of the tree: there, rounding might leave a class of none a mass.
        masses = np.bincount(self._positions_n[rows_m], self._weights_n[rows_m], self._num_classes)
        self._masses_k = masses.astype(np.float64)
        self._bases_k = self._tree.start_of(self._first_k)

    def shares_k(self, share_done: float) -> Shares:
        """Return the share of each class in the batches; see `BatchSampler.shares_k`.

        Raises
        ------
        ValueError
            If nothing that is held can be drawn.
        """
        if not self._masses_k.any():
            raise ValueError("no row with a weight above 0 to draw from")
        goal_k = class_shares(self._masses_k, self._balance)
        if self._sampling != "progressive":
            return goal_k
        return (1 - share_done) * class_shares(self._masses_k, 0.0) + share_done * goal_k

    def draw(self, size: int, rng: np.random.Generator, share_done: float) -> Ids:
        """Return `size` of the rows that are held, drawn with replacement, in random order."""
        alone = self._sampling == "weighted"
        classes_b = draw_classes(self.shares_k(share_done), size, rng, alone=alone)
        places_b = self._within(classes_b, rng)
        # Where rounding led into the class beside it, again.
        while len(astray := self._astray(places_b, classes_b)):
            places_b[astray] = self._within(classes_b[astray], rng)
        drawn: Ids = self._order[rng.permutation(places_b)]
        return drawn

    def _within(self, classes_b: Ids, rng: np.random.Generator) -> Ids:
        masses_b = rng.random(len(classes_b)) * self._masses_k[classes_b]
        return self._tree.find(self._bases_k[classes_b] + masses_b)

    def _astray(self, places_b: Ids, classes_b: Ids) -> Ids:
        outside = (places_b < self._first_k[classes_b]) | (places_b > self._last_k[classes_b])
        astray: Ids = np.flatnonzero(outside)
        return astray
