"""How far annotators agree beyond chance: all together, and for each pair of classes.

Shape suffixes: a answers, m samples, k classes, r ratings, c cells (a class named for a sample).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Ids

# An alarm wants this confidence that agreement is as low as it looks.
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True, slots=True)
class PairAgreement:
    """How far annotators tell two classes apart.

    Attributes
    ----------
    first, second : int
        Class ids, ascending.
    alpha : float
        Krippendorff's alpha of the answers that name one of the two: 1 perfect, 0 as by
        chance, below worse.
    alpha_high : float
        What alpha may be at most, at 95 % confidence.
    kappa : float
        Fleiss' kappa of the same answers.
    num_samples : int
        Samples with two or more such answers.
    num_contradicted : int
        Those of them for which both classes were named.
    """

    first: int
    second: int
    alpha: float
    alpha_high: float
    kappa: float
    num_samples: int
    num_contradicted: int


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


def krippendorff_alpha(sample_ids_a: Ids, class_ids_a: Ids) -> float:
    """Agreement beyond chance of answers to any samples, nominal; scale as in `cohen_kappa`.

    Samples with a single answer are left out, as are answers of class -1; it makes no
    difference who answered what. NaN where no two answers can be compared, and where all
    name the same class. Time O(A log A).

    Parameters
    ----------
    sample_ids_a, class_ids_a : ndarray of int64, shape (A,)
        One answer per element.

    References
    ----------
    .. [1] Krippendorff, "Content Analysis", 2004, chapter 11.

    Examples
    --------
    >>> krippendorff_alpha(np.array([0, 0, 1, 1]), np.array([2, 2, 5, 5]))
    1.0
    """
    row_c, column_c, count_c, num_k = _cells(sample_ids_a, class_ids_a)
    answers_m = np.bincount(row_c, count_c)
    kept = answers_m[row_c] > 1 if len(row_c) else np.empty(0, np.bool_)
    row_c, column_c, count_c = row_c[kept], column_c[kept], count_c[kept]
    total = float(count_c.sum())
    if total == 0.0:
        return float("nan")
    named_k = np.bincount(column_c, count_c, minlength=num_k)
    others_c = answers_m[row_c] - 1.0
    observed = float((count_c * (answers_m[row_c] - count_c) / others_c).sum()) / total
    expected = (total**2 - float((named_k**2).sum())) / (total * (total - 1.0))
    return 1.0 - observed / expected if expected > 0.0 else float("nan")


def class_pair_agreement(
    sample_ids_a: Ids, annotators_a: Ids, class_ids_a: Ids, num_classes: int
) -> list[PairAgreement]:
    """Agreement on each pair of classes that some sample was given both of.

    For a pair, only answers that name one of the two count, and only samples with two or
    more of these: whether annotators agree that it is one of the two is another question.
    Pairs that nobody confused have perfect agreement and are left out. Time and memory
    O(A d), with d the most classes named for one sample.

    Parameters
    ----------
    sample_ids_a, annotators_a, class_ids_a : ndarray of int64, shape (A,)
        One answer per element; class -1 is left out. Of several answers of one annotator
        to one sample the last counts.
    num_classes : int
        Class ids lie below it.

    Returns
    -------
    list of PairAgreement
        Worst first.

    Raises
    ------
    ValueError
        If a class id is not below `num_classes`.
    """
    if len(class_ids_a) and int(class_ids_a.max()) >= num_classes:
        raise ValueError(f"class id {int(class_ids_a.max())} but only {num_classes} classes")
    kept = _latest(sample_ids_a, annotators_a)
    kept = kept[class_ids_a[kept] >= 0]
    _, row_a = np.unique(sample_ids_a[kept], return_inverse=True)
    cells, counts = np.unique(row_a * num_classes + class_ids_a[kept], return_counts=True)
    row_c, class_c = np.divmod(cells, max(num_classes, 1))
    count_c = counts.astype(np.float64)
    several_c = count_c > 1
    # What every pair has of samples for which only one of its classes was named: all
    # samples, less those for which both were.
    alone_k = np.bincount(class_c[several_c], count_c[several_c], minlength=num_classes)
    units_k = np.bincount(class_c[several_c], minlength=num_classes)

    low_x, high_x = _both(row_c)
    first_x, second_x = class_c[low_x], class_c[high_x]
    names, pair_x = np.unique(first_x * num_classes + second_x, return_inverse=True)
    first, second = np.divmod(names, max(num_classes, 1))
    num_a, num_b = count_c[low_x], count_c[high_x]
    per_x = num_a + num_b
    mixed_x = 2.0 * num_a * num_b

    def total(values_x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(pair_x, values_x, minlength=len(names)), np.float64)

    contradicted = total(np.ones(len(pair_x)))
    named_a = alone_k[first] + total(num_a * (num_a == 1))
    named_b = alone_k[second] + total(num_b * (num_b == 1))
    samples = units_k[first] + units_k[second] + contradicted
    samples -= total((num_a > 1).astype(np.float64) + (num_b > 1))
    answers = named_a + named_b
    observed = total(mixed_x / (per_x - 1.0)) / answers
    expected = 2.0 * named_a * named_b / (answers * (answers - 1.0))
    clash = total(mixed_x / (per_x * (per_x - 1.0)))
    chance = 2.0 * (named_a / answers) * (named_b / answers)
    alpha = 1.0 - observed / expected
    kappa = 1.0 - clash / samples / chance
    high = _highest(observed, expected, samples)
    order = np.lexsort((second, first, alpha))
    return [
        PairAgreement(
            first=int(first[x]),
            second=int(second[x]),
            alpha=float(alpha[x]),
            alpha_high=float(high[x]),
            kappa=float(kappa[x]),
            num_samples=int(samples[x]),
            num_contradicted=int(contradicted[x]),
        )
        for x in order.tolist()
    ]


def alarmed_pairs(pairs: Sequence[PairAgreement], below: float = 0.6) -> list[tuple[int, int]]:
    """Return the pairs of classes whose alpha is below a bound, at 95 % confidence.

    Few answers raise no alarm: it is `alpha_high` that must lie below.
    """
    return [(one.first, one.second) for one in pairs if one.alpha_high < below]


def _highest(
    observed: NDArray[np.float64], expected: NDArray[np.float64], samples: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return alpha at the least disagreement that the samples allow (Clopper and Pearson)."""
    from scipy.special import betaincinv  # type: ignore[import-untyped]  # ships no types

    clashes = observed * samples
    least = betaincinv(np.maximum(clashes, 1e-9), samples - clashes + 1.0, 1.0 - CONFIDENCE)
    return np.asarray(1.0 - least / expected)


