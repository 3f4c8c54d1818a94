"""Scores of labels from out-of-sample probabilities alone; the home of cleanlab.

Shape suffixes: n samples, k classes.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Ids

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # cleanlab warns about optional parts it cannot import
    from cleanlab.rank import (  # type: ignore[import-untyped]  # no stubs
        get_label_quality_scores,
    )

# cleanlab copies what it is given several times over; so many entries at once take 64 MiB.
BATCH_ENTRIES = 1 << 20


def label_scores(
    columns_n: Ids,
    pred_probs_nk: NDArray[np.floating],
    method: str,
    *,
    batch_entries: int = BATCH_ENTRIES,
) -> NDArray[np.float64]:
    """Score every label by one of cleanlab's measures.

    Time O(N K), memory O(N) beside the input, which may be a memory map.

    Parameters
    ----------
    columns_n : ndarray of int64, shape (N,)
        Label on record as a *column* of `pred_probs_nk`, 0..K-1.
    pred_probs_nk : ndarray of float, shape (N, K)
        Out-of-sample: the model that gave a row never saw the sample. Rows sum to 1.
    method : str
        `self_confidence`: probability of the label; `normalized_margin`: the same against
        the most probable other class; `confidence_weighted_entropy`: against the entropy.

    Returns
    -------
    ndarray of float64, shape (N,)
        In [0, 1]; low = suspect. Empty for empty input.

    References
    ----------
    .. [1] Kuan and Mueller, "Model-agnostic label quality scoring to detect real-world
       label errors", ICML DataPerf Workshop 2022.
    """
    scores_n = np.empty(len(columns_n))
    size = max(1, batch_entries // max(1, pred_probs_nk.shape[1]))
    for start in range(0, len(columns_n), size):
        span = slice(start, start + size)
        probs = np.asarray(pred_probs_nk[span], np.float64)
        scores_n[span] = get_label_quality_scores(columns_n[span], probs, method=method)
    return np.clip(scores_n, 0.0, 1.0)
