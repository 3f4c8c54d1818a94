"""Which samples go into a batch: every class its share, doubtful labels less often.

Shape suffixes: n samples, k classes, b samples of a batch.
"""

from __future__ import annotations

import numpy as np

from holdfast.records import Floats, Ids


class BatchSampler:
    """Draws batches of sample positions, shares of classes fixed and exact.

    A class gets a share of each batch proportional to (its trusted mass) ** (1 -
    `balance`); within the class a sample is drawn in proportion to the trust in its
    label. Shares are kept by systematic sampling: in every batch a class is drawn its
    expected number of times, rounded down or up, so that a rare class is never absent
    by bad luck.

    Parameters
    ----------
    labels_n : ndarray of int64, shape (N,)
        Any integers; equal means same class. At least one sample.
    weights_n : ndarray of float32, shape (N,)
        Trust, 0 or more; 0 is never drawn. Some must be above 0.
    balance : float
        In [0, 1]: 0 draws classes as frequent as they are, 1 all equally often.

    Raises
    ------
    ValueError
        If nothing can be drawn, or the arguments do not fit each other.

    Notes
    -----
    Cost: O(N log N) once, then O(B log N) a batch.

    References
    ----------
    .. [1] Madow, "On the theory of systematic sampling, II", 1949.
    .. [2] Kang et al., "Decoupling Representation and Classifier for Long-Tailed
       Recognition", ICLR 2020 (class-balanced sampling).

    Examples
    --------
    >>> labels, rng = np.array([0, 0, 0, 1]), np.random.default_rng(0)
    >>> sampler = BatchSampler(labels, np.ones(4, np.float32), balance=1.0)
    >>> np.bincount(labels[sampler.draw(6, rng)]).tolist()
    [3, 3]
    """

    def __init__(self, labels_n: Ids, weights_n: Floats, *, balance: float) -> None:
        if len(labels_n) != len(weights_n):
            raise ValueError(f"{len(labels_n)} labels but {len(weights_n)} weights")
        usable = np.flatnonzero(weights_n > 0)
        if not len(usable):
            raise ValueError("no sample with a weight above 0 to draw from")
        if not 0 <= balance <= 1:
            raise ValueError(f"balance should lie in [0, 1], not {balance}")
        self._order = usable[np.argsort(labels_n[usable], kind="stable")]
        _, starts_k = np.unique(labels_n[self._order], return_index=True)
        # ends[i] is the total weight up to and with the sample at order[i].
        self._ends = np.cumsum(weights_n[self._order], dtype=np.float64)
        self._bases_k = np.r_[0.0, self._ends[starts_k[1:] - 1]]
        self._masses_k = np.diff(np.r_[self._bases_k, self._ends[-1]])
        self._last_k = np.r_[starts_k[1:], len(self._order)] - 1
        self._first_k = starts_k
        shares_k = self._masses_k ** (1 - balance)
        self.shares_k: np.ndarray[tuple[int], np.dtype[np.float64]] = shares_k / shares_k.sum()

    def draw(self, size: int, rng: np.random.Generator) -> Ids:
        """Return positions of `size` samples, drawn with replacement, in random order."""
        points_b = (np.arange(size) + rng.random()) / size
        classes_b = np.searchsorted(np.cumsum(self.shares_k), points_b)
        # Rounding may put the last point just above the last sum.
        classes_b = np.minimum(classes_b, len(self.shares_k) - 1)
        masses_b = self._bases_k[classes_b] + rng.random(size) * self._masses_k[classes_b]
        places_b = np.searchsorted(self._ends, masses_b, side="right")
        places_b = np.clip(places_b, self._first_k[classes_b], self._last_k[classes_b])
        drawn: Ids = self._order[rng.permutation(places_b)]
        return drawn
