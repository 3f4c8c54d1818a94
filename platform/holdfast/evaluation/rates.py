"""Confusion, F1 and calibration from counts.

Shape suffixes: n samples, k classes, b calibration bins; `...` leading axes, such as resamples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Ids

# Fifteen bins of equal width, as in the paper that made the measure common.
CALIBRATION_BINS = 15


def confusion_matrix(predicted_n: Ids, labels_n: Ids, class_ids_k: Ids) -> Ids:
    """Count samples by true class (rows) and predicted class (columns).

    Parameters
    ----------
    class_ids_k : ndarray of int64, shape (K,)
        Sorted; holds every label and every prediction.

    Returns
    -------
    ndarray of int64, shape (K, K)
        All zero without samples.

    Raises
    ------
    ValueError
        If a label or prediction is not among `class_ids_k`.
    """
    num_classes = len(class_ids_k)
    for name, ids in (("labels_n", labels_n), ("predicted_n", predicted_n)):
        if not np.isin(ids, class_ids_k).all():
            raise ValueError(f"{name} holds classes that class_ids_k lacks")
    row = np.searchsorted(class_ids_k, labels_n)
    column = np.searchsorted(class_ids_k, predicted_n)
    cells = np.bincount(row * num_classes + column, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes).astype(np.int64)


def macro_f1(
    hits_k: NDArray[Any], support_k: NDArray[Any], predicted_k: NDArray[Any]
) -> NDArray[np.float64]:
    """Mean F1 over the classes that occur among the true labels.

    Predictions of a class without true samples still count against the classes whose
    samples they took, but such a class gets no F1 of its own: its recall is undefined.

    Parameters
    ----------
    hits_k, support_k, predicted_k : ndarray, shape (..., K)
        For each class: samples predicted rightly, true samples, predicted samples.

    Returns
    -------
    ndarray of float64, shape (...)
        In [0, 1]; low is bad. 0.0 where no class has a sample.
    """
    present = np.maximum((support_k > 0).sum(axis=-1), 1)
    mean: NDArray[np.float64] = _f1(hits_k, support_k, predicted_k).sum(axis=-1) / present
    return mean


def weighted_f1(
    hits_k: NDArray[Any], support_k: NDArray[Any], predicted_k: NDArray[Any]
) -> NDArray[np.float64]:
    """Mean F1 over samples: each class counts by its true samples, so rare ones hardly do.

    Parameters
    ----------
    hits_k, support_k, predicted_k : ndarray, shape (..., K)
        For each class: samples predicted rightly, true samples, predicted samples.

    Returns
    -------
    ndarray of float64, shape (...)
        In [0, 1]; low is bad. 0.0 where no class has a sample.
    """
    total = _f1(hits_k, support_k, predicted_k) * support_k
    mean: NDArray[np.float64] = total.sum(axis=-1) / np.maximum(support_k.sum(axis=-1), 1)
    return mean


def calibration_bins(confidence_n: NDArray[np.floating[Any]], bins: int = CALIBRATION_BINS) -> Ids:
    """Return the bin of each confidence in [0, 1]: equal widths, upper edges included."""
    confidence = np.asarray(confidence_n, np.float64)
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def calibration_error(
    confidence_n: NDArray[np.floating[Any]],
    correct_n: NDArray[np.bool_],
    bins: int = CALIBRATION_BINS,
) -> float:
    """Mean gap between how sure the model is and how often it is right.

    Returns
    -------
    float
        Expected calibration error in [0, 1]; high is bad. 0.0 without samples.

    References
    ----------
    .. [1] Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.

    Examples
    --------
    >>> calibration_error(np.array([1.0, 1.0]), np.array([True, False]))
    0.5
    """
    if not len(confidence_n):
        return 0.0
    confidence = np.asarray(confidence_n, np.float64)
    gaps = np.bincount(
        calibration_bins(confidence, bins), weights=confidence - correct_n, minlength=bins
    )
    return float(np.abs(gaps).sum() / len(confidence))


def _f1(
    hits_k: NDArray[Any], support_k: NDArray[Any], predicted_k: NDArray[Any]
) -> NDArray[np.float64]:
    f1 = 2 * hits_k / np.maximum(support_k + predicted_k, 1)
    return np.where(support_k > 0, f1, 0.0)
