"""The few classes that each label is weighed between, so that a thousand cost what ten do.

Shape suffixes: b samples of a block, k classes, m candidate classes of a sample (the label
on record first).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Ids

Probs = NDArray[np.float64]
AnyProbs = NDArray[np.floating]

# Entries of a block: 32 MiB of float64.
BLOCK_ENTRIES = 1 << 22
# Classes that a sample is weighed between; the others are taken together.
CANDIDATES = 10
_LEAST = 1e-7  # probability: float32 says little below


def blocks(num_rows: int, num_columns: int) -> Iterator[slice]:
    """Cut rows into slices of about `BLOCK_ENTRIES` entries."""
    size = max(1, BLOCK_ENTRIES // max(num_columns, CANDIDATES**2))
    for start in range(0, num_rows, size):
        yield slice(start, min(start + size, num_rows))


def candidates(columns_b: Ids, probs_bk: AnyProbs) -> tuple[Ids, Probs]:
    """Return each sample's label and its most probable other classes, with log-probabilities.

    Returns
    -------
    ndarray of int64, shape (B, M)
        Columns: the label on record first. M is K, or less where K is above `CANDIDATES`:
        then the last candidate stands for all classes left over and its column is K.
    ndarray of float64, shape (B, M)
        For the classes left over, of their mean.
    """
    num_classes = probs_bk.shape[1]
    rows = np.arange(len(columns_b))
    others = np.array(probs_bk)
    others[rows, columns_b] = -1.0
    num_others = min(num_classes, CANDIDATES) - 1
    best = np.argpartition(others, -num_others, axis=1)[:, -num_others:]
    classes_bm = np.concatenate([columns_b[:, None], best], axis=1)
    probs_bm = np.take_along_axis(probs_bk, classes_bm, axis=1)
    if num_classes > CANDIDATES:
        np.put_along_axis(others, classes_bm, 0.0, axis=1)
        left = others.sum(axis=1, keepdims=True) / (num_classes - CANDIDATES)
        probs_bm = np.concatenate([probs_bm, left], axis=1)
        classes_bm = np.concatenate([classes_bm, np.full((len(rows), 1), num_classes)], axis=1)
    return classes_bm, np.log(np.maximum(probs_bm, _LEAST, dtype=np.float64))


def log_sizes(classes_bm: Ids, num_classes: int) -> Probs:
    """Return the logarithm of how many classes each candidate stands for."""
    sizes = np.zeros(classes_bm.shape[1])
    if num_classes > CANDIDATES:
        sizes[-1] = np.log(num_classes - CANDIDATES)
    return sizes


def local_flips(classes_bm: Ids, flips_kk: Probs) -> Probs:
    """Return the flips among each sample's candidates, shape (B, M, M)."""
    num_classes = len(flips_kk)
    if num_classes <= CANDIDATES:
        return np.asarray(flips_kk[classes_bm[:, :, None], classes_bm[:, None, :]])
    # One more class stands for those left over. It is reached by what is left of each row;
    # what leaves it is taken as the mean of all classes.
    padded = np.zeros((num_classes + 1, num_classes + 1))
    padded[:-1, :-1] = flips_kk
    padded[-1, :-1] = (flips_kk.sum(axis=0) - np.diag(flips_kk)) / (num_classes - 1)
    local = padded[classes_bm[:, :, None], classes_bm[:, None, :]]
    local[:, :, -1] = np.maximum(1.0 - local[:, :, :-1].sum(axis=2), 0.0)
    return np.asarray(local)
