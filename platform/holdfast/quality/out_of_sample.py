"""What the other labels say about each sample: a cross-validated probe and a vote.

Shape suffixes: n labeled samples, d embedding dimensions, k classes with a label.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from holdfast.model.neighbors import nearest
from holdfast.quality.probe import probe
from holdfast.quality.resampled_folds import FoldSamples, Resampling, resample_folds
from holdfast.records import Floats, Ids

Probs = NDArray[np.float64]
Graph = tuple[Floats, Ids]
P = TypeVar("P", Probs, Floats)

# Length of an embedding once centered and scaled. It sets how sharp the probe is: at
# C = 1 this length ranked wrong labels better than one worth C = 10 (average precision
# .86 against .84 on digits, .82 against .80 on long-tailed MNIST, 4 seeds each).
EMBEDDING_LENGTH = 4.0
# Exponent on class counts in the neighbor vote: 0 leaves the class prior in, 1 lets a
# single rare neighbor outvote nine others. Alone, the vote ranks worse the higher it is
# (.92 at 0, .86 at 0.5, .76 at 1 on long-tailed MNIST), and flags fewer correct rare ones.
PRIOR_POWER = 0.25
# Probability a label keeps when nothing else of its class could speak for it.
UNHEARD = 0.5
VOTE_FLOOR = 0.02
# A label the first pass does not believe at all keeps this weight in the second, or a class
# of nothing but doubted labels would be gone.
LEAST_WEIGHT = 1e-3


def out_of_sample(
    columns_n: Ids,
    embeddings_nd: Floats,
    groups_n: NDArray[Any] | None,
    *,
    folds: int,
    neighbors: int,
    vote_share: float,
    rng: np.random.Generator,
    neighbors_graph: Graph | None = None,
    resampling: Resampling | None = None,
) -> Probs:
    """Return class probabilities of each sample that its own label had no part in.

    A linear probe is cross-validated twice, the second time trusting each label as far as
    the first pass did, so that wrong labels stop speaking for each other. It is averaged
    with a vote of the nearest samples, which needs no training and holds where a class
    has a handful of samples. The class prior is divided out of both.

    Parameters
    ----------
    columns_n : ndarray of int64, shape (N,)
        Labels as columns 0..K-1, K at least 2.
    embeddings_nd : ndarray of float32, shape (N, D)
    groups_n : ndarray, shape (N,), or None
        Samples of one group never judge each other.
    neighbors_graph : (ndarray of float32, ndarray of int64), each of shape (N, M), optional
        Distances and rows of the nearest others of each sample, nearest first, row -1 where
        there is none; the first `neighbors` are used. Without it they are looked for.
    resampling : Resampling, optional
        How the probe's training samples are resampled; the vote is of the samples as they are.

    Returns
    -------
    ndarray of float64, shape (N, K)
        Rows sum to 1.

    Raises
    ------
    ValueError
        If an embedding is not finite.

    Notes
    -----
    Cost: two probes, see `probe`, and the search for neighbors, see `nearest`. All samples
    are used: of 6 seeds each, wrong labels rank as well as by scikit-learn's probes of 10,000
    samples (average precision .996 on digits, .982 on blood cells, .972 on long-tailed MNIST,
    a tenth to a fifth of the labels wrong; no pair of means differs by more than .0003).
    """
    groups = number_groups(groups_n, len(columns_n))
    fold_n = assign_folds(columns_n, groups, num_folds=folds, rng=rng)
    embeddings = _scaled(embeddings_nd)
    votes = _neighbor_votes(columns_n, embeddings, groups, neighbors, neighbors_graph)
    even = np.ones(len(columns_n))
    first = _mix(_probe(columns_n, embeddings, fold_n, even, resampling), votes, vote_share)
    trust = first[np.arange(len(columns_n)), columns_n]
    trust = np.maximum(trust, LEAST_WEIGHT)
    return _mix(_probe(columns_n, embeddings, fold_n, trust, resampling), votes, vote_share)


def assign_folds(columns_n: Ids, groups_n: Ids, *, num_folds: int, rng: np.random.Generator) -> Ids:
    """Spread samples over folds, each class as evenly as possible, groups kept whole.

    Unlike scikit-learn's stratified folds it accepts classes with fewer samples than
    folds, and costs O(n log n) rather than O(groups) of Python.

    Parameters
    ----------
    columns_n, groups_n : ndarray of int64, shape (N,)
        Class and group of each sample, groups numbered 0..G-1.

    Returns
    -------
    ndarray of int64, shape (N,)
        0..num_folds-1; never more folds than groups.
    """
    num_groups = int(groups_n.max()) + 1 if len(groups_n) else 0
    # A group stands for the class of its first sample, which is exact without groups.
    _, first = np.unique(groups_n, return_index=True)
    class_g = columns_n[first]
    size_g = np.bincount(groups_n, minlength=num_groups)
    order = np.lexsort((rng.random(num_groups), -size_g, class_g))
    fold_g = np.empty(num_groups, np.int64)
    fold_g[order] = np.arange(num_groups) % min(num_folds, max(num_groups, 1))
    return np.asarray(fold_g[groups_n])


def number_groups(groups_n: NDArray[Any] | None, num_samples: int) -> Ids:
    """Return groups numbered from 0; every sample is its own where there are none."""
    if groups_n is None:
        return np.arange(num_samples)
    return np.asarray(np.unique(groups_n, return_inverse=True)[1].astype(np.int64))


def _scaled(embeddings_nd: Floats) -> Floats:
    """Center, then give every embedding the same length: no sample dominates the probe."""
    centered = embeddings_nd.astype(np.float32) - embeddings_nd.mean(axis=0, dtype=np.float64)
    length = np.linalg.norm(centered, axis=1, keepdims=True)
    return np.asarray(EMBEDDING_LENGTH * centered / np.maximum(length, 1e-9), np.float32)


def _probe(
    columns_n: Ids,
    embeddings_nd: Floats,
    folds_n: Ids,
    weights_n: Probs,
    resampling: Resampling | None,
) -> Probs:
    learned = FoldSamples(columns_n, embeddings_nd, folds_n, weights_n)
    if resampling is not None:
        learned = resample_folds(columns_n, embeddings_nd, folds_n, weights_n, resampling)
    # Balanced weights divide the class prior out: otherwise correct labels of rare
    # classes are flagged several times as often as those of frequent ones.
    probs = probe(
        learned.columns_m,
        learned.embeddings_md,
        learned.folds_m,
        weights_n=learned.weights_m,
        balanced=True,
    )[: len(columns_n)]
    return neutral_where_unheard(
        probs.astype(np.float64), columns_n, others_of_class(columns_n, folds_n)
    )


def _neighbor_votes(
    columns_n: Ids, embeddings_nd: Floats, groups_n: Ids, num_neighbors: int, graph: Graph | None
) -> Probs:
    num_classes = int(columns_n.max()) + 1
    if graph is None:
        # One more than wanted, since every sample finds itself.
        distances, rows = nearest(embeddings_nd, embeddings_nd, num_neighbors + 1)
    else:
        distances, rows = graph[0][:, :num_neighbors], graph[1][:, :num_neighbors]
    # Members of one's own group are struck out, so a large group leaves fewer voters.
    voters = (rows >= 0) & (groups_n[rows] != groups_n[:, None])
    finite = distances[voters]
    softening = 0.5 * float(finite.mean()) + 1e-6 if len(finite) else 1.0
    weight = np.where(voters, 1.0 / (np.where(voters, distances, 1.0) + softening), 0.0)
    counts = np.bincount(columns_n, minlength=num_classes)
    weight *= (counts.astype(np.float64) ** -PRIOR_POWER)[columns_n[rows]]
    cells = np.arange(len(rows))[:, None] * num_classes + columns_n[rows]
    counted = np.bincount(cells.ravel(), weights=weight.ravel(), minlength=len(rows) * num_classes)
    votes: Probs = counted.astype(np.float64).reshape(len(rows), num_classes)
    total = votes.sum(axis=1, keepdims=True)
    votes = votes + VOTE_FLOOR * np.where(total > 0, total, 1.0) / num_classes
    votes = votes / votes.sum(axis=1, keepdims=True)
    return neutral_where_unheard(votes, columns_n, others_of_class(columns_n, groups_n))


def others_of_class(columns_n: Ids, groups_n: Ids) -> NDArray[np.bool_]:
    """Return of each sample whether any other outside its group carries the same label."""
    counts = np.bincount(columns_n)
    pair = columns_n * (int(groups_n.max()) + 1) + groups_n
    _, inverse, size = np.unique(pair, return_inverse=True, return_counts=True)
    return np.asarray(counts[columns_n] > size[inverse])


def neutral_where_unheard(probs_nk: P, columns_n: Ids, heard_n: NDArray[np.bool_]) -> P:
    """Return probabilities in which a label that nothing else could speak for is half believed.

    Parameters
    ----------
    probs_nk : ndarray of float, shape (N, K)
        Changed in place.
    columns_n : ndarray of int64, shape (N,)
        Label of each sample.
    heard_n : ndarray of bool, shape (N,)
        Whether any other label of its class had a part in its probabilities.

    Returns
    -------
    ndarray of float, shape (N, K)
        Rows sum to 1.
    """
    # The only sample of its class has nobody to vouch for it. Zero would put every such
    # label, rare by definition, at the head of the suspects.
    unheard = np.flatnonzero(~heard_n)
    probs_nk[unheard, columns_n[unheard]] = 0.0
    total = probs_nk[unheard].sum(axis=1, keepdims=True)
    probs_nk[unheard] *= np.where(total > 0, (1.0 - UNHEARD) / np.maximum(total, 1e-12), 0.0)
    probs_nk[unheard, columns_n[unheard]] = UNHEARD
    probs_nk /= probs_nk.sum(axis=1, keepdims=True)
    return probs_nk


def _mix(probe_nk: Probs, votes_nk: Probs, vote_share: float) -> Probs:
    return (1.0 - vote_share) * probe_nk + vote_share * votes_nk
