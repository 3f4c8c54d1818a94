"""Weights that change while samples are drawn by them: sums of sums, no loop per sample.

Shape suffixes: n samples, b draws, m samples that change, f children of a node.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Ids

Weights = NDArray[np.float64]

# Children of a node. Of 8 to 128 this drew 256 of a million samples soonest: four levels.
_FAN = 32
_MOST = 1e200


class WeightTree:
    """The weight of each sample, and the sums that a draw by weight goes down.

    Parameters
    ----------
    weights_n : ndarray of float, shape (N,)
        0 or more, 1e200 at most; 0 is never found. At least one sample.

    Raises
    ------
    ValueError
        If there is no sample, or a weight is negative, too large or not a number.

    Notes
    -----
    Cost, with L = log(N) / log(32) levels: O(N) once, O(32 L) for each point looked up and
    each weight changed, all of a batch at once. Memory: 17 bytes a sample.

    A sum is always taken anew from its children, so errors of rounding do not gather however
    often weights change, and equal weights mean equal sums, bit for bit, whatever was before.

    References
    ----------
    .. [1] Wong and Easton, "An Efficient Method for Weighted Sampling without Replacement",
       SIAM Journal on Computing, 1980.

    Examples
    --------
    >>> tree = WeightTree(np.array([1.0, 0.0, 3.0]))
    >>> tree.find(np.array([0.0, 0.99, 1.0, 3.99])).tolist()
    [0, 0, 2, 2]
    >>> tree.change(np.array([2]), np.array([0.5]))
    >>> tree.total
    1.5
    """

    def __init__(self, weights_n: Weights) -> None:
        if not len(weights_n):
            raise ValueError("there is no sample to draw from")
        check_weights(weights_n)
        self._num = len(weights_n)
        # What the children of each node weigh, and where each ends when they lie side by side;
        # the children of the next level are the nodes of this one.
        self._weights_f, self._ends_f = [_padded(weights_n)], list[Weights]()
        while True:
            self._ends_f.append(self._weights_f[-1].cumsum(axis=1))
            if len(self._ends_f[-1]) == 1:
                break
            self._weights_f.append(_padded(self._ends_f[-1][:, -1]))

    def __len__(self) -> int:
        return self._num

    @property
    def total(self) -> float:
        """Sum of all weights."""
        return float(self._ends_f[-1][0, -1])

    @property
    def weights_n(self) -> Weights:
        """The weights as they are now, float64 of shape (N,): a view, not to be written to."""
        weights: Weights = self._weights_f[0].reshape(-1)[: self._num]
        return weights

    def change(self, rows_m: Ids, weights_m: Weights) -> None:
        """Give samples other weights; of a sample that comes twice the last one holds.

        Raises
        ------
        ValueError
            If a row is not in [0, N), or a weight is negative, too large or not a number;
            nothing has changed then.
        """
        if len(rows_m) != len(weights_m):
            raise ValueError(f"{len(rows_m)} samples but {len(weights_m)} weights")
        if not len(rows_m):
            return
        if rows_m.min() < 0 or rows_m.max() >= self._num:
            raise ValueError(f"a row is not one of {self._num} samples")
        check_weights(weights_m, rows_m)
        children, sums = np.asarray(rows_m, np.int64), np.asarray(weights_m, np.float64)
        for weights, ends in zip(self._weights_f, self._ends_f, strict=True):
            weights.reshape(-1)[children] = sums
            children = np.unique(children // _FAN)
            # INVARIANT: sums are taken anew, never changed by a difference, which would drift.
            fresh = weights.take(children, axis=0).cumsum(axis=1)
            ends[children] = fresh
            sums = fresh[:, -1]

    def find(self, points_b: Weights) -> Ids:
        """Return the sample at each point of a line where each is as long as it weighs.

        Parameters
        ----------
        points_b : ndarray of float64, shape (B,)
            In [0, `total`). A point that rounding put beyond an end finds the sample there.

        Returns
        -------
        ndarray of int64, shape (B,)
            Each with a weight above 0.

        Raises
        ------
        ValueError
            If all weights are 0.
        """
        if not self.total > 0:
            raise ValueError("no sample has a weight above 0 to draw from")
        nodes = np.zeros(len(points_b), np.int64)
        draws = np.arange(len(points_b))
        points = points_b
        for level in reversed(self._ends_f):
            ends = level.take(nodes, axis=0)
            # Below the last end, so that the child found adds to the sum: it is not 0.
            points = np.minimum(points, np.nextafter(ends[:, -1], 0))
            child = (ends > points[:, None]).argmax(axis=1)
            points = points - np.where(child > 0, ends[draws, child - 1], 0.0)
            nodes = nodes * _FAN + child
        return nodes

    def start_of(self, rows_m: Ids) -> Weights:
        """Return the sum of the weights before each sample, float64 of shape (M,); N is allowed."""
        starts = np.zeros(len(rows_m))
        nodes = np.asarray(rows_m, np.int64)
        beyond = nodes >= self._num
        nodes = np.where(beyond, 0, nodes)
        for level in self._ends_f:
            place, nodes = nodes % _FAN, nodes // _FAN
            starts += np.where(place > 0, level[nodes, place - 1], 0.0)
        return np.where(beyond, self.total, starts)


def _padded(values: Weights) -> Weights:
    """Return values as rows of children, with zeros behind."""
    rows = -(-len(values) // _FAN)
    level = np.zeros((rows, _FAN))
    level.reshape(-1)[: len(values)] = values
    return level


def check_weights(weights_m: Weights, rows_m: Ids | None = None) -> None:
    """Check that weights are 0 or more, and not so large that their sum could be infinite.

    Parameters
    ----------
    rows_m : ndarray of int64, shape (M,), optional
        Whose they are, for the message; by default they are all there are.

    Raises
    ------
    ValueError
        Naming the first that is not.
    """
    # Without an array of marks where all is well; NaN fails every comparison.
    if not len(weights_m) or (weights_m.min() >= 0 and weights_m.max() <= _MOST):
        return
    at = int(np.argmin((weights_m >= 0) & (weights_m <= _MOST)))
    row = at if rows_m is None else int(rows_m[at])
    raise ValueError(
        f"weights should lie between 0 and {_MOST:g}, but sample {row} has {weights_m[at]}"
    )
