"""What the buffer holds while samples stream past: never more, and never less than it could.

Shape suffixes: n rows, k classes, g groups (doubted rows by class, then trusted ones).
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.learning.exemplars import priorities
from holdfast.records import Floats, Ids


class MemoryStream:
    """Rows of arrays held elsewhere, of which as many are kept as the buffer has room for.

    At any time it holds what `replay.shrink` with `class_balanced` would keep of the rows it
    started with and all that were offered.

    Parameters
    ----------
    labels_n : ndarray of int64, shape (N,)
        One label for all makes it a plain reservoir.
    weights_n : ndarray of float32, shape (N,)
        Trust in [0, 1]; low = doubtful. Read once: a later change does not count here.
    keys_n : ndarray of float64, shape (N,)
        Uniform in [0, 1), one per row.
    capacity : int
        0 or more.
    start_rows : ndarray of int64
        What the buffer holds already; more than the capacity is cut to it.

    Raises
    ------
    ValueError
        If the capacity is negative.

    Notes
    -----
    Memory: O(N) numbers to rank the rows, O(capacity) to hold them. Rows that cannot stay
    are dismissed by the batch; one that enters costs O(log capacity + K). Of N rows offered,
    about capacity * log(N / capacity) enter.

    References
    ----------
    .. [1] Chrysakis and Moens, "Online Continual Learning from Imbalanced Data",
       ICML 2020 (class-balancing reservoir).
    .. [2] Efraimidis and Spirakis, "Weighted Random Sampling with a Reservoir",
       Information Processing Letters, 2006.
    """

    def __init__(
        self,
        labels_n: Ids,
        weights_n: Floats,
        keys_n: NDArray[np.float64],
        capacity: int,
        start_rows: Ids,
    ) -> None:
        if capacity < 0:
            raise ValueError(f"a buffer's capacity should be 0 or more, not {capacity}")
        classes_k, classes_n = np.unique(labels_n, return_inverse=True)
        self._num_classes = len(classes_k)
        self._groups_n = np.where(weights_n > 0, classes_n + self._num_classes, classes_n)
        self._priorities_n = priorities(keys_n, weights_n)
        self._capacity = capacity
        self._hold(start_rows[:capacity])
        self.offer(start_rows[capacity:])

    @property
    def rows(self) -> Ids:
        """Rows that are held, at most `capacity`, in an order that a resumed stream repeats."""
        held: Ids = self._rows_held[: self._used].copy()
        return held

    def offer(self, rows: Ids) -> int:
        """Let rows in where they belong; return how many entered, for however long.

        A row that is held already, or was let go before, changes nothing.
        """
        if not self._capacity:
            return 0
        before = self._entered
        for row in rows[self._may_stay(rows)].tolist():
            if self._slots_n[row] < 0:
                self._enter(row)
        return self._entered - before

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return what `restore` needs to go on from here."""
        return {"rows": self.rows}

    def restore(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `tensors` returned."""
        self._hold(tensors["rows"])

    def _hold(self, rows: Ids) -> None:
        self._used, self._entered = len(rows), 0
        self._rows_held = np.zeros(self._capacity, np.int64)
        self._rows_held[: self._used] = rows
        self._slots_n = np.full(len(self._groups_n), -1, np.int64)
        self._slots_n[rows] = np.arange(self._used)
        num_groups = 2 * self._num_classes
        self._counts_g = np.bincount(self._groups_n[rows], minlength=num_groups)
        self._lowest_g = np.full(num_groups, np.inf)
        np.minimum.at(self._lowest_g, self._groups_n[rows], self._priorities_n[rows])
        # Priority and row, the lowest first.
        self._heaps: list[list[tuple[float, int]]] = [[] for _ in range(num_groups)]
        for row, group in zip(rows.tolist(), self._groups_n[rows].tolist(), strict=True):
            self._heaps[group].append((float(self._priorities_n[row]), row))
        for heap in self._heaps:
            heapq.heapify(heap)

    def _may_stay(self, rows: Ids) -> NDArray[np.bool_]:
        """Tell which rows would not leave at once; who would now, would later as well."""
        if self._used < self._capacity:
            return np.ones(len(rows), bool)
        groups, largest = self._groups_n[rows], self._next_to_shrink()
        trusted, trusted_shrink = groups >= self._num_classes, largest >= self._num_classes
        counts, most = self._counts_g[groups] + 1, self._counts_g[largest]
        # Whether the row's own group would be the one that shrinks, were the row in it.
        own = (counts > most) | ((counts == most) & (groups >= largest))
        lowest = self._priorities_n[rows] < self._lowest_g[groups]
        stays: NDArray[np.bool_] = np.where(trusted == trusted_shrink, ~(own & lowest), trusted)
        return stays

    def _next_to_shrink(self) -> int:
        """Return the largest group of the doubted if there is one, else of the trusted.

        The last of equals, because `fair_shares` gives what is left over to the first.
        """
        doubted_k = self._counts_g[: self._num_classes]
        start = 0 if doubted_k.any() else self._num_classes
        counts_k = self._counts_g[start : start + self._num_classes]
        return start + self._num_classes - 1 - int(np.argmax(counts_k[::-1]))

    def _enter(self, row: int) -> None:
        group = int(self._groups_n[row])
        heapq.heappush(self._heaps[group], (float(self._priorities_n[row]), row))
        self._counts_g[group] += 1
        slot = self._used
        if self._used == self._capacity:
            slot = self._make_room(row)
        else:
            self._used += 1
        if slot >= 0:
            self._slots_n[row] = slot
            self._rows_held[slot] = row
            self._entered += 1
            self._lowest_g[group] = self._heaps[group][0][0]

    def _make_room(self, row: int) -> int:
        """Let the lowest of the largest group go; return its slot, -1 if it is `row` itself."""
        group = self._next_to_shrink()
        heap = self._heaps[group]
        _, leaves = heapq.heappop(heap)
        self._counts_g[group] -= 1
        self._lowest_g[group] = heap[0][0] if heap else np.inf
        slot = -1 if leaves == row else int(self._slots_n[leaves])
        self._slots_n[leaves] = -1
        return slot
