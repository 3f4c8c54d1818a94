"""Numbers that say how good a classifier is, keyed by class.

Shape suffixes: n samples, k classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.data.balance import rare_classes
from holdfast.evaluation.intervals import Intervals, bootstrap_intervals
from holdfast.evaluation.rates import calibration_error, confusion_matrix, macro_f1
from holdfast.records import Ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Metrics:
    """How a model did on labeled samples it was not trained on.

    All shares lie in [0, 1] and high is good, except `calibration_error`, where high is bad.
    `recall`, `precision` and `support` are keyed by the class ids that occur among the true
    labels; means over classes are means over these.

    Attributes
    ----------
    num_samples : int
    known : tuple of int
        Class ids the model can answer with. Samples of any other class count as wrong.
    accuracy, balanced_accuracy, macro_f1 : float
    calibration_error : float
        Expected calibration error of the most probable class.
    recall, precision : mapping of int to float
        Precision is 0.0 for a class that was never predicted.
    support : mapping of int to int
        Samples of each true class.
    confusion : mapping of int to (mapping of int to int)
        True class, then predicted class, to count; zeros are left out.
    intervals : Intervals or None
        Where each of these numbers may lie; None when nobody asked.
    """

    num_samples: int
    known: tuple[int, ...]
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    calibration_error: float
    recall: Mapping[int, float]
    precision: Mapping[int, float]
    support: Mapping[int, int]
    confusion: Mapping[int, Mapping[int, int]]
    intervals: Intervals | None = None

    @property
    def weighted_f1(self) -> float:
        """Mean F1 over samples: rare classes hardly count. In [0, 1]; low is bad."""
        total = 0.0
        for k, support in self.support.items():
            both = self.precision[k] + self.recall[k]
            total += support * 2 * self.precision[k] * self.recall[k] / both if both else 0.0
        return total / self.num_samples

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; class ids become strings where they are keys."""
        return {
            "num_samples": self.num_samples,
            "known": list(self.known),
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "weighted_f1": self.weighted_f1,
            "calibration_error": self.calibration_error,
            "recall": {str(k): value for k, value in self.recall.items()},
            "precision": {str(k): value for k, value in self.precision.items()},
            "support": {str(k): value for k, value in self.support.items()},
            "confusion": {
                str(true): {str(k): count for k, count in row.items()}
                for true, row in self.confusion.items()
            },
            "intervals": None if self.intervals is None else self.intervals.to_json(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Metrics:
        """Rebuild what `to_json` returned.

        Raises
        ------
        ValueError
            If a value is missing.
        """
        try:
            return cls(
                num_samples=int(values["num_samples"]),
                known=tuple(int(k) for k in values["known"]),
                accuracy=float(values["accuracy"]),
                balanced_accuracy=float(values["balanced_accuracy"]),
                macro_f1=float(values["macro_f1"]),
                calibration_error=float(values["calibration_error"]),
                recall={int(k): float(value) for k, value in values["recall"].items()},
                precision={int(k): float(value) for k, value in values["precision"].items()},
                support={int(k): int(value) for k, value in values["support"].items()},
                confusion={
                    int(true): {int(k): int(count) for k, count in row.items()}
                    for true, row in values["confusion"].items()
                },
                intervals=(
                    Intervals.from_json(values["intervals"]) if values.get("intervals") else None
                ),
            )
        except KeyError as error:
            raise ValueError(f"metrics hold no {error.args[0]!r}") from error


def measure(
    pred_probs_nk: NDArray[np.floating],
    class_ids_k: Ids,
    labels_n: Ids,
    rng: np.random.Generator | None = None,
) -> Metrics:
    """Measure a model's probabilities against true labels.

    Parameters
    ----------
    pred_probs_nk : ndarray of float, shape (N, K)
        Probabilities in [0, 1]; column j belongs to `class_ids_k[j]`.
    class_ids_k : ndarray of int64, shape (K,)
        Classes the model knows; may be fewer than occur in `labels_n`.
    labels_n : ndarray of int64, shape (N,)
        True class ids. A class the model does not know has recall 0.
    rng : Generator or None
        Given, every number gets a 95 % bootstrap interval.

    Raises
    ------
    ValueError
        If there is no sample or no class, shapes differ, or a probability is not finite.

    Notes
    -----
    Time and memory grow with N * K and with the square of the number of classes; the
    intervals cost the same however many samples there are, once they are counted.

    Examples
    --------
    >>> probs = np.array([[0.9, 0.1], [0.2, 0.8]])
    >>> measure(probs, np.array([4, 7]), np.array([4, 7])).macro_f1
    1.0
    """
    predicted = predict(pred_probs_nk, class_ids_k)
    if labels_n.shape != predicted.shape:
        raise ValueError(f"labels_n has shape {labels_n.shape}, expected {predicted.shape}")
    if not len(labels_n):
        raise ValueError("there are no labeled samples to measure on")
    classes = np.union1d(labels_n, class_ids_k)
    confusion = confusion_matrix(predicted, labels_n, classes)
    hits, support, chosen = np.diagonal(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    present = np.flatnonzero(support)
    recall = hits[present] / support[present]
    precision = hits[present] / np.maximum(chosen[present], 1)
    ids = classes[present].tolist()
    sure = pred_probs_nk.max(axis=1)
    return Metrics(
        num_samples=len(labels_n),
        known=tuple(np.sort(class_ids_k).tolist()),
        accuracy=float(hits.sum() / len(labels_n)),
        balanced_accuracy=float(recall.mean()),
        macro_f1=float(macro_f1(hits, support, chosen)),
        calibration_error=calibration_error(sure, predicted == labels_n),
        recall=dict(zip(ids, recall.tolist(), strict=True)),
        precision=dict(zip(ids, precision.tolist(), strict=True)),
        support=dict(zip(ids, support[present].tolist(), strict=True)),
        confusion={
            int(classes[i]): {
                int(classes[j]): int(confusion[i, j]) for j in confusion[i].nonzero()[0]
            }
            for i in present
        },
        intervals=None if rng is None else bootstrap_intervals(predicted, labels_n, sure, rng),
    )


def predict(pred_probs_nk: NDArray[np.floating], class_ids_k: Ids) -> Ids:
    """Return the class id of each row's largest probability; the first column wins a tie.

    Raises
    ------
    ValueError
        If there is no class, the columns do not match, or a probability is not finite.
    """
    if pred_probs_nk.ndim != 2 or pred_probs_nk.shape[1] != len(class_ids_k):
        raise ValueError(
            f"pred_probs_nk has shape {pred_probs_nk.shape}, "
            f"expected one column for each of {len(class_ids_k)} classes"
        )
    if not len(class_ids_k):
        raise ValueError("the model knows no class, so it cannot predict")
    if not np.isfinite(pred_probs_nk).all():
        raise ValueError("pred_probs_nk holds values that are not finite")
    predicted: Ids = np.asarray(class_ids_k, np.int64)[pred_probs_nk.argmax(axis=1)]
    return predicted


def rare_recall(recall: Mapping[int, float], counts_k: Ids) -> float | None:
    """Mean recall over the rare classes.

    Parameters
    ----------
    recall : mapping of int to float
        By class id, as in `Metrics.recall`.
    counts_k : ndarray of int64, shape (K,)
        Training samples of each class, by class id; they decide what is rare. A benchmark
        passes the counts of true classes, a project those of current labels.

    Returns
    -------
    float or None
        In [0, 1]; low is bad. None when no class is rare, or `recall` holds no rare class.

    Examples
    --------
    >>> rare_recall({0: 1.0, 1: 0.9, 2: 0.25}, np.array([100, 80, 20]))
    0.25
    """
    rare = [recall[k] for k in np.flatnonzero(rare_classes(counts_k)).tolist() if k in recall]
    return float(np.mean(rare)) if rare else None
