"""How far annotators agree beyond chance.

Shape suffixes: m samples, k classes, r ratings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Ids


def cohen_kappa(first_r: Ids, second_r: Ids) -> float:
    """Agreement of two annotators beyond chance: 1.0 perfect, 0.0 as by chance, below worse.

    NaN for empty input, and when both always name the same single class: then chance
    explains everything.

    References
    ----------
    .. [1] Cohen, "A Coefficient of Agreement for Nominal Scales", 1960.
    """
    if len(first_r) == 0:
        return float("nan")
    classes, both = np.unique(np.concatenate([first_r, second_r]), return_inverse=True)
    counts = np.bincount(
        both[: len(first_r)] * len(classes) + both[len(first_r) :], minlength=len(classes) ** 2
    ).reshape(len(classes), len(classes)) / len(first_r)
    expected = float(counts.sum(axis=0) @ counts.sum(axis=1))
    return (float(np.trace(counts)) - expected) / (1.0 - expected) if expected < 1 else float("nan")


def fleiss_kappa(counts_mk: NDArray[np.integer]) -> float:
    """Agreement beyond chance of any number of annotators; scale as in `cohen_kappa`.

    Parameters
    ----------
    counts_mk : ndarray of int, shape (M, K)
        Answers per sample and class. Samples with fewer than two answers are left out;
        the others may have different numbers of answers.

    References
    ----------
    .. [1] Fleiss, "Measuring Nominal Scale Agreement Among Many Raters", 1971.
    """
    answers = counts_mk.sum(axis=1)
    counts, answers = counts_mk[answers > 1], answers[answers > 1]
    if len(counts) == 0:
        return float("nan")
    pairs = (counts * (counts - 1)).sum(axis=1) / (answers * (answers - 1))
    share_k = counts.sum(axis=0) / counts.sum()
    expected = float((share_k**2).sum())
    return (float(pairs.mean()) - expected) / (1.0 - expected) if expected < 1 else float("nan")
