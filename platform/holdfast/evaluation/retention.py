"""What was kept and what was lost from round to round, on the samples both rounds answered.

Holdouts grow, labels are corrected, classes come back. So no recall measured then is compared
with one measured now: for every pair of rounds the kept predictions are read again, on the
samples that both models answered and against the labels that hold now. On an unchanging
holdout this equals `continual`, which reads a table of recalls.

Shape suffixes: n samples, k classes; r, i, j rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.evaluation.continual import Recalls
from holdfast.evaluation.holdout_predictions import HoldoutPredictions
from holdfast.evaluation.intervals import CONFIDENCE, RESAMPLES
from holdfast.evaluation.resampling import draw_changes, limits
from holdfast.records import Ids


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RecallChange:
    """How recall differs between two rounds, class by class and in the mean.

    Attributes
    ----------
    class_ids_k : ndarray of int64, shape (K,)
        Classes that could be compared; may be none.
    value_k : ndarray of float64, shape (K,)
        In [-1, 1]; which end is bad depends on the measure.
    limits_2k : ndarray of float64, shape (2, K)
        Low and high, from a paired bootstrap over the samples both rounds answered.
    samples_k, versions_2k : ndarray of int64, shape (K,) and (2, K)
        Samples compared, and the dataset versions of the earlier and the later round.
    mean, mean_low, mean_high : float
        Over the classes; 0.0 without one.
    """

    class_ids_k: Ids
    value_k: NDArray[np.float64]
    limits_2k: NDArray[np.float64]
    samples_k: Ids
    versions_2k: Ids
    mean: float
    mean_low: float
    mean_high: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; class ids become strings where they are keys."""
        columns = (
            self.value_k.tolist(),
            *self.limits_2k.tolist(),
            self.samples_k.tolist(),
            *self.versions_2k.tolist(),
        )
        names = ("value", "low", "high", "samples", "from_version", "to_version")
        return {
            "mean": self.mean,
            "low": self.mean_low,
            "high": self.mean_high,
            "by_class": {
                str(k): dict(zip(names, row, strict=True))
                for k, row in zip(
                    self.class_ids_k.tolist(), zip(*columns, strict=True), strict=True
                )
            },
        }


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RoundPairs:
    """Every round beside every other, on the samples both answered.

    Attributes
    ----------
    versions_r : ndarray of int64, shape (R,)
        Dataset version each round was measured on.
    class_ids_k : ndarray of int64, shape (K,)
        Classes among the labels of answered samples, sorted.
    learned_rk : ndarray of bool, shape (R, K)
        Whether the round's model or an earlier one knew the class. One that a later model
        no longer knows stays learned: losing it is forgetting.
    common_ijk : ndarray of int64, shape (R, R, K)
        Samples that rounds i and j both answered.
    hits_ijk : ndarray of int64, shape (R, R, K)
        Of these, the samples that round i got right.
    both_ijk : ndarray of int64, shape (R, R, K)
        Of these, the samples that both got right.
    """

    versions_r: Ids
    class_ids_k: Ids
    learned_rk: NDArray[np.bool_]
    common_ijk: Ids
    hits_ijk: Ids
    both_ijk: Ids

    def recalls(self) -> Recalls:
        """Return the recall of each round on all it answered, by the labels that hold now.

        Returns
        -------
        ndarray of float64, shape (R, K)
            In [0, 1]; low is bad. NaN until a class is learned and where it has no sample.
        """
        own = np.arange(len(self.versions_r))
        hits, common = self.hits_ijk[own, own], self.common_ijk[own, own]
        recall: Recalls = np.where(
            self.learned_rk & (common > 0), hits / np.maximum(common, 1), np.nan
        )
        return recall

    def forgetting_over_rounds(self) -> Recalls:
        """Return the drop from each class's best earlier round to every round.

        Returns
        -------
        ndarray of float64, shape (R, K)
            In [-1, 1]; positive is bad. NaN for a class no earlier round had learned.
        """
        drops: Recalls = np.fmax.reduce(self._drops(), axis=0, initial=-np.inf)
        return np.where(np.isinf(drops), np.nan, drops)

    def forgetting(self, rng: np.random.Generator) -> RecallChange:
        """Drop from each class's best earlier round to the last round; positive is bad.

        Best is the earlier round that stands highest above the last one on the samples
        both answered. Resampling keeps that round: choosing the best again in every
        resample would count luck twice.

        References
        ----------
        .. [1] Chaudhry et al., "Riemannian Walk for Incremental Learning", ECCV 2018.
        """
        drop_ik = np.where(np.isnan(self._drops()[:, -1]), -np.inf, self._drops()[:, -1])
        return self._change(drop_ik.argmax(axis=0), self._last(), drop_ik.max(axis=0), rng, -1)

    def backward_transfer(self, rng: np.random.Generator) -> RecallChange:
        """Gain from the round that first learned a class to the last; negative is bad.

        References
        ----------
        .. [1] Lopez-Paz and Ranzato, "Gradient Episodic Memory", NeurIPS 2017.
        """
        known_ik = ~np.isnan(self._drops()[:, -1])
        found_k = np.where(known_ik.any(axis=0), 0.0, -np.inf)
        return self._change(known_ik.argmax(axis=0), self._last(), found_k, rng, 1)

    def _drops(self) -> Recalls:
        """Recall of i less recall of j on common samples; NaN unless i < j had learned it."""
        lost = self.hits_ijk - self.hits_ijk.swapaxes(0, 1)
        rounds = np.arange(len(self.versions_r))
        earlier = (rounds[:, None] < rounds)[..., None] & self.learned_rk[:, None]
        comparable = earlier & (self.common_ijk > 0)
        return np.where(comparable, lost / np.maximum(self.common_ijk, 1), np.nan)

    def _last(self) -> Ids:
        return np.full(len(self.class_ids_k), len(self.versions_r) - 1)

    def _change(
        self, from_k: Ids, to_k: Ids, found_k: Recalls, rng: np.random.Generator, sign: int
    ) -> RecallChange:
        """Compare one pair of rounds for each class whose `found_k` is finite."""
        kept = np.flatnonzero(np.isfinite(found_k))
        pair = (from_k[kept], to_k[kept], kept)
        both, samples = self.both_ijk[pair], self.common_ijk[pair]
        lost = self.hits_ijk[pair] - both
        gained = self.hits_ijk[to_k[kept], from_k[kept], kept] - both
        value = sign * (gained - lost) / np.maximum(samples, 1)
        low_high: NDArray[np.float64] = np.zeros((2, 0))
        mean_low, mean_high = 0.0, 0.0
        if len(kept):
            gained_rk, lost_rk = draw_changes(gained, lost, samples, RESAMPLES, rng)
            drawn = sign * (gained_rk - lost_rk)
            low_high = limits(drawn, value, CONFIDENCE, (-1.0, 1.0))
            mean_low, mean_high = limits(
                drawn.mean(axis=1), value.mean(), CONFIDENCE, (-1.0, 1.0)
            ).tolist()
        return RecallChange(
            class_ids_k=self.class_ids_k[kept],
            value_k=value,
            limits_2k=low_high,
            samples_k=samples,
            versions_2k=self.versions_r[np.stack([from_k[kept], to_k[kept]])],
            mean=float(value.mean()) if len(kept) else 0.0,
            mean_low=mean_low,
            mean_high=mean_high,
        )


