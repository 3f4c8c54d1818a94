"""Bootstrap over counted cells: the cost follows what differs, not how many samples there are.

Samples that no measure can tell apart are one *cell*; resampling draws how often each cell
occurs instead of drawing samples one by one. Every stratum (a true class) keeps its size, so
that a class of three samples is in every resample.

Shape suffixes: m cells, k classes, r resamples.

References
----------
.. [1] Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Ids

# Cells of all resamples held at once: 32 MB of counts.
CHUNK_CELLS = 4_000_000

Number = TypeVar("Number", np.int64, np.float64)
Draws = NDArray[np.float64]
Interval = tuple[float, float]


def chunks(num_cells: int, resamples: int) -> list[int]:
    """Part resamples into sizes whose counts fit into memory together."""
    size = max(1, min(resamples, CHUNK_CELLS // max(num_cells, 1)))
    return [min(size, resamples - start) for start in range(0, resamples, size)]


def draw_cells(cells_m: Ids, stratum_m: Ids, size: int, rng: np.random.Generator) -> Ids:
    """Draw how often each cell occurs when every stratum is resampled to its own size.

    Parameters
    ----------
    cells_m : ndarray of int64, shape (M,)
        Samples in each cell, at least 1.
    stratum_m : ndarray of int64, shape (M,)
        Stratum of each cell, ascending from 0 without gaps.
    size : int
        Resamples.

    Returns
    -------
    ndarray of int64, shape (R, M)

    Notes
    -----
    Time and memory grow with R * M.
    """
    strata = int(stratum_m[-1]) + 1 if len(stratum_m) else 0
    starts = np.searchsorted(stratum_m, np.arange(strata + 1))
    drawn = np.empty((size, len(cells_m)), np.int64)
    for start, stop in pairwise(starts.tolist()):
        total = cells_m[start:stop].sum()
        drawn[:, start:stop] = rng.multinomial(total, cells_m[start:stop] / total, size=size)
    return drawn


def sum_cells(counts_rm: NDArray[Number], position_m: Ids, num_classes: int) -> NDArray[Number]:
    """Sum cells by class; positions from `num_classes` on are dropped.

    Parameters
    ----------
    counts_rm : ndarray, shape (..., M)
    position_m : ndarray of int64, shape (M,)
        Class of each cell as a position, 0 or more.

    Returns
    -------
    ndarray, shape (..., K)
        Of the dtype of `counts_rm`.
    """
    order = np.argsort(position_m, kind="stable")
    order = order[position_m[order] < num_classes]
    total = np.zeros((*counts_rm.shape[:-1], num_classes), counts_rm.dtype)
    if len(order):
        classes, starts = np.unique(position_m[order], return_index=True)
        total[..., classes] = np.add.reduceat(counts_rm[..., order], starts, axis=-1)
    return total


def draw_changes(
    plus_k: Ids, minus_k: Ids, samples_k: Ids, resamples: int, rng: np.random.Generator
) -> tuple[Draws, Draws]:
    """Resample paired outcomes of each class: samples that changed one way, and the other.

    Parameters
    ----------
    plus_k, minus_k : ndarray of int64, shape (K,)
        Samples that changed in either direction; together at most `samples_k`.
    samples_k : ndarray of int64, shape (K,)
        Samples of each class, at least 1.

    Returns
    -------
    plus_rk, minus_rk : ndarray of float64, shape (R, K)
        Shares of the class, in [0, 1].

    Notes
    -----
    Time and memory grow with R * K, and do not depend on the number of samples.
    """
    shares = np.stack([plus_k, minus_k, samples_k - plus_k - minus_k], axis=-1)
    shares = shares / samples_k[:, None]
    drawn = rng.multinomial(samples_k, shares, size=(resamples, len(samples_k)))
    share = drawn / samples_k[:, None]
    return share[..., 0], share[..., 1]


def limits(
    draws_r: Draws,
    value: NDArray[np.float64] | float,
    confidence: float,
    span: Interval = (0.0, 1.0),
) -> NDArray[np.float64]:
    """Two-sided percentile limits of a measured value.

    Parameters
    ----------
    draws_r : ndarray of float64, shape (R, ...)
        The measure in each resample.
    value : ndarray or float, shape (...)
        What was measured. Some measures (calibration error above all) come out higher in a
        resample than in what it was drawn from; that bias is taken out, so that the limits
        lie about the value, and they always enclose it.
    confidence : float
        In (0, 1).
    span : tuple of float
        Lowest and highest value the measure can take.

    Returns
    -------
    ndarray of float64, shape (2, ...)
        Low and high. Both equal the value where no resample differs: of a class without a
        single mistake a bootstrap cannot tell how seldom mistakes are.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws_r, [tail, 1 - tail], axis=0)
    bias = draws_r.mean(axis=0) - value
    # What so few draws miss the mean by is no bias: shares would get limits they cannot take.
    noise = draws_r.std(axis=0) / np.sqrt(len(draws_r))
    bias = np.where(np.abs(bias) > 4 * noise, bias, 0.0)
    enclosing = np.stack([np.minimum(low - bias, value), np.maximum(high - bias, value)])
    # Adding zero turns -0.0 into 0.0, which nobody should have to read.
    return np.clip(enclosing, *span) + 0.0
