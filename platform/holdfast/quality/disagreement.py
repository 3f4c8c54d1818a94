"""How often labels disagree with the prediction, by how confident the prediction is.

Shape suffixes: n samples, k classes, b bins of confidence.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]  # ships no types
from scipy.special import expit  # type: ignore[import-untyped]  # ships no types

from holdfast.records import Floats, Ids

Probs = NDArray[np.float64]

NUM_BINS = 64
_LONGEST = 8.0  # log-odds of a rank at which bins end: 1 in 3,000
# A class is never taken for one whose labels are mostly wrong: it would be another class.
_HIGHEST_FLOOR = 0.7
# Log of the steepness, from clean sets: digits, MNIST and blood cells, weak and strong
# models gave 0.7 to 1.4.
_STEEPNESS, _STEEPNESS_SPREAD = 0.1, 0.2
# How far classes differ from all together, on the log-odds scale.
_FLOOR_SPREAD, _OFFSET_SPREAD = 0.6, 1.0
_STEPS = 60
# Labels are counted as flips among the more confident half.
_CONFIDENT = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Disagreement:
    """Where labels disagree, and how much of it stays however confident the prediction is.

    Attributes
    ----------
    predicted_n : ndarray of int64, shape (N,)
        Most probable column.
    ranks_n : ndarray of float64, shape (N,)
        Rank of the confidence among samples predicted alike, in (0, 1); high = confident.
    floors_k : ndarray of float64, shape (K,)
        Share of labels that disagree with this prediction at any confidence: wrong labels.
    offsets_k : ndarray of float64, shape (K,)
    steepness : float
        Predictions of class k are wrong with probability
        expit(offset_k - steepness * logit(rank)).
    claimed : float
        Share of predictions that are wrong by what the model itself says: the mean of what
        it leaves to other classes.
    """

    predicted_n: Ids
    ranks_n: Probs
    floors_k: Probs
    offsets_k: Probs
    steepness: float
    claimed: float

    def wrong_shares(self, columns_n: Ids, rows: Ids) -> Probs:
        """Return how likely each disagreement of these rows is a wrong label; 0 if none."""
        predicted = self.predicted_n[rows]
        floors = self.floors_k[predicted]
        ranks = self.ranks_n[rows]
        missed = expit(self.offsets_k[predicted] - self.steepness * _logit(ranks))
        shares: Probs = floors / (floors + (1.0 - floors) * missed)
        return np.where(predicted != columns_n[rows], shares, 0.0)


def survey(
    columns_n: Ids, pred_probs_nk: NDArray[np.floating], spans: Iterable[slice]
) -> Disagreement:
    """Fit, for each predicted class, disagreement as a falling curve above a floor.

    At rank r the share that disagrees is f + (1 - f) expit(offset - steepness logit(r)).
    All classes share the steepness; floor and offset of each are drawn toward those of
    all. Time O(N K + N log N).

    Parameters
    ----------
    columns_n : ndarray of int64, shape (N,)
    pred_probs_nk : ndarray of float, shape (N, K)
    spans : iterable of slice
        Blocks of rows, all together once.
    """
    predicted, confidence, claimed = _predictions(pred_probs_nk, spans)
    num_classes = pred_probs_nk.shape[1]
    ranks = _ranks_within(predicted, confidence, num_classes)
    differs = predicted != columns_n
    bins = np.clip((_logit(ranks) / _LONGEST + 1.0) * (NUM_BINS / 2), 0, NUM_BINS - 1)
    cells = predicted * NUM_BINS + bins.astype(np.int64)
    shape = (num_classes, NUM_BINS)
    totals = np.bincount(cells, minlength=num_classes * NUM_BINS).reshape(shape)
    misses = np.bincount(cells[differs], minlength=num_classes * NUM_BINS).reshape(shape)
    floor, offset, steepness = _fit_all(totals.sum(axis=0), misses.sum(axis=0))
    floors, offsets = _fit_each(totals, misses, floor, offset, steepness)
    return Disagreement(
        predicted_n=predicted,
        ranks_n=ranks,
        floors_k=_HIGHEST_FLOOR * expit(floors),
        offsets_k=offsets,
        steepness=steepness,
        claimed=claimed,
    )


def wrong_by_class(columns_n: Ids, seen: Disagreement) -> Probs:
    """Return about how many labels of each class (row) were given as another (column).

    Counted among the more confident half, where few predictions are wrong.
    """
    rows = np.flatnonzero((seen.predicted_n != columns_n) & (seen.ranks_n > _CONFIDENT))
    num_classes = len(seen.floors_k)
    cells = seen.predicted_n[rows] * num_classes + columns_n[rows]
    weights = seen.wrong_shares(columns_n, rows)
    counted = np.bincount(cells, weights=weights, minlength=num_classes**2)
    return np.asarray(counted.astype(np.float64).reshape(num_classes, num_classes))


def _predictions(
    pred_probs_nk: NDArray[np.floating], spans: Iterable[slice]
) -> tuple[Ids, Floats, float]:
    """Return the most probable column, the log-odds that it is the one, and what is claimed."""
    num = len(pred_probs_nk)
    left = 0.0
    predicted_n, confidence_n = np.empty(num, np.int64), np.empty(num, np.float32)
    for span in spans:
        probs = np.array(pred_probs_nk[span])
        rows = np.arange(len(probs))
        predicted_n[span] = best = np.argmax(probs, axis=1)
        own = probs[rows, best]
        # Summed without the largest: next to 1, the difference to it would be lost.
        probs[rows, best] = 0.0
        rest = np.maximum(probs.sum(axis=1), 1e-12)
        left += float(rest.sum(dtype=np.float64))
        confidence_n[span] = np.log(np.maximum(own, 1e-12)) - np.log(rest)
    return predicted_n, confidence_n, left / num


def _ranks_within(predicted_n: Ids, confidence_n: Floats, num_classes: int) -> Probs:
    """Return the rank of each sample among those predicted alike, as a share; ties share."""
    order = np.lexsort((confidence_n, predicted_n))
    counts = np.bincount(predicted_n, minlength=num_classes)
    starts = np.cumsum(counts) - counts
    same = np.r_[
        False,
        (np.diff(confidence_n[order]) == 0) & (np.diff(predicted_n[order]) == 0),
    ]
    group = np.cumsum(~same) - 1
    place = np.arange(len(order), dtype=np.float64)
    middle = np.bincount(group, weights=place) / np.maximum(np.bincount(group), 1)
    ranks_n = np.empty(len(order))
    ranks_n[order] = middle[group] - starts[predicted_n[order]]
    return np.asarray((ranks_n + 0.5) / np.maximum(counts[predicted_n], 1))


def _logit(shares: Probs) -> Probs:
    return np.asarray(np.log(shares) - np.log1p(-shares))


def _centers() -> Probs:
    return np.asarray(((np.arange(NUM_BINS) + 0.5) * (2 / NUM_BINS) - 1.0) * _LONGEST)


def _fit_all(totals_b: Ids, misses_b: Ids) -> tuple[float, float, float]:
    """Return floor (as log-odds below its highest), offset and steepness of all together."""
    centers = _centers()

    def loss(values: Probs) -> float:
        floor = _HIGHEST_FLOOR * expit(values[0])
        curve = floor + (1 - floor) * expit(values[1] - np.exp(values[2]) * centers)
        curve = np.clip(curve, 1e-9, 1 - 1e-9)
        fit = misses_b * np.log(curve) + (totals_b - misses_b) * np.log1p(-curve)
        prior = 0.5 * ((values[2] - _STEEPNESS) / _STEEPNESS_SPREAD) ** 2
        # A floor is no smaller than half a label could show.
        return float(prior + 0.5 * np.logaddexp(0, -values[0]) - fit.sum())

    starts = ([floor, -2.0, _STEEPNESS] for floor in (-4.0, -1.0, 0.0))
    found = min((minimize(loss, start, method="L-BFGS-B") for start in starts), key=_value)
    return float(found.x[0]), float(found.x[1]), float(np.exp(found.x[2]))


def _value(found: object) -> float:
    return float(found.fun)  # type: ignore[attr-defined]


def _fit_each(
    totals_kb: Ids, misses_kb: Ids, floor: float, offset: float, steepness: float
) -> tuple[Probs, Probs]:
    """Return floors (as log-odds) and offsets of every class, by scoring steps for all at once."""
    floors_k = np.full(len(totals_kb), floor)
    offsets_k = np.full(len(totals_kb), offset)
    fall = steepness * _centers()
    for _ in range(_STEPS):
        part = expit(floors_k)
        high = _HIGHEST_FLOOR * part
        missed = expit(offsets_k[:, None] - fall)
        curve = np.clip(high[:, None] + (1 - high[:, None]) * missed, 1e-7, 1 - 1e-7)
        pull = misses_kb / curve - (totals_kb - misses_kb) / (1 - curve)
        weight = totals_kb / (curve * (1 - curve))
        by_floor = (1 - missed) * (high * (1 - part))[:, None]
        by_offset = (1 - high[:, None]) * missed * (1 - missed)
        g0 = (pull * by_floor).sum(axis=1) - (floors_k - floor) / _FLOOR_SPREAD**2
        g1 = (pull * by_offset).sum(axis=1) - (offsets_k - offset) / _OFFSET_SPREAD**2
        h00 = (weight * by_floor**2).sum(axis=1) + 1 / _FLOOR_SPREAD**2
        h11 = (weight * by_offset**2).sum(axis=1) + 1 / _OFFSET_SPREAD**2
        h01 = (weight * by_floor * by_offset).sum(axis=1)
        size = h00 * h11 - h01**2
        floors_k = floors_k + np.clip((h11 * g0 - h01 * g1) / size, -0.5, 0.5)
        offsets_k = offsets_k + np.clip((h00 * g1 - h01 * g0) / size, -0.5, 0.5)
    return floors_k, offsets_k
