"""Answers of a crowd as flat arrays, and what every way to a consensus returns.

Shape suffixes: a answers, m samples, k classes, j annotators, p pairs of an annotator and a
class that this annotator named.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]  # ships no types

from holdfast.records import Ids

Probs = NDArray[np.float64]
MAX_SWEEPS = 100
# Below, probabilities would be numbers so small that processors take a hundred times as long.
LEAST_LOG = -500.0
# A million answers about a hundred classes get as many sweeps as fit into half a minute.
SWEPT_ENTRIES, FEWEST_SWEEPS = 400_000_000, 14


@dataclass(frozen=True, kw_only=True, slots=True)
class Consensus:
    """What a method makes of the answers.

    Attributes
    ----------
    posterior_mk : ndarray of float64, shape (M, K)
        Probability of each class; rows sum to 1.
    columns_m : ndarray of int64, shape (M,)
        The most probable class of each sample.
    confidence_m : ndarray of float64, shape (M,)
        Its probability, in [0, 1]; low is doubtful.
    quality_j : ndarray of float64, shape (J,)
        Share of each annotator's answers expected to be right, in [0, 1]; low is bad; NaN
        without an answer.
    evidence_pk : ndarray of float64, shape (P, K), or None
        Log-likelihood that the annotator of a pair names its class where k is true; of
        methods that have one.
    """

    posterior_mk: Probs
    columns_m: Ids
    confidence_m: Probs
    quality_j: Probs
    evidence_pk: Probs | None = None


class Votes:
    """Answers that name a class, with the sums that the methods share.

    Parameters
    ----------
    rows_a, annotators_a, columns_a : ndarray of int64, shape (A,)
        Sample, annotator and class of each answer, each numbered from 0.
    num_samples, num_annotators, num_classes : int
        How many there are, with and without answers.

    Raises
    ------
    ValueError
        If the arrays differ in length, or a number lies out of range.
    """

    def __init__(
        self,
        rows_a: Ids,
        annotators_a: Ids,
        columns_a: Ids,
        *,
        num_samples: int,
        num_annotators: int,
        num_classes: int,
    ) -> None:
        if not len(rows_a) == len(annotators_a) == len(columns_a):
            raise ValueError("each answer needs a sample, an annotator and a class")
        for name, array, number in (
            ("sample", rows_a, num_samples),
            ("annotator", annotators_a, num_annotators),
            ("class", columns_a, num_classes),
        ):
            if len(array) and not (array.min() >= 0 and array.max() < number):
                raise ValueError(f"a {name} lies outside 0..{number - 1}")
        self.rows_a, self.annotators_a, self.columns_a = rows_a, annotators_a, columns_a
        self.num_samples, self.num_annotators = num_samples, num_annotators
        self.num_classes = num_classes
        # Only pairs that occur: with many annotators and classes most never do.
        named, pair_a = np.unique(annotators_a * num_classes + columns_a, return_inverse=True)
        self.annotators_p, self.columns_p = np.divmod(named, max(num_classes, 1))
        self.pair_a = pair_a
        shape = (num_samples, len(named))
        self.votes_mp = sparse.csr_matrix((np.ones(len(rows_a)), (rows_a, pair_a)), shape=shape)
        ones = np.ones(len(named))
        places = np.arange(len(named))
        self.by_annotator_jp = sparse.csr_matrix(
            (ones, (self.annotators_p, places)), shape=(num_annotators, len(named))
        )
        self.by_class_kp = sparse.csr_matrix(
            (ones, (self.columns_p, places)), shape=(num_classes, len(named))
        )
        self.answers_p = np.bincount(pair_a, minlength=len(named)).astype(np.float64)
        self.answers_j = np.bincount(annotators_a, minlength=num_annotators)
        self.answers_m = np.bincount(rows_a, minlength=num_samples)

    def sweeps(self) -> int:
        """Return how often a method that goes over all answers again should do so at most."""
        entries = (self.num_samples + len(self.columns_p)) * self.num_classes
        return int(np.clip(SWEPT_ENTRIES / max(entries, 1), FEWEST_SWEEPS, MAX_SWEEPS))

    def counts_mk(self) -> Probs:
        """Return how many named each class, shape (M, K)."""
        counts = np.bincount(
            self.rows_a * self.num_classes + self.columns_a,
            minlength=self.num_samples * self.num_classes,
        )
        return counts.reshape(self.num_samples, self.num_classes).astype(np.float64)

    def shares_k(self) -> Probs:
        """Return each class's share of the answers with one more of each, shape (K,)."""
        counts = np.bincount(self.columns_a, minlength=self.num_classes) + 1.0
        return np.asarray(counts / counts.sum())

    def consensus(
        self,
        posterior_mk: Probs,
        *,
        quality_j: Probs | None = None,
        evidence_pk: Probs | None = None,
    ) -> Consensus:
        """Return the leading classes of a posterior; equal ones by their share of answers."""
        if quality_j is None:
            right_a = posterior_mk[self.rows_a, self.columns_a]
            right_j = np.bincount(self.annotators_a, right_a, minlength=self.num_annotators)
            with np.errstate(invalid="ignore"):
                quality_j = right_j / self.answers_j
        if self.num_classes == 0:
            none_m = np.zeros(self.num_samples)
            return Consensus(
                posterior_mk=posterior_mk,
                columns_m=none_m.astype(np.int64),
                confidence_m=none_m,
                quality_j=quality_j,
                evidence_pk=evidence_pk,
            )
        columns_m = np.argmax(posterior_mk + 1e-9 * self.shares_k(), axis=1)
        return Consensus(
            posterior_mk=posterior_mk,
            columns_m=columns_m,
            confidence_m=posterior_mk[np.arange(self.num_samples), columns_m],
            quality_j=quality_j,
            evidence_pk=evidence_pk,
        )


def normalized(logits_mk: Probs) -> Probs:
    """Return probabilities of log weights, in place: rows sum to 1."""
    logits_mk -= logits_mk.max(axis=1, keepdims=True, initial=-np.inf)
    np.maximum(logits_mk, LEAST_LOG, out=logits_mk)
    np.exp(logits_mk, out=logits_mk)
    logits_mk /= logits_mk.sum(axis=1, keepdims=True)
    return logits_mk
