"""How far candidates lie from what has a label, and batches that do not repeat themselves.

Shape suffixes: n candidates, k classes, d embedding dimensions, m labeled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from holdfast.model.neighbors import distance_to_nearest
from holdfast.query.minority import class_weights
from holdfast.query.strategy import Candidates, Scores
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


def balanced_picks(
    scores_n: Scores,
    votes_nk: Floats,
    places_nd: Floats,
    num_picks: int,
    *,
    labeled_k: Scores,
    power: float,
    width: float,
) -> Ids:
    """Pick high scores of classes with few labels, no two alike.

    Every step takes the largest ``score * sum_k votes_k weight_k * apart``. The weight of a
    class is ``(fewest / labels_k)**power``, and every pick counts towards the labels of what
    it is taken for, so that a query is shared out between the classes that lack labels.
    `apart` falls by ``1 - exp(-distance^2 / width^2)`` with every pick: a batch of near-copies
    would spend the budget on one question. Time O(n (k + d) picks).

    Parameters
    ----------
    scores_n : ndarray of float64, shape (N,)
        Not negative; higher = ask first. Equal scores: the first wins.
    votes_nk : ndarray of float32, shape (N, K)
        What each is taken for; rows sum to 1.
    places_nd : ndarray of float32, shape (N, D)
    num_picks : int
        At most N.
    labeled_k : ndarray of float64, shape (K,)
        Labels that each class has, above 0.
    power : float
        0 treats all classes alike.
    width : float
        Distance up to which samples are alike; 0 keeps only copies apart.

    Returns
    -------
    ndarray of int64, shape (num_picks,)
        In the order picked, each once.
    """
    if not num_picks:
        return np.empty(0, np.int64)
    counts_k = labeled_k.astype(np.float64)
    apart_n = np.ones(len(scores_n), np.float32)
    worth_n = scores_n.astype(np.float32)
    lengths_n = np.einsum("nd,nd->n", places_nd, places_nd)
    # A distance that rounding leaves between copies is none.
    square = max(width**2, 1e-6 * float(lengths_n.mean()), 1e-12)
    picks = np.empty(num_picks, np.int64)
    for step in range(num_picks):
        weights_k = class_weights(counts_k, power).astype(np.float32)
        value_n = (votes_nk @ weights_k) * worth_n * apart_n
        # Where all that is left is like a pick, the order of the scores decides.
        pick = int(np.argmax(value_n)) if value_n.max() > 0 else int(np.argmax(worth_n))
        picks[step] = pick
        counts_k += votes_nk[pick]
        worth_n[pick] = -1.0
        squares_n = lengths_n + lengths_n[pick] - 2.0 * (places_nd @ places_nd[pick])
        apart_n *= -np.expm1(-np.maximum(squares_n, 0.0) / square)
    return picks


@dataclass(frozen=True, slots=True)
class NoveltyStrategy:
    """Ask first about what is least like anything labeled."""

    def scores(self, candidates: Candidates, rng: np.random.Generator) -> Scores:  # noqa: ARG002  contract
        """Return novelty, in [0, 1]."""
        return novelty(candidates)
