"""Label quality from out-of-sample probabilities; the home of cleanlab.

Shape suffixes: n samples, k classes.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Ids

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # cleanlab warns about optional parts it cannot import
    from cleanlab.experimental.label_issues_batched import (  # type: ignore[import-untyped]  # no stubs
        LabelInspector,
    )

BATCH_SIZE = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelQuality:
    """What cleanlab says about a set of labels.

    Attributes
    ----------
    scores_n : ndarray of float64, shape (N,)
        Self-confidence in [0, 1]: probability of the label on record; low = suspect.
    num_errors : int
        Estimated number of wrong labels, between 0 and N.
    thresholds_k : ndarray of float64, shape (K,)
        Mean self-confidence of each class's own samples: above it a sample counts as
        confidently of the class.
    """

    scores_n: NDArray[np.float64]
    num_errors: int
    thresholds_k: NDArray[np.float64]


def inspect_labels(
    columns_n: Ids, pred_probs_nk: NDArray[np.float64], *, batch_size: int = BATCH_SIZE
) -> LabelQuality:
    """Score every label and estimate how many are wrong.

    Two passes in batches, time O(n k) and memory O(batch k) beside the input.

    Parameters
    ----------
    columns_n : ndarray of int64, shape (N,)
        Label on record as a *column* of `pred_probs_nk`, 0..K-1.
    pred_probs_nk : ndarray of float64, shape (N, K)
        Out-of-sample: the model that gave a row never saw the sample. Rows sum to 1.

    Returns
    -------
    LabelQuality
        Empty scores and no errors for empty input.

    References
    ----------
    .. [1] Northcutt et al., "Confident Learning: Estimating Uncertainty in Dataset
       Labels", JAIR 2021.
    """
    num_classes = pred_probs_nk.shape[1]
    if len(columns_n) == 0:
        return LabelQuality(
            scores_n=np.empty(0), num_errors=0, thresholds_k=np.ones(max(num_classes, 0))
        )
    inspector = LabelInspector(
        num_class=num_classes,
        verbose=False,
        n_jobs=1,
        store_results=False,
        quality_score_kwargs={"method": "self_confidence"},
    )
    spans = [slice(i, i + batch_size) for i in range(0, len(columns_n), batch_size)]
    for span in spans:
        inspector.update_confident_thresholds(columns_n[span], pred_probs_nk[span])
    scores = [inspector.score_label_quality(columns_n[s], pred_probs_nk[s]) for s in spans]
    return LabelQuality(
        scores_n=np.clip(np.concatenate(scores), 0.0, 1.0),
        num_errors=int(np.clip(inspector.get_num_issues(silent=True), 0, len(columns_n))),
        thresholds_k=np.asarray(inspector.get_confident_thresholds(silent=True)),
    )
