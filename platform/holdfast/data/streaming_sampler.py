"""Batches of samples by weights that change from batch to batch: new labels, new audit scores.

Shape suffixes: n samples, b samples of a batch, m samples that change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.data.weight_tree import Weights, WeightTree, check_weights
from holdfast.records import Ids


class StreamingSampler:
    """Draws samples in proportion to their weights as they are at that moment.

    Parameters
    ----------
    weights_n : ndarray of float, shape (N,)
        0 or more, 1e200 at most; 0 is never drawn. At least one sample.
    replacement : bool
        Whether a sample may come again before all others have come. If not, every sample
        with a weight comes once in a pass, heavy ones early; a batch may hold the end of
        one pass and the start of the next.

    Raises
    ------
    ValueError
        If there is no sample, or a weight is negative, too large or not a number.

    Notes
    -----
    Cost: see `WeightTree`; O(log N) for each sample drawn and each weight changed. Memory:
    17 bytes a sample, 26 without replacement.

    References
    ----------
    .. [1] Efraimidis and Spirakis, "Weighted Random Sampling with a Reservoir", Information
       Processing Letters, 2006 (what a pass without replacement is a sample of).

    Examples
    --------
    >>> sampler, rng = StreamingSampler(np.array([1.0, 0.0, 1.0])), np.random.default_rng(0)
    >>> sorted(set(sampler.draw(64, rng).tolist()))
    [0, 2]
    >>> sampler.change(np.array([0, 1]), np.array([0.0, 2.0]))
    >>> sorted(set(sampler.draw(64, rng).tolist()))
    [1, 2]
    """

    def __init__(self, weights_n: Weights, *, replacement: bool = True) -> None:
        self._tree = WeightTree(weights_n)
        # Without replacement: those of this pass that have not come yet, and all weights.
        self._all_n = None if replacement else self._tree.weights_n.copy()
        self._came_n: NDArray[np.bool_] = np.zeros(0 if replacement else len(weights_n), bool)

    def __len__(self) -> int:
        return len(self._tree)

    def change(self, rows_m: Ids, weights_m: Weights) -> None:
        """Give samples other weights, from the next draw on.

        Without replacement, one that has come already in this pass comes by its new weight in
        the next.

        Raises
        ------
        ValueError
            If a row is not in [0, N), or a weight is negative, too large or not a number.
        """
        if self._all_n is None:
            self._tree.change(rows_m, weights_m)
            return
        check_weights(weights_m, rows_m)
        self._tree.change(rows_m, np.where(self._came_n[rows_m], 0.0, weights_m))
        self._all_n[rows_m] = weights_m

    def draw(self, size: int, rng: np.random.Generator) -> Ids:
        """Return the rows of the next `size` samples, in random order.

        Raises
        ------
        ValueError
            If all weights are 0.
        """
        if self._all_n is None:
            return self._tree.find(rng.random(size) * self._tree.total)
        drawn: list[Ids] = [np.zeros(0, np.int64)]
        missing = size
        while missing:
            if not self._tree.total > 0:
                self._start_pass(self._all_n)
            found = self._tree.find(rng.random(missing) * self._tree.total)
            # Who comes again within one draw is passed over: the others come as if he was gone.
            _, first = np.unique(found, return_index=True)
            fresh = found[np.sort(first)]
            self._tree.change(fresh, np.zeros(len(fresh)))
            self._came_n[fresh] = True
            drawn.append(fresh)
            missing -= len(fresh)
        return np.concatenate(drawn)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return what `restore` needs to go on from here, beside the state of the generator."""
        weights_n = self._tree.weights_n if self._all_n is None else self._all_n
        return {"weights_n": weights_n.copy(), "came_n": self._came_n.copy()}

    def restore(self, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Go on where `tensors` were taken, by a sampler of as many samples and the same kind."""
        weights_n, came_n = tensors["weights_n"], tensors["came_n"]
        if len(weights_n) != len(self) or len(came_n) != len(self._came_n):
            raise ValueError(
                f"the state is of {len(weights_n)} samples, {len(came_n)} of them with turns; this "
                f"sampler has {len(self)} and {len(self._came_n)}"
            )
        if self._all_n is None:
            self._tree = WeightTree(weights_n)
            return
        self._all_n, self._came_n = weights_n.copy(), came_n.copy()
        self._tree = WeightTree(np.where(came_n, 0.0, weights_n))

    def _start_pass(self, weights_n: Weights) -> None:
        if not weights_n.any():
            raise ValueError("no sample has a weight above 0 to draw from")
        self._tree = WeightTree(weights_n)
        self._came_n[:] = False
