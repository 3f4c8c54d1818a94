"""How likely a candidate belongs to a class with few labels.

Shape suffixes: n candidates, k classes the model knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from holdfast.query.strategy import Candidates, Scores
from holdfast.records import Ids


def class_weights(labeled_counts_k: Ids | Scores, power: float) -> Scores:
    """Weight of each class by the inverse of its count, tempered.

    Parameters
    ----------
    labeled_counts_k : ndarray of int64 or float64, shape (K,)
        Below 1 counts as 1.
    power : float
        0 gives every class 1.0; 1 is the plain inverse.

    Returns
    -------
    ndarray of float64, shape (K,)
        In (0, 1]; the class with the fewest labels has 1.0.

    Examples
    --------
    >>> class_weights(np.array([100, 25]), 0.5).tolist()
    [0.5, 1.0]
    """
    counts = np.maximum(labeled_counts_k, 1).astype(np.float64)
    return np.asarray((counts.min(initial=np.inf) / counts) ** power)


def expected_rarity(candidates: Candidates, power: float) -> Scores:
    """Mean class weight of each candidate under the model's probabilities; time O(n k).

    Returns
    -------
    ndarray of float64, shape (N,)
        In (0, 1]; higher = more likely rare. All 1.0 without a model or with power 0.
    """
    if not candidates.has_model:
        return np.ones(len(candidates))
    weights = class_weights(candidates.labeled_counts_k, power)
    # In the precision of the probabilities: a wider copy of a million rows would not be small.
    weights = weights.astype(candidates.pred_probs_nk.dtype)
    return np.asarray(candidates.pred_probs_nk @ weights, np.float64)


@dataclass(frozen=True, slots=True)
class MinorityStrategy:
    """Ask first about what the model takes for a rare class, sure or not."""

    power: float = 1.0

    def scores(self, candidates: Candidates, rng: np.random.Generator) -> Scores:  # noqa: ARG002  contract
        """Return expected rarity, in (0, 1]."""
        return expected_rarity(candidates, self.power)
