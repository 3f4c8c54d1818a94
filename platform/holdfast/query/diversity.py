"""How far candidates lie from what has a label, and batches that do not repeat themselves.

Shape suffixes: n candidates, d embedding dimensions, m labeled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from holdfast.model.k_center import farthest_first
from holdfast.model.neighbors import distance_to_nearest
from holdfast.query.strategy import Candidates, Scores, top_n
from holdfast.records import Floats, Ids


def unit_length(embeddings_nd: Floats) -> Floats:
    """Scale every embedding to length 1, so that distances compare directions."""
    length = np.linalg.norm(embeddings_nd, axis=1, keepdims=True)
    return np.asarray(embeddings_nd / np.maximum(length, 1e-9), np.float32)


def novelty(candidates: Candidates) -> Scores:
    """Rank of each candidate's distance to its nearest labeled sample.

    Samples of a class that nobody has labeled lie far from all labeled ones, which no
    measure of uncertainty over known classes can see. Time O(n m d) up to
    `neighbors.EXACT_LIMIT` labeled samples, O((n + m) sqrt(m) d) above.

    Returns
    -------
    ndarray of float64, shape (N,)
        In [0, 1]; 1 = farthest. All 1.0 without a labeled sample. Equal distances have
        equal values, so permuting the candidates permutes them.
    """
    if len(candidates.labeled_embeddings_md) == 0 or len(candidates) < 2:
        return np.ones(len(candidates))
    distances = distance_to_nearest(
        unit_length(candidates.embeddings_nd), unit_length(candidates.labeled_embeddings_md)
    )
    # A rank and not the distance itself: one outlier would press all others to zero.
    _, inverse, counts = np.unique(distances, return_inverse=True, return_counts=True)
    below = np.cumsum(counts) - counts
    return np.asarray(below[inverse] / max(len(candidates) - 1, 1), np.float64)


def spread_picks(
    candidates: Candidates,
    scores_n: Scores,
    num_picks: int,
    *,
    factor: int,
    rng: np.random.Generator,
) -> Ids:
    """Pick high scores that lie apart from each other and from labeled samples.

    Greedy k-center, weighted by score, among the ``factor * num_picks`` highest scores:
    a batch of near-copies would spend the budget on one question. Time
    O(n log n + factor * picks^2 * d).

    Parameters
    ----------
    scores_n : ndarray of float64, shape (N,)
        Not negative; higher = ask first.
    factor : int
        1 takes the highest scores as they are.

    Returns
    -------
    ndarray of int64, shape (min(num_picks, N),)
        Positions among the candidates, in the order picked.
    """
    num_picks = min(num_picks, len(candidates))
    shortlist = top_n(scores_n, factor * num_picks, rng)
    if num_picks == 0 or factor == 1:
        return shortlist
    embeddings = unit_length(candidates.embeddings_nd[shortlist])
    labeled = unit_length(candidates.labeled_embeddings_md)
    picks = farthest_first(
        embeddings,
        num_picks,
        distances_n=distance_to_nearest(embeddings, labeled),
        weights_n=scores_n[shortlist],
    )
    return shortlist[picks]


@dataclass(frozen=True, slots=True)
class NoveltyStrategy:
    """Ask first about what is least like anything labeled."""

    def scores(self, candidates: Candidates, rng: np.random.Generator) -> Scores:  # noqa: ARG002  contract
        """Return novelty, in [0, 1]."""
        return novelty(candidates)
