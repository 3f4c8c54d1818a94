"""Which samples go into a batch: every class its share, doubtful labels less often.

Shape suffixes: n samples, k classes, b samples of a batch, m samples that take turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Floats, Ids

Shares = NDArray[np.float64]
Sampling = Literal["systematic", "weighted", "progressive"]


class BatchSampler:
    """Draws batches of samples, classes by their shares and samples by trust.

    A class gets a share of each batch proportional to (its trusted mass) ** (1 -
    `balance`); within the class a sample is drawn in proportion to the trust in its
    label.

    Parameters
    ----------
    positions_n : ndarray of int64, shape (N,)
        Class of each sample, in [0, `num_classes`). At least one sample.
    weights_n : ndarray of float32, shape (N,)
        Trust, 0 or more; 0 is never drawn. Some must be above 0.
    num_classes : int
        Classes there are, with samples or without.
    balance : float
        In [0, 1]: 0 draws classes as frequent as they are, 1 all equally often.
    sampling : str
        `systematic`: in every batch a class is drawn its expected number of times, rounded
        down or up, so that a rare class is never absent by bad luck. `weighted`: each
        sample is drawn alone. `progressive`: systematic, with shares that move from those
        of balance 0 to those of `balance` over the update.

    Raises
    ------
    ValueError
        If nothing can be drawn, or the arguments do not fit each other.

    Notes
    -----
    Cost: O(N log N) once, then O(K + B log N) a batch.

    References
    ----------
    .. [1] Madow, "On the theory of systematic sampling, II", Annals of Mathematical
       Statistics, 1949.
    .. [2] Kang et al., "Decoupling Representation and Classifier for Long-Tailed
       Recognition", ICLR 2020 (class-balanced and progressively balanced sampling).

    Examples
    --------
    >>> positions, rng = np.array([0, 0, 0, 1]), np.random.default_rng(0)
    >>> sampler = BatchSampler(positions, np.ones(4, np.float32), num_classes=2, balance=1.0)
    >>> np.bincount(positions[sampler.draw(6, rng, 0.0)]).tolist()
    [3, 3]
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
        if len(positions_n) != len(weights_n):
            raise ValueError(f"{len(positions_n)} labels but {len(weights_n)} weights")
        usable = np.flatnonzero(weights_n > 0)
        if not len(usable):
            raise ValueError("no sample with a weight above 0 to draw from")
        if positions_n[usable].min() < 0 or positions_n[usable].max() >= num_classes:
            raise ValueError(f"a label is not one of {num_classes} classes")
        if not 0 <= balance <= 1:
            raise ValueError(f"balance should lie in [0, 1], not {balance}")
        self._order = usable[np.argsort(positions_n[usable], kind="stable")]
        sizes_k = np.bincount(positions_n[usable], minlength=num_classes)
        self._first_k = np.cumsum(sizes_k) - sizes_k
        self._last_k = self._first_k + sizes_k - 1
        # ends[i] is the total weight up to and with the sample at order[i].
        self._ends = np.cumsum(weights_n[self._order], dtype=np.float64)
        edges = np.r_[0.0, self._ends]
        self._bases_k = edges[self._first_k]
        self._masses_k = edges[self._last_k + 1] - self._bases_k
        self._independent = sampling == "weighted"
        masses_k = np.where(sizes_k > 0, self._masses_k, 0.0)
        self._goal_k = class_shares(masses_k, balance)
        self._start_k = class_shares(masses_k, 0.0) if sampling == "progressive" else self._goal_k

    def shares_k(self, share_done: float) -> Shares:
        """Return the share of each class in the batches, 0 where it is never drawn; sums to 1.

        Parameters
        ----------
        share_done : float
            In [0, 1]: share of the update that is done.
        """
        return (1 - share_done) * self._start_k + share_done * self._goal_k

    def draw(self, size: int, rng: np.random.Generator, share_done: float) -> Ids:
        """Return rows of `size` samples, drawn with replacement, in random order."""
        classes_b = draw_classes(self.shares_k(share_done), size, rng, alone=self._independent)
        masses_b = self._bases_k[classes_b] + rng.random(size) * self._masses_k[classes_b]
        places_b = np.searchsorted(self._ends, masses_b, side="right")
        places_b = np.clip(places_b, self._first_k[classes_b], self._last_k[classes_b])
        drawn: Ids = self._order[rng.permutation(places_b)]
        return drawn