def _cells(sample_ids_a: Ids, class_ids_a: Ids) -> tuple[Ids, Ids, NDArray[np.float64], int]:
    """Return sample, class and number of equal answers, and how many classes there are."""
    told = class_ids_a >= 0
    _, row_a = np.unique(sample_ids_a[told], return_inverse=True)
    classes, column_a = np.unique(class_ids_a[told], return_inverse=True)
    cells, counts = np.unique(row_a * len(classes) + column_a, return_counts=True)
    row_c, column_c = np.divmod(cells, max(len(classes), 1))
    return row_c, column_c, counts.astype(np.float64), len(classes)


def _latest(sample_ids_a: Ids, annotators_a: Ids) -> Ids:
    """Return which answers are the last of their annotator to their sample."""
    order = np.lexsort((np.arange(len(sample_ids_a)), annotators_a, sample_ids_a))
    last = np.ones(len(order), np.bool_)
    last[:-1] = (np.diff(sample_ids_a[order]) != 0) | (np.diff(annotators_a[order]) != 0)
    return np.asarray(order[last], np.int64)


def _both(row_c: Ids) -> tuple[Ids, Ids]:
    """Return all pairs of cells of the same sample, the earlier first; rows ascend."""
    lows: list[Ids] = [np.empty(0, np.int64)]
    highs: list[Ids] = [np.empty(0, np.int64)]
    for step in range(1, int(np.bincount(row_c).max(initial=1))):
        low: Ids = np.flatnonzero(row_c[step:] == row_c[:-step]).astype(np.int64)
        lows.append(low)
        highs.append(low + step)
    return np.concatenate(lows), np.concatenate(highs)
