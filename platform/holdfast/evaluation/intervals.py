"""How far each measured number could be from the truth, by bootstrap.

Shape suffixes: n samples, k classes, m distinct (label, prediction, calibration bin) cells,
r resamples, b calibration bins.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.evaluation.rates import CALIBRATION_BINS, calibration_bins, macro_f1, weighted_f1
from holdfast.evaluation.resampling import Interval, chunks, draw_cells, limits, sum_cells
from holdfast.records import Ids

CONFIDENCE = 0.95
# Limits at 95 % move by about a tenth of the interval's width between seeds.
RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Intervals:
    """Low and high limits of the numbers in `Metrics`, under the same names.

    Attributes
    ----------
    confidence : float
        Share of intervals so made that hold the true number, in (0, 1).
    overall : mapping of str to (float, float)
        `accuracy`, `balanced_accuracy`, `macro_f1`, `weighted_f1`, `calibration_error`.
    recall, precision : mapping of int to (float, float)
        By class id.
    """

    confidence: float
    overall: Mapping[str, Interval]
    recall: Mapping[int, Interval]
    precision: Mapping[int, Interval]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; class ids become strings, intervals lists of two."""
        return {
            "confidence": self.confidence,
            **{name: list(pair) for name, pair in self.overall.items()},
            **{
                name: {str(k): list(pair) for k, pair in getattr(self, name).items()}
                for name in _PER_CLASS
            },
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Intervals:
        """Rebuild what `to_json` returned."""
        per_class: dict[str, dict[int, Interval]] = {
            name: {int(k): (float(low), float(high)) for k, (low, high) in values[name].items()}
            for name in _PER_CLASS
        }
        overall = {
            name: (float(pair[0]), float(pair[1]))
            for name, pair in values.items()
            if name not in {"confidence", *_PER_CLASS}
        }
        return cls(confidence=float(values["confidence"]), overall=overall, **per_class)


_PER_CLASS = ("recall", "precision")


def bootstrap_intervals(
    predicted_n: Ids,
    labels_n: Ids,
    confidence_n: NDArray[np.floating[Any]],
    rng: np.random.Generator,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
) -> Intervals:
    """Resample the holdout within each true class, and say where each number may lie.

    Parameters
    ----------
    predicted_n, labels_n : ndarray of int64, shape (N,)
        Predicted and true class ids; at least one sample.
    confidence_n : ndarray of float, shape (N,)
        Probability of the prediction, in [0, 1]. Within a calibration bin its mean is kept
        and only counts vary: what that leaves out is at most a bin's width.
    rng : Generator
        Drawn from resamples * classes times, whatever N is.

    Raises
    ------
    ValueError
        If there is no sample, or shapes differ.

    Notes
    -----
    After one pass over the N samples, time grows with resamples * M; M is at most N and at
    most 15 K^2, and for good models close to 15 K. Memory is bounded by 32 MB of counts and
    resamples * K results. Measured on 300 draws of 405 samples in five classes, 93 to 96 % of the
    intervals at 95 % held the true number; of those of a class with 15 samples, 83 %.

    Examples
    --------
    >>> labels = np.arange(100) % 2
    >>> right = np.ones(100)
    >>> found = bootstrap_intervals(labels, labels, right, np.random.default_rng(0))
    >>> found.overall["accuracy"]
    (1.0, 1.0)
    """
    if not len(labels_n) == len(predicted_n) == len(confidence_n):
        raise ValueError(
            f"{len(labels_n)} labels, but {len(predicted_n)} predictions and "
            f"{len(confidence_n)} confidences"
        )
    if not len(labels_n):
        raise ValueError("there are no labeled samples to resample")
    classes, label_m, predicted_m, cells_m, gap_m, bin_m = _cells(
        predicted_n, labels_n, confidence_n
    )
    drawn = [
        _measures(draw, len(classes), label_m, predicted_m, gap_m, bin_m)
        for size in chunks(len(cells_m), resamples)
        for draw in (draw_cells(cells_m, label_m, size, rng),)
    ]
    value = _measures(cells_m[None], len(classes), label_m, predicted_m, gap_m, bin_m)
    found = {
        name: limits(np.concatenate([part[name] for part in drawn]), value[name][0], confidence)
        for name in value
    }
    ids = classes.tolist()
    per_class: dict[str, dict[int, Interval]] = {
        name: {k: (low, high) for k, low, high in zip(ids, *found[name].tolist(), strict=True)}
        for name in _PER_CLASS
    }
    overall = {
        name: (float(pair[0]), float(pair[1]))
        for name, pair in found.items()
        if name not in _PER_CLASS
    }
    return Intervals(confidence=confidence, overall=overall, **per_class)


def _cells(
    predicted_n: Ids, labels_n: Ids, confidence_n: NDArray[np.floating[Any]]
) -> tuple[Ids, Ids, Ids, Ids, NDArray[np.float64], Ids]:
    """Count the distinct (label, prediction, bin) cells, sorted by label.

    `gap_m` is the mean of confidence minus correctness in the cell.
    """
    classes, label = np.unique(labels_n, return_inverse=True)
    known = np.unique(np.concatenate([labels_n, predicted_n]))
    columns = len(known) * CALIBRATION_BINS
    key = (label * len(known) + np.searchsorted(known, predicted_n)) * CALIBRATION_BINS
    keys, cell_n, cells = np.unique(
        key + calibration_bins(confidence_n), return_inverse=True, return_counts=True
    )
    answer_m = known[keys // CALIBRATION_BINS % len(known)]
    label_m = keys // columns
    # Classes without true samples only take samples away; one position past the end serves all.
    position = np.searchsorted(classes, answer_m).clip(max=len(classes) - 1)
    predicted_m = np.where(classes[position] == answer_m, position, len(classes))
    surplus = np.asarray(confidence_n, np.float64) - (predicted_n == labels_n)
    gap_m = np.bincount(cell_n, weights=surplus, minlength=len(keys)) / cells
    return classes, label_m, predicted_m, cells.astype(np.int64), gap_m, keys % CALIBRATION_BINS


def _measures(
    drawn_rm: Ids,
    num_classes: int,
    label_m: Ids,
    predicted_m: Ids,
    gap_m: NDArray[np.float64],
    bin_m: Ids,
) -> dict[str, NDArray[np.float64]]:
    """Return each measure of each resample: shape (R,), or (R, K) when it is per class."""
    hits = sum_cells(drawn_rm * (label_m == predicted_m), label_m, num_classes)
    support = sum_cells(drawn_rm, label_m, num_classes)
    predicted = sum_cells(drawn_rm, predicted_m, num_classes)
    total = support.sum(axis=-1)
    recall = hits / support
    gaps = sum_cells(drawn_rm * gap_m, bin_m, CALIBRATION_BINS)
    return {
        "accuracy": hits.sum(axis=-1) / total,
        "balanced_accuracy": recall.mean(axis=-1),
        "macro_f1": macro_f1(hits, support, predicted),
        "weighted_f1": weighted_f1(hits, support, predicted),
        "calibration_error": np.abs(gaps).sum(axis=-1) / total,
        "recall": recall,
        "precision": hits / np.maximum(predicted, 1),
    }
