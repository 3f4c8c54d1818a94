"""What class samples are by the labels around them: labels spread along a neighbor graph.

Shape suffixes: n samples of the graph, d embedding dimensions, m labeled ones among them,
k classes, j neighbors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]  # ships no types

from holdfast.model.neighbors import graph
from holdfast.records import Floats, Ids

NEIGHBORS = 10
# Width of a sample's own neighborhood: the distance to this neighbor (Zelnik-Manor and Perona
# use the seventh), so that embeddings of any scale, dense here and thin there, will do.
_WIDTH_AT = 7
# Share of a sample's belief that comes from its neighbors, and how often they are asked. On
# long-tailed MNIST with a fifth of the answers wrong .95 told rare classes apart at 8 times
# the precision of a linear model on the same labels; .99 lost half of what is rare.
_PASSED_ON = 0.95
_STEPS = 20
# A class with c labels spreads c**-0.5 as much of each: its labels reach as far together as
# those of a frequent class would if there were sqrt(c) times fewer.
_COUNT_POWER = 0.5
# Belief in every class that no label reached.
_NOTHING = 1e-9
# A label that nobody around supports keeps this part of its voice: the first of a rare class
# stands alone as well.
_LEAST_VOICE = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class Neighborhood:
    """The neighbor graph of some samples.

    Attributes
    ----------
    links : csr_matrix of float32, shape (N, N)
        Symmetric, not negative, largest eigenvalue 1.
    returned_n : ndarray of float32, shape (N,)
        Share of a sample's own belief that two steps bring back to it.
    smooth_nd : ndarray of float32, shape (N, D)
        Mean of each embedding and its neighbors': what is odd about one sample is gone.
    width : float
        Median distance to the seventh neighbor.
    """

    links: sparse.csr_matrix
    returned_n: Floats
    smooth_nd: Floats
    width: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Votes:
    """What the labels say of every sample of a graph.

    Attributes
    ----------
    probs_nk : ndarray of float32, shape (N, K)
        Rows sum to 1; even where no label reached.
    trust_m : ndarray of float32, shape (M,)
        How far the labels around a labeled sample, its own left out, speak for its label,
        in [0.05, 1]; low = doubtful.
    """

    probs_nk: Floats
    trust_m: Floats


def neighborhood(embeddings_nd: Floats, num_neighbors: int = NEIGHBORS) -> Neighborhood:
    """Link every sample to those most like it.

    Links weigh ``exp(-distance^2 / (width_i width_j))`` with a width of their own for each
    sample. Cost: that of `neighbors.graph` and O(n j d).

    Parameters
    ----------
    embeddings_nd : ndarray of float32, shape (N, D)

    References
    ----------
    .. [1] Zelnik-Manor and Perona, "Self-Tuning Spectral Clustering", NIPS 2004.
    """
    num = len(embeddings_nd)
    if num < 2:
        alone = sparse.csr_matrix((num, num), dtype=np.float32)
        return Neighborhood(
            links=alone, returned_n=np.zeros(num, np.float32), smooth_nd=embeddings_nd, width=1.0
        )
    distances, near = graph(embeddings_nd, num_neighbors)
    found = near >= 0
    near = np.where(found, near, np.arange(num)[:, None])
    distances = np.where(found, distances, 0.0).astype(np.float32)
    width_n = distances[:, min(_WIDTH_AT, distances.shape[1]) - 1]
    # Among copies the widths are zero, and any that is not will do.
    typical = float(np.median(width_n)) or float(distances.mean()) or 1.0
    width_n = np.maximum(width_n, 1e-3 * typical)
    weights = np.exp(-(distances**2) / (width_n[:, None] * width_n[near])) * found
    starts = np.repeat(np.arange(num), near.shape[1])
    links = sparse.csr_matrix((weights.ravel(), (starts, near.ravel())), shape=(num, num))
    links = links.maximum(links.T)
    degrees_n = np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1e-9)
    scale = sparse.diags((degrees_n**-0.5).astype(np.float32))
    links = (scale @ links @ scale).tocsr().astype(np.float32)
    mean = sparse.csr_matrix(
        (found.ravel().astype(np.float32), (starts, near.ravel())), shape=(num, num)
    )
    together = 1.0 + found.sum(axis=1, keepdims=True, dtype=np.float32)
    return Neighborhood(
        links=links,
        returned_n=np.asarray(links.multiply(links.T).sum(axis=1), np.float32).ravel(),
        smooth_nd=np.asarray((embeddings_nd + mean @ embeddings_nd) / together, np.float32),
        width=typical,
    )


def votes(around: Neighborhood, rows_m: Ids, columns_m: Ids, num_classes: int) -> Votes:
    """Spread labels along the graph, twice: doubtful ones speak lower the second time.

    The first pass tells how far the other labels support each label; a wrong answer amid
    its true class has hardly any support, and would otherwise make all around it look like
    what it claims. Classes with few labels speak louder. Cost O(n j k) for each of 40 steps.

    Parameters
    ----------
    rows_m : ndarray of int64, shape (M,)
        Samples of the graph that have a label, each once.
    columns_m : ndarray of int64, shape (M,)
        Their labels, 0..K-1.

    References
    ----------
    .. [1] Zhou et al., "Learning with Local and Global Consistency", NIPS 2003.
    """
    trust_m = np.ones(len(rows_m), np.float32)
    spread = _spread(around, rows_m, columns_m, trust_m, num_classes)
    own_m = (1 - _PASSED_ON) * (1 + _PASSED_ON**2 * around.returned_n[rows_m])
    others = spread[rows_m]
    others[np.arange(len(rows_m)), columns_m] -= own_m
    heard = np.maximum(others, 0.0) / _loudness(columns_m, trust_m, num_classes) + _NOTHING
    support = heard[np.arange(len(rows_m)), columns_m] / heard.sum(axis=1)
    trust_m = np.maximum(support, _LEAST_VOICE).astype(np.float32)
    spread = _spread(around, rows_m, columns_m, trust_m, num_classes)
    probs = spread / _loudness(columns_m, trust_m, num_classes) + _NOTHING
    probs /= probs.sum(axis=1, keepdims=True)
    return Votes(probs_nk=probs.astype(np.float32, copy=False), trust_m=trust_m)


def _spread(
    around: Neighborhood, rows_m: Ids, columns_m: Ids, trust_m: Floats, num_classes: int
) -> Floats:
    start = np.zeros((len(around.returned_n), num_classes), np.float32)
    start[rows_m, columns_m] = (1 - _PASSED_ON) * trust_m
    belief = start.copy()
    for _ in range(_STEPS):
        belief = around.links @ belief
        belief *= _PASSED_ON
        belief += start
    return belief


def _loudness(columns_m: Ids, trust_m: Floats, num_classes: int) -> NDArray[np.float32]:
    counts = np.bincount(columns_m, trust_m, num_classes)
    return np.asarray(np.maximum(counts, 1.0) ** _COUNT_POWER, np.float32)
