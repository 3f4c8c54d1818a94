"""What to ask first, when nothing has a label.

Shape suffixes: n samples, d embedding dimensions, p picks.
"""

from __future__ import annotations

import numpy as np

from holdfast.model.k_center import farthest_first
from holdfast.model.neighbors import clusters, distance_to_nearest, graph
from holdfast.query.diversity import unit_length
from holdfast.records import Floats, Ids

# As in the paper.
NEIGHBORS = 20
# Of a larger cluster a random part is looked at: its most typical sample is nearly as typical.
LARGEST_CLUSTER = 1_024


def typical_picks(embeddings_nd: Floats, num_picks: int, rng: np.random.Generator) -> Ids:
    """Pick the most typical sample of each of as many clusters as picks are wanted.

    Without labels a model cannot say what it is unsure of, and what lies far from all others
    is more often odd than useful. Samples that stand for many others teach most at first, and
    clusters keep them apart. Time O(n d picks), and O(n d min(n / picks, 1,024)) for neighbors
    inside clusters; memory O(n d) for directions.

    Parameters
    ----------
    embeddings_nd : ndarray of float32, shape (N, D)
        Compared by direction.
    num_picks : int
        0 or more; all samples come back where there are no more.

    Returns
    -------
    ndarray of int64, shape (min(num_picks, N),)
        Rows, each once; that of the largest cluster first. Where copies leave clusters empty,
        samples that lie far from those picked come last.

    Raises
    ------
    ValueError
        If `num_picks` is negative.

    References
    ----------
    .. [1] Hacohen, Dekel and Weinshall, "Active Learning on a Budget: Opposite Strategies
       Suit High and Low Budgets", ICML 2022 (TypiClust).

    Examples
    --------
    >>> points = np.array([[1, 0.2], [1, 0], [1, -0.2], [0.3, 1], [0, 1], [-0.3, 1], [0.3, 1]])
    >>> typical_picks(points.astype(np.float32), 2, np.random.default_rng(0)).tolist()
    [3, 1]
    """
    if num_picks < 0:
        raise ValueError(f"num_picks should be 0 or more, not {num_picks}")
    num_picks = min(num_picks, len(embeddings_nd))
    if num_picks == 0:
        return np.empty(0, np.int64)
    embeddings = unit_length(embeddings_nd)
    own_n = clusters(embeddings, num_picks)
    sizes = np.bincount(own_n, minlength=num_picks)
    members = np.split(np.argsort(own_n, kind="stable"), np.cumsum(sizes)[:-1])
    largest_first = np.argsort(-sizes, kind="stable")
    picks = np.array(
        [_most_typical(embeddings, members[c], rng) for c in largest_first.tolist() if sizes[c]],
        np.int64,
    )
    rest = np.setdiff1d(np.arange(len(embeddings)), picks, assume_unique=True)
    apart = farthest_first(
        embeddings[rest],
        num_picks - len(picks),
        distances_n=distance_to_nearest(embeddings[rest], embeddings[picks]),
        weights_n=np.ones(len(rest)),
    )
    return np.concatenate([picks, rest[apart]])


def _most_typical(embeddings_nd: Floats, members: Ids, rng: np.random.Generator) -> int:
    """Return the member whose neighbors in the cluster are nearest."""
    if len(members) > LARGEST_CLUSTER:
        members = np.sort(rng.choice(members, LARGEST_CLUSTER, replace=False))
    if len(members) < 3:
        return int(members[0])
    distances, _ = graph(embeddings_nd[members], NEIGHBORS)
    return int(members[np.argmin(distances.mean(axis=1))])
