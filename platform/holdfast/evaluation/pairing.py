"""Two models on the same samples: paired resampling and exact paired tests.

Shape suffixes: n samples, k classes, m distinct (label, candidate, champion) cells, r resamples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.evaluation.rates import macro_f1
from holdfast.evaluation.resampling import chunks, draw_cells, sum_cells
from holdfast.records import Ids


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Pairs:
    """Both models' answers, counted.

    Samples with the same label and the same two answers are interchangeable, so resampling
    draws how often each such cell occurs instead of drawing samples one by one.

    Attributes
    ----------
    class_ids_k : ndarray of int64, shape (K,)
        Classes among the true labels, sorted.
    cells_m, label_m : ndarray of int64, shape (M,)
        Samples in each cell, and its label as a position in `class_ids_k`; sorted by label.
    candidate_m, champion_m : ndarray of int64, shape (M,)
        Answers as positions in `class_ids_k`; K stands for any class without true samples.
    """

    class_ids_k: Ids
    cells_m: Ids
    label_m: Ids
    candidate_m: Ids
    champion_m: Ids

    @property
    def support_k(self) -> Ids:
        """True samples of each class; at least 1."""
        return self._per_class(self.label_m, self.cells_m)

    @property
    def lost_k(self) -> Ids:
        """Samples of each class that only the champion got right."""
        lost = (self.champion_m == self.label_m) & (self.candidate_m != self.label_m)
        return self._per_class(self.label_m, self.cells_m * lost)

    @property
    def gained_k(self) -> Ids:
        """Samples of each class that only the candidate got right."""
        gained = (self.champion_m != self.label_m) & (self.candidate_m == self.label_m)
        return self._per_class(self.label_m, self.cells_m * gained)

    def recall(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the recall of each class: the candidate's, the champion's."""
        hits = [
            self._per_class(self.label_m, self.cells_m * (answer == self.label_m))
            for answer in (self.candidate_m, self.champion_m)
        ]
        return hits[0] / self.support_k, hits[1] / self.support_k

    def counts(self, candidate_rm: Ids, champion_rm: Ids) -> tuple[Ids, Ids, Ids]:
        """Count hits, support and predictions of a model that answers as either of the two.

        Parameters
        ----------
        candidate_rm, champion_rm : ndarray of int64, shape (..., M)
            How many samples of each cell are answered as the candidate, and as the champion.

        Returns
        -------
        hits_rk, support_rk, predicted_rk : ndarray of int64, shape (..., K)
        """
        candidate_hits = candidate_rm * (self.candidate_m == self.label_m)
        champion_hits = champion_rm * (self.champion_m == self.label_m)
        hits = self._per_class(self.label_m, candidate_hits + champion_hits)
        support = self._per_class(self.label_m, candidate_rm + champion_rm)
        predicted = self._per_class(self.candidate_m, candidate_rm)
        return hits, support, predicted + self._per_class(self.champion_m, champion_rm)

    def _per_class(self, position_m: Ids, counts_rm: Ids) -> Ids:
        """Sum cells by class; the extra position K is dropped."""
        return sum_cells(counts_rm, position_m, len(self.class_ids_k))


def pair_up(labels_n: Ids, candidate_n: Ids, champion_n: Ids) -> Pairs:
    """Count the distinct (label, candidate, champion) combinations of N >= 1 samples."""
    classes, label = np.unique(labels_n, return_inverse=True)
    rows = np.stack([label, _position(candidate_n, classes), _position(champion_n, classes)])
    cells, counts = np.unique(rows, axis=1, return_counts=True)
    return Pairs(
        class_ids_k=classes.astype(np.int64),
        cells_m=counts.astype(np.int64),
        label_m=cells[0],
        candidate_m=cells[1],
        champion_m=cells[2],
    )


