"""The contract of query strategies, and how ties between scores are broken.

Shape suffixes: n candidates, k classes the model knows, d embedding dimensions, m labeled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Floats, Ids

Scores = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Committee:
    """What several models, or one with its dropout left on, say of each candidate.

    Attributes
    ----------
    mean_probs_nk : ndarray of float32, shape (N, K)
        Mean over members of their probabilities; rows sum to 1.
    votes_nk : ndarray of a number, shape (N, K)
        Members whose most probable class this is; every row sums to the number of members.
    expected_entropy_n : ndarray, shape (N,)
        Mean over members of the entropy of their probabilities, in nats.
        The entropy of the mean less this is what members disagree about (BALD), which is
        also the mean Kullback-Leibler divergence of a member from the mean.
    max_kl_n : ndarray, shape (N,)
        Largest Kullback-Leibler divergence of a member from the mean, in nats.

    Raises
    ------
    ValueError
        If the shapes do not fit together.
    """

    mean_probs_nk: Floats
    votes_nk: NDArray[Any]
    expected_entropy_n: NDArray[Any]
    max_kl_n: NDArray[Any]

    def __post_init__(self) -> None:
        shape = self.mean_probs_nk.shape
        if self.votes_nk.shape != shape:
            raise ValueError(f"votes should be {shape}, not {self.votes_nk.shape}")
        for name in ("expected_entropy_n", "max_kl_n"):
            found = getattr(self, name).shape
            if found != shape[:1]:
                raise ValueError(f"{name} should be {shape[:1]}, not {found}")

    def __len__(self) -> int:
        return len(self.mean_probs_nk)

    @classmethod
    def of_one(cls, probs_nk: Floats) -> Committee:
        """Return a committee of one member, which never disagrees, from its probabilities."""
        votes = np.zeros(probs_nk.shape, np.uint8)
        votes[np.arange(len(votes)), probs_nk.argmax(axis=1)] = 1
        # Where a probability is 0 it adds nothing, whatever stands for its logarithm.
        logs = np.log(np.maximum(probs_nk, np.finfo(np.float32).tiny))
        return cls(
            mean_probs_nk=probs_nk,
            votes_nk=votes,
            expected_entropy_n=-np.einsum("nk,nk->n", probs_nk, logs),
            max_kl_n=np.zeros(len(probs_nk)),
        )

    def take(self, rows: Ids) -> Committee:
        """Return what is said of some candidates, in the order of `rows`."""
        return Committee(
            mean_probs_nk=self.mean_probs_nk[rows],
            votes_nk=self.votes_nk[rows],
            expected_entropy_n=self.expected_entropy_n[rows],
            max_kl_n=self.max_kl_n[rows],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidates:
    """Samples that may be asked about, and what is known of them.

    Attributes
    ----------
    sample_ids_n : ndarray of int64, shape (N,)
    pred_probs_nk : ndarray of float32, shape (N, K)
        Rows sum to 1; shape (N, 0) without a model.
    class_ids_k : ndarray of int64, shape (K,)
        Class of each column: those the model knows.
    embeddings_nd : ndarray of float32, shape (N, D)
    labeled_counts_k : ndarray of int64, shape (K,)
        Labels on record per column.
    labeled_embeddings_md : ndarray of float32, shape (M, D)
        Of the samples that have a label; M may be 0.
    labeled_class_ids_m : ndarray of int64, shape (M,), or None
        Their labels on record; None where nobody says: then the neighbors of candidates
        have no vote.
    committee : Committee or None
        Only strategies that measure disagreement read it.

    Raises
    ------
    ValueError
        If the shapes do not fit together.
    """

    sample_ids_n: Ids
    pred_probs_nk: Floats
    class_ids_k: Ids
    embeddings_nd: Floats
    labeled_counts_k: Ids
    labeled_embeddings_md: Floats
    labeled_class_ids_m: Ids | None = None
    committee: Committee | None = None

    def __post_init__(self) -> None:
        n, k = len(self.sample_ids_n), len(self.class_ids_k)
        if self.pred_probs_nk.shape != (n, k):
            raise ValueError(f"pred_probs should be {(n, k)}, not {self.pred_probs_nk.shape}")
        if len(self.embeddings_nd) != n:
            raise ValueError(f"{n} candidates but {len(self.embeddings_nd)} embeddings")
        if len(self.labeled_counts_k) != k:
            raise ValueError(f"{k} classes but {len(self.labeled_counts_k)} label counts")
        num_labeled = len(self.labeled_embeddings_md)
        if self.labeled_class_ids_m is not None and len(self.labeled_class_ids_m) != num_labeled:
            raise ValueError(
                f"{num_labeled} labeled embeddings but {len(self.labeled_class_ids_m)} labels"
            )
        if self.committee is not None and self.committee.mean_probs_nk.shape != (n, k):
            found = self.committee.mean_probs_nk.shape
            raise ValueError(f"the committee's probabilities should be {(n, k)}, not {found}")

    def __len__(self) -> int:
        return len(self.sample_ids_n)

    @property
    def has_model(self) -> bool:
        """Whether there are probabilities to be uncertain about."""
        return len(self.class_ids_k) > 0

    def take(self, rows: Ids) -> Candidates:
        """Return some candidates, in the order of `rows`, beside the same labeled samples."""
        return replace(
            self,
            sample_ids_n=self.sample_ids_n[rows],
            pred_probs_nk=self.pred_probs_nk[rows],
            embeddings_nd=self.embeddings_nd[rows],
            committee=None if self.committee is None else self.committee.take(rows),
        )


class QueryStrategy(Protocol):
    """Says how much an answer about each candidate is worth."""

    def scores(self, candidates: Candidates, rng: np.random.Generator) -> Scores:
        """Return acquisition scores, shape (N,), finite; higher = ask first.

        Permuting the candidates permutes the scores, for every strategy whose scores are
        not drawn from `rng`.
        """
        ...


@runtime_checkable
class CompositeStrategy(QueryStrategy, Protocol):
    """A strategy whose scores are combined from measures that can be shown one by one."""

    def parts(self, candidates: Candidates, rng: np.random.Generator) -> Mapping[str, Scores]:
        """Return each measure, shape (N,), by its name."""
        ...

    def combine(self, parts: Mapping[str, Scores]) -> Scores:
        """Return the scores, shape (N,), that the measures amount to."""
        ...


@dataclass(frozen=True, slots=True)
class RandomStrategy:
    """Every candidate is as good as any other: the reference for all strategies."""

    def scores(self, candidates: Candidates, rng: np.random.Generator) -> Scores:
        """Return uniform scores in [0, 1)."""
        return rng.random(len(candidates))


def ranks(values_n: NDArray[Any]) -> Scores:
    """Return the share of the other values that each value exceeds; time O(n log n).

    A rank, unlike the value itself, has the same spread in every pool, and one outlier
    does not press all others to zero.

    Returns
    -------
    ndarray of float64, shape (N,)
        In [0, 1]; 0 = lowest, 1 = highest where nothing equals it. Equal values have equal
        ranks, so permuting values permutes ranks. All 0.0 for a single value.

    Examples
    --------
    >>> ranks(np.array([5.0, 900.0, 7.0])).tolist()
    [0.0, 1.0, 0.5]
    """
    order = np.sort(values_n)
    return np.searchsorted(order, values_n, side="left") / max(len(values_n) - 1, 1)


def top_n(scores_n: Scores, num: int, rng: np.random.Generator) -> Ids:
    """Positions of the highest scores, highest first; equal scores in random order.

    Time O(n log n).

    Parameters
    ----------
    num : int
        Positions wanted; fewer come back when there are fewer scores.

    Raises
    ------
    ValueError
        If a score is not finite: a sort would place it silently.

    Examples
    --------
    >>> top_n(np.array([0.1, 0.9, 0.5]), 2, np.random.default_rng(0)).tolist()
    [1, 2]
    """
    if not np.isfinite(scores_n).all():
        raise ValueError(f"{int((~np.isfinite(scores_n)).sum())} acquisition scores are not finite")
    order: Ids = np.lexsort((rng.random(len(scores_n)), -scores_n))
    return order[: max(num, 0)]