def class_shares(masses_k: Shares, balance: float) -> Shares:
    """Return the share of each class in what is drawn; it sums to 1.

    Parameters
    ----------
    masses_k : ndarray of float64, shape (K,)
        Trusted mass of each class; 0 is never drawn. Some must be above 0.
    balance : float
        In [0, 1]: 0 draws classes as frequent as they are, 1 all equally often.

    Examples
    --------
    >>> class_shares(np.array([16.0, 0.0, 4.0]), 0.5).round(2).tolist()
    [0.67, 0.0, 0.33]
    """
    shares_k = np.where(masses_k > 0, masses_k ** (1 - balance), 0.0)
    shares: Shares = shares_k / shares_k.sum()
    return shares


def draw_classes(
    shares_k: Shares, size: int, rng: np.random.Generator, *, alone: bool = False
) -> Ids:
    """Return the class of each draw: its expected number of times, rounded down or up.

    Parameters
    ----------
    alone : bool
        Whether each class is drawn alone instead.

    Returns
    -------
    ndarray of int64, shape (`size`,)
        Ascending, unless drawn alone.
    """
    points_b = rng.random(size) if alone else (np.arange(size) + rng.random()) / size
    ends_k = np.cumsum(shares_k)
    # Rounding may put a point above the last sum; a class of no share has the sum of the
    # one before it, and "right" steps over it.
    points_b = np.minimum(points_b, np.nextafter(ends_k[-1], 0))
    classes: Ids = np.searchsorted(ends_k, points_b, side="right")
    return classes


class Turns:
    """Gives every sample its turn, each exactly `passes` times.

    In each pass every sample comes once, in an order of its own; a batch may hold the end of
    one pass and the start of the next.

    Parameters
    ----------
    rows_m : ndarray of int64, shape (M,)
        Samples that take turns; none are never drawn.
    passes : int
        1 or more.
    shuffled : bool
        Whether each pass has a random order; otherwise all have that of `rows_m`.

    Notes
    -----
    Memory: O(M), whatever the passes. Cost: O(M) a pass, O(B) a batch.

    Examples
    --------
    >>> turns, rng = Turns(np.array([5, 6, 7]), 2), np.random.default_rng(0)
    >>> sorted([*turns.draw(4, rng).tolist(), *turns.draw(4, rng).tolist()])
    [5, 5, 6, 6, 7, 7]
    """

    def __init__(self, rows_m: Ids, passes: int, *, shuffled: bool = True) -> None:
        if passes < 1:
            raise ValueError(f"passes should be 1 or more, not {passes}")
        self._rows_m, self._passes, self._shuffled = rows_m, passes, shuffled
        self._order_m = rows_m
        self._drawn = 0

    @property
    def left(self) -> int:
        """Draws that are left: `passes` times the samples at the start."""
        return self._passes * len(self._rows_m) - self._drawn

    def draw(self, size: int, rng: np.random.Generator) -> Ids:
        """Return the next rows: `size`, or those that are left where they are fewer."""
        drawn: list[Ids] = [np.zeros(0, np.int64)]
        missing = min(size, self.left)
        while missing:
            place = self._drawn % len(self._rows_m)
            if place == 0 and self._shuffled:
                self._order_m = rng.permutation(self._rows_m)
            part = self._order_m[place : place + missing]
            drawn.append(part)
            self._drawn += len(part)
            missing -= len(part)
        return np.concatenate(drawn)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return what `restore` needs to go on from here."""
        return {"order_m": self._order_m, "drawn": np.array(self._drawn, np.int64)}

    def restore(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Go on where `tensors` were taken."""
        self._order_m, self._drawn = tensors["order_m"], int(tensors["drawn"])