def bootstrap(
    pairs: Pairs, resamples: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Resample the holdout within each class; return how recall and macro-F1 change.

    Returns
    -------
    recall_rk : ndarray of float64, shape (R, K)
    macro_f1_r : ndarray of float64, shape (R,)
        Candidate minus champion; negative is worse.
    """
    recall, f1 = [], []
    for size in chunks(len(pairs.cells_m), resamples):
        drawn = draw_cells(pairs.cells_m, pairs.label_m, size, rng)
        candidate = pairs.counts(drawn, np.zeros_like(drawn))
        champion = pairs.counts(np.zeros_like(drawn), drawn)
        recall.append((candidate[0] - champion[0]) / pairs.support_k)
        f1.append(macro_f1(*candidate) - macro_f1(*champion))
    return np.concatenate(recall), np.concatenate(f1)


def swap_test(pairs: Pairs, resamples: int, rng: np.random.Generator) -> float:
    """Probability of so large a loss in macro-F1 if the two models were equally good.

    Under that assumption each sample's two answers could as well have been swapped.

    Returns
    -------
    float
        In (0, 1]; low is evidence that the candidate is worse.

    References
    ----------
    .. [1] Yeh, "More Accurate Tests for the Statistical Significance of Result
       Differences", COLING 2000.
    """
    cells, none = pairs.cells_m, np.zeros_like(pairs.cells_m)
    change = macro_f1(*pairs.counts(cells, none)) - macro_f1(*pairs.counts(none, cells))
    as_bad = 0
    for size in chunks(len(cells), resamples):
        swapped = rng.binomial(cells, 0.5, size=(size, len(cells)))
        drawn = macro_f1(*pairs.counts(cells - swapped, swapped))
        drawn -= macro_f1(*pairs.counts(swapped, cells - swapped))
        # Sums in another order differ in the last bits; equal losses must count as equal.
        as_bad += int((drawn <= change + 1e-12).sum())
    return (as_bad + 1) / (resamples + 1)


def sign_test(lost: Any, gained: Any) -> NDArray[np.float64]:
    """Probability of at least this many losses among the changed samples, by chance.

    Parameters
    ----------
    lost, gained : int or ndarray of int
        Samples that only the champion, and only the candidate, got right.

    Returns
    -------
    ndarray of float64
        In (0, 1]; low is evidence of harm. 1.0 where nothing changed.

    References
    ----------
    .. [1] McNemar, "Note on the sampling error of the difference between correlated
       proportions or percentages", Psychometrika 1947 (exact, one-sided).

    Examples
    --------
    >>> sign_test(5, 0).item()
    0.03125
    """
    lost_k, gained_k = np.broadcast_arrays(np.atleast_1d(lost), np.atleast_1d(gained))
    tail = [_binomial_tail(int(a), int(a + b)) for a, b in zip(lost_k, gained_k, strict=True)]
    result = np.array(tail, np.float64)
    return result if np.ndim(lost) or np.ndim(gained) else result[0]


def largest_testable(changed_k: Ids, alpha: float) -> int:
    """Count the comparisons to share `alpha` between.

    A class in which c samples changed can at best reach probability 2**-c; where that is
    too much even so, the class takes no part. At least 1.

    References
    ----------
    .. [1] Tarone, "A Modified Bonferroni Method for Discrete Data", Biometrics 1990.
    """
    floor = np.sort(0.5 ** np.asarray(changed_k, np.float64))
    for shared in range(1, len(floor) + 1):
        if np.searchsorted(floor, alpha / shared, side="right") <= shared:
            return shared
    return max(len(floor), 1)


def _binomial_tail(successes: int, trials: int) -> float:
    """P(X >= successes) for X ~ Binomial(trials, 1/2), in logarithms: trials may be large."""
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    x = np.arange(successes, trials + 1)
    log_share = log_factorial[trials] - log_factorial[x] - log_factorial[trials - x]
    return min(1.0, float(np.exp(log_share - trials * np.log(2)).sum()))


def _position(ids_n: Ids, classes_k: Ids) -> Ids:
    """Place each id among the sorted classes; K for one that is not there."""
    position = np.searchsorted(classes_k, ids_n)
    known = classes_k[np.minimum(position, len(classes_k) - 1)] == ids_n
    return np.where(known, position, len(classes_k)).astype(np.int64)
