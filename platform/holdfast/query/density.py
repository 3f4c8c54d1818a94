"""How typical a candidate is of the pool.

Shape suffixes: n candidates, d embedding dimensions, r samples of reference, b rows of a
block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from holdfast.model.neighbors import nearest
from holdfast.query.strategy import Candidates, Scores, ranks
from holdfast.records import Floats, Ids

# Among a random part of the pool the order by distance to 10 neighbors is nearly that among
# all: rank correlation .93 with 1,024 and .95 with 2,048 of 30,000 MNIST images (64
# principal components); .90 with 5 neighbors or 512 images.
NEIGHBORS = 10
FEWEST_REFERENCE = 1_024
# Up to 7,000 candidates all are compared with all; of more, fewer are drawn.
COMPARISONS = 50_000_000
_ROWS = 65_536


def distances_to_neighbors(embeddings_nd: Floats, order_n: Ids, rng: np.random.Generator) -> Scores:
    """Return the mean distance of each sample to its nearest ones in a part of the pool.

    Time O(n r d) with r = min(n, max(1,024, 5e7 / n)) samples of reference; memory O(n)
    beside a block, also where embeddings are a memory map.

    Parameters
    ----------
    embeddings_nd : ndarray of float32, shape (N, D)
    order_n : ndarray of int64, shape (N,)
        Rows in an order that does not depend on how they came, as by sample id: so are
        those of reference drawn.

    Returns
    -------
    ndarray of float64, shape (N,)
        Euclidean, over `NEIGHBORS` samples other than itself or as many as there are; 0.0
        for a lone sample.
    """
    num = len(embeddings_nd)
    if num < 2:
        return np.zeros(num)
    size = min(num, max(FEWEST_REFERENCE, COMPARISONS // num))
    drawn = np.sort(order_n[rng.choice(num, size, replace=False)]) if size < num else order_n
    base_rd = embeddings_nd[drawn]
    referred_n = np.zeros(num, np.bool_)
    referred_n[drawn] = True
    means = np.empty(num)
    for start in range(0, num, _ROWS):
        rows = slice(start, start + _ROWS)
        near, _ = nearest(embeddings_nd[rows], base_rd, min(NEIGHBORS + 1, size))
        # A sample of the reference finds itself first, or a copy of itself, at distance 0.
        inside = referred_n[rows, None]
        near = np.where(inside, near[:, 1:], near[:, :-1])
        means[rows] = near.mean(axis=1, dtype=np.float64)
    return means


@dataclass(frozen=True, slots=True)
class DensityStrategy:
    """Ask first about what has many like it in the pool.

    Cost as of `distances_to_neighbors`.

    An answer about a typical sample tells about many others, and a sample far from all
    others is often an odd image. modAL's `information_density` compares all with all.

    References
    ----------
    .. [1] Settles and Craven, "An Analysis of Active Learning Strategies for Sequence
       Labeling Tasks", EMNLP 2008 (information density).
    .. [2] Hacohen, Dekel and Weinshall, "Active Learning on a Budget: Opposite Strategies
       Suit High and Low Budgets", ICML 2022 (typicality as the inverse of this distance).
    """

    def scores(self, candidates: Candidates, rng: np.random.Generator) -> Scores:
        """Return the rank of each candidate's nearness to others, in [0, 1]; 1 = densest."""
        order = np.argsort(candidates.sample_ids_n, kind="stable")
        return ranks(-distances_to_neighbors(candidates.embeddings_nd, order, rng))
