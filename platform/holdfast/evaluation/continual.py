"""What was kept and what was lost as a model learned round after round, keyed by class.

Shape suffixes: r rounds, k classes. Everything here reads one table, `recall_rk`: recall in
[0, 1] after each round, NaN where a class was not yet learned or had no sample to measure on.
Being keyed by class, the measures stay right when a class appears in several rounds. A table
of experiences instead of classes (NaN above the diagonal) is read in the same way. The table
should come from one holdout with fixed labels; `retention` compares rounds where it was not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from holdfast.evaluation.metrics import Metrics
from holdfast.records import Ids

Recalls = NDArray[np.float64]


def recall_over_rounds(metrics_r: Sequence[Metrics]) -> tuple[Ids, Recalls]:
    """Line up the recall of every class that was ever measured.

    Parameters
    ----------
    metrics_r : sequence of Metrics
        One per round, in order.

    Returns
    -------
    class_ids_k : ndarray of int64, shape (K,)
        Sorted.
    recall_rk : ndarray of float64, shape (R, K)
        NaN until the first round whose model knows the class, and wherever a round had no
        sample of it. A class that a later model no longer knows has recall 0, not NaN:
        losing it is forgetting.
    """
    classes = sorted({k for metrics in metrics_r for k in metrics.recall})
    table = np.full((len(metrics_r), len(classes)), np.nan)
    learned: set[int] = set()
    for row, metrics in enumerate(metrics_r):
        learned.update(metrics.known)
        for column, k in enumerate(classes):
            if k in learned and k in metrics.recall:
                table[row, column] = metrics.recall[k]
    return np.array(classes, np.int64), table


def forgetting(recall_rk: Recalls) -> float:
    """Mean drop over the classes that were learned at least one round ago.

    Returns
    -------
    float
        In [-1, 1]; positive is bad. 0.0 when no class was learned before the last round.

    Raises
    ------
    ValueError
        If the table has no round, or a recall lies outside [0, 1].

    Examples
    --------
    >>> forgetting(np.array([[0.9, np.nan], [0.5, 0.8]]))
    0.4
    """
    return _mean(forgetting_over_rounds(recall_rk)[-1])


def forgetting_over_rounds(recall_rk: Recalls) -> Recalls:
    """Drop of each class from its best earlier recall, after each round.

    Returns
    -------
    ndarray of float64, shape (R, K)
        In [-1, 1]; positive is bad, negative means that the class is better than ever. NaN
        for a class without a recall in the round or in any round before it.

    Raises
    ------
    ValueError
        If the table has no round, or a recall lies outside [0, 1].

    References
    ----------
    .. [1] Chaudhry et al., "Riemannian Walk for Incremental Learning", ECCV 2018.
    """
    _check(recall_rk)
    # fmax passes NaN over, so a round without samples of a class does not erase its best.
    best = np.fmax.accumulate(recall_rk, axis=0)
    nothing = np.full_like(recall_rk[:1], np.nan)
    drop: Recalls = np.concatenate([nothing, best[:-1]]) - recall_rk
    return drop


def backward_transfer(recall_rk: Recalls) -> float:
    """Mean change of recall from the round that first learned a class to the last.

    Returns
    -------
    float
        In [-1, 1]; negative is bad: later rounds harmed earlier classes. 0.0 when no class
        was learned before the last round.

    Raises
    ------
    ValueError
        If the table has no round, or a recall lies outside [0, 1].

    References
    ----------
    .. [1] Lopez-Paz and Ranzato, "Gradient Episodic Memory", NeurIPS 2017.
    """
    _check(recall_rk)
    return _mean(recall_rk[-1] - _first(recall_rk[:-1]))


def forward_transfer(recall_rk: Recalls, fresh_k: Recalls) -> float:
    """Mean gain, on newly learned classes, over a model that had learned nothing before.

    Parameters
    ----------
    recall_rk : ndarray of float64, shape (R, K)
    fresh_k : ndarray of float64, shape (K,)
        Recall of a newly initialised model trained on the same samples; NaN if unknown.

    Returns
    -------
    float
        In [-1, 1]; negative is bad: earlier knowledge got in the way. Classes of the first
        round are left out, as nothing came before them; 0.0 when no class remains.

    Raises
    ------
    ValueError
        If the table has no round, a recall lies outside [0, 1], or `fresh_k` does not match.

    References
    ----------
    .. [1] Wang et al., "A Comprehensive Survey of Continual Learning", TPAMI 2024, eq. 5.
    """
    _check(recall_rk)
    if fresh_k.shape != recall_rk.shape[1:]:
        raise ValueError(f"fresh_k has shape {fresh_k.shape}, expected {recall_rk.shape[1:]}")
    later = np.isnan(recall_rk[0])
    return _mean((_first(recall_rk) - fresh_k)[later])


def _first(recall_rk: Recalls) -> Recalls:
    if not len(recall_rk):
        return np.full(recall_rk.shape[1], np.nan)
    row = np.argmax(~np.isnan(recall_rk), axis=0)
    first: Recalls = recall_rk[row, np.arange(recall_rk.shape[1])]
    return first


def _mean(values: Recalls) -> float:
    found = values[~np.isnan(values)]
    return float(found.mean()) if len(found) else 0.0


def _check(recall_rk: Recalls) -> None:
    if recall_rk.ndim != 2 or not len(recall_rk):
        raise ValueError(f"recall_rk has shape {recall_rk.shape}, expected at least one round")
    if np.any((recall_rk < 0) | (recall_rk > 1)):
        raise ValueError("recall_rk holds values outside [0, 1]")