def compare_rounds(
    rounds: Sequence[HoldoutPredictions], sample_ids_n: Ids, labels_n: Ids
) -> RoundPairs:
    """Read the kept predictions of all rounds against the labels that hold now.

    Parameters
    ----------
    rounds : sequence of HoldoutPredictions
        In order; at least one.
    sample_ids_n, labels_n : ndarray of int64, shape (N,)
        Current holdout labels, in any order. Samples without one are left out, as are
        labels of samples nobody answered.

    Raises
    ------
    ValueError
        If there is no round.

    Notes
    -----
    Time grows with R^2 * N (as a matrix product), memory with R * N bytes and R^2 * K.
    """
    if not rounds:
        raise ValueError("there are no rounds to compare")
    order = np.argsort(labels_n, kind="stable")
    ids, labels = sample_ids_n[order], labels_n[order]
    answered: NDArray[np.bool_] = np.zeros((len(rounds), len(ids)), bool)
    right = np.zeros_like(answered)
    for row, said in enumerate(rounds):
        if not len(said.sample_ids_n):
            continue
        at = np.searchsorted(said.sample_ids_n, ids).clip(max=len(said.sample_ids_n) - 1)
        answered[row] = said.sample_ids_n[at] == ids
        right[row] = answered[row] & (said.predicted_n[at] == labels)
    seen = answered.any(axis=0)
    answered, right, labels = answered[:, seen], right[:, seen], labels[seen]
    classes, starts = np.unique(labels, return_index=True)
    shape = (len(rounds), len(rounds), len(classes))
    common, hits, both = (np.zeros(shape, np.int64) for _ in range(3))
    for k, (start, stop) in enumerate(pairwise([*starts.tolist(), len(labels)])):
        # Counts in float64 are exact, and their product is the fast one.
        here = answered[:, start:stop].astype(np.float64)
        good = right[:, start:stop].astype(np.float64)
        common[..., k], hits[..., k], both[..., k] = here @ here.T, good @ here.T, good @ good.T
    knows = np.array([np.isin(classes, said.known) for said in rounds])
    return RoundPairs(
        versions_r=np.array([said.dataset_version for said in rounds], np.int64),
        class_ids_k=classes.astype(np.int64),
        learned_rk=np.logical_or.accumulate(knows, axis=0),
        common_ijk=common,
        hits_ijk=hits,
        both_ijk=both,
    )


def forward_transfer(
    rounds: Sequence[HoldoutPredictions],
    fresh: HoldoutPredictions,
    sample_ids_n: Ids,
    labels_n: Ids,
    rng: np.random.Generator,
) -> RecallChange:
    """Gain over a model that had learned nothing before, where each class is first learned.

    Parameters
    ----------
    rounds : sequence of HoldoutPredictions
        In order; at least one.
    fresh : HoldoutPredictions
        Of a newly initialised model trained on the same samples.
    sample_ids_n, labels_n : ndarray of int64, shape (N,)
        Holdout labels, in any order.

    Returns
    -------
    RecallChange
        Negative is bad: earlier knowledge got in the way. Classes of the first round are
        left out, as nothing came before them, and those the fresh model does not know.

    Raises
    ------
    ValueError
        If there is no round.

    References
    ----------
    .. [1] Wang et al., "A Comprehensive Survey of Continual Learning", TPAMI 2024, eq. 5.
    """
    if not rounds:
        raise ValueError("there are no rounds to compare")
    pairs = compare_rounds([*rounds, fresh], sample_ids_n, labels_n)
    learned = pairs.learned_rk[:-1]
    first, last = learned.argmax(axis=0), np.full(len(pairs.class_ids_k), len(rounds))
    later = learned.any(axis=0) & ~learned[0] & np.isin(pairs.class_ids_k, fresh.known)
    shared = pairs.common_ijk[first, last, np.arange(len(last))] > 0
    return pairs._change(last, first, np.where(later & shared, 0.0, -np.inf), rng, 1)
