"""How far annotators agree with each other, one with all others and two by two.

Shape suffixes: a answers, j annotators, m samples, k classes, e distinct (sample, class) pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]  # ships no types

from holdfast.quality.kappa import cohen_kappa
from holdfast.records import Ids


@dataclass(frozen=True, kw_only=True, slots=True)
class OthersAgreement:
    """How far each annotator agrees with the others.

    Attributes
    ----------
    kappa_j : ndarray of float64, shape (J,)
        1.0 perfect, 0.0 as by chance, below worse; NaN without a shared sample, and where
        chance explains everything.
    num_shared_j : ndarray of int64, shape (J,)
        Samples that somebody else answered as well.
    """

    kappa_j: NDArray[np.float64]
    num_shared_j: Ids


@dataclass(frozen=True, kw_only=True, slots=True)
class PairKappa:
    """Cohen's kappa of two annotators over the samples that both answered."""

    first: int
    second: int
    kappa: float
    num_samples: int


def agreement_with_others(
    sample_ids_a: Ids, annotators_a: Ids, class_ids_a: Ids, *, num_annotators: int
) -> OthersAgreement:
    """Compare each annotator with a draw from the others' answers to the same samples.

    Cohen's kappa between an annotator and one other person drawn anew for each sample:
    expected values are taken over the draw, so nothing is random. One number for somebody
    who shares a few samples with each of many, where the kappa of every pair would be noise.

    Parameters
    ----------
    sample_ids_a, annotators_a, class_ids_a : ndarray of int64, shape (A,)
        One answer per element and at most one per sample and annotator.

    Notes
    -----
    Time and memory O(A d + J K), where d is the number of distinct answers to one sample.
    """
    samples_m, row_a = np.unique(sample_ids_a, return_inverse=True)
    classes_k, column_a = np.unique(class_ids_a, return_inverse=True)
    num_heard_a = np.bincount(row_a, minlength=len(samples_m))[row_a]
    shared = num_heard_a > 1
    row_a, column_a, by_a = row_a[shared], column_a[shared], annotators_a[shared]
    shape = (len(samples_m), len(classes_k))
    counts_mk = sparse.csr_array((np.ones(len(row_a)), (row_a, column_a)), shape=shape)
    # What another person said about the sample of each answer, as probabilities.
    per_other_a = 1.0 / (num_heard_a[shared] - 1)
    _, cell_a, alike_e = np.unique(
        row_a * len(classes_k) + column_a, return_inverse=True, return_counts=True
    )
    same_a = (alike_e[cell_a] - 1.0) * per_other_a
    num_shared_j = np.bincount(by_a, minlength=num_annotators)
    size = np.maximum(num_shared_j, 1)
    observed_j = np.bincount(by_a, weights=same_a, minlength=num_annotators) / size
    weights_jm = sparse.csr_array((per_other_a, (by_a, row_a)), shape=(num_annotators, shape[0]))
    own_jk = np.zeros((num_annotators, shape[1]))
    np.add.at(own_jk, (by_a, column_a), 1.0)
    less_own_jk = np.zeros_like(own_jk)
    np.add.at(less_own_jk, (by_a, column_a), per_other_a)
    others_jk = (weights_jm @ counts_mk).toarray() - less_own_jk
    expected_j = (own_jk * others_jk).sum(axis=1) / size**2
    with np.errstate(invalid="ignore", divide="ignore"):
        kappa_j = (observed_j - expected_j) / (1.0 - expected_j)
    kappa_j[(num_shared_j == 0) | (expected_j >= 1.0 - 1e-12)] = np.nan
    return OthersAgreement(kappa_j=kappa_j, num_shared_j=num_shared_j)


def pair_kappas(
    sample_ids_a: Ids,
    annotators_a: Ids,
    class_ids_a: Ids,
    *,
    among: list[int],
    least_shared: int = 10,
) -> list[PairKappa]:
    """Return Cohen's kappa of every two of some annotators, in their order.

    Pairs with fewer than `least_shared` samples in common are left out, as are those whose
    kappa is not defined. Time O(J^2) merges of two annotators' answers.
    """
    own = {}
    for one in among:
        rows = np.flatnonzero(annotators_a == one)
        rows = rows[np.argsort(sample_ids_a[rows], kind="stable")]
        own[one] = (sample_ids_a[rows], class_ids_a[rows])
    found = []
    for place, first in enumerate(among):
        for second in among[place + 1 :]:
            (ids, classes), (other_ids, other_classes) = own[first], own[second]
            _, here, there = np.intersect1d(ids, other_ids, True, return_indices=True)
            if len(here) < least_shared:
                continue
            kappa = cohen_kappa(classes[here], other_classes[there])
            if not np.isnan(kappa):
                found.append(
                    PairKappa(first=first, second=second, kappa=kappa, num_samples=len(here))
                )
    return found
