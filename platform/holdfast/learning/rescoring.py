"""How good the exemplars are: trust revised by what the network believes, and a summary.

Shape suffixes: n exemplars, k classes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.learning.replay import Buffer
from holdfast.records import Ids

# One round of a confused network must not empty the buffer of what it is confused about.
LEAST_BELIEF = 0.1


def rescore(buffer: Buffer, pred_probs_nk: NDArray[np.floating], class_ids_k: Ids) -> Buffer:
    """Return the buffer with labels that were doubted trusted less where belief is low.

    Belief is the self-confidence as a share of what is usual for the class, at most 1 and at
    least `LEAST_BELIEF`: a class that the network knows poorly as a whole (rare, or new)
    loses nothing by it, only those of its exemplars that the network doubts more than the
    others. It counts as far as the label was doubted: weight = trust * (1 - doubt * (1 -
    belief)), with doubt = 1 - trust. A label that a person confirmed stays as it is, however
    hard the network finds it. Classes that the network does not know keep their trust.

    Counting belief in full instead cost digits .01 of macro-F1 and clean MNIST .002 of
    accuracy, for nothing where 40 % of labels are wrong (2 seeds each).

    Parameters
    ----------
    pred_probs_nk : ndarray of float, shape (N, K)
        Of every exemplar; rows sum to 1. Out of sample is better: a network that replayed a
        wrong label often enough believes it, and then finds less.
    class_ids_k : ndarray of int64, shape (K,)
        Class of each column, in any order.

    Returns
    -------
    Buffer
        The same exemplars. Trust as it came is kept beside, so that rescoring twice is
        rescoring once, and belief that recovers restores the weight.

    Raises
    ------
    ValueError
        If the probabilities do not fit the exemplars or the classes.

    Notes
    -----
    Cost: O(N + K log K).

    References
    ----------
    .. [1] Northcutt et al., "Confident Learning: Estimating Uncertainty in Dataset
       Labels", JAIR 2021 (a threshold per class: its mean self-confidence).
    """
    if pred_probs_nk.shape != (len(buffer), len(class_ids_k)):
        raise ValueError(
            f"probabilities should be {(len(buffer), len(class_ids_k))} (exemplars, classes), "
            f"not {pred_probs_nk.shape}"
        )
    known_n = np.isin(buffer.labels_n, class_ids_k)
    rows = np.flatnonzero(known_n)
    order = np.argsort(class_ids_k)
    columns = order[np.searchsorted(class_ids_k, buffer.labels_n[rows], sorter=order)]
    confidence = pred_probs_nk[rows, columns].astype(np.float64)
    # Doubted labels say little about what is usual for their class.
    trust = np.maximum(buffer.trust_n[rows].astype(np.float64), 1e-6)
    size = len(class_ids_k)
    usual_k = np.bincount(columns, trust * confidence, size) / np.maximum(
        np.bincount(columns, trust, size), 1e-12
    )
    usual = usual_k[columns]
    belief_n = np.ones(len(buffer))
    belief_n[rows] = np.divide(confidence, usual, out=np.ones(len(rows)), where=usual > 0)
    doubt_n = 1 - buffer.trust_n
    weights = buffer.trust_n * (1 - doubt_n * (1 - np.clip(belief_n, LEAST_BELIEF, 1)))
    return replace(buffer, weights_n=weights.astype(np.float32))


def describe_buffer(
    buffer: Buffer, capacity: int, true_labels_n: Ids | None = None
) -> dict[str, Any]:
    """Return what the buffer holds, as JSON.

    Parameters
    ----------
    true_labels_n : ndarray of int64, shape (N,), optional
        Of every exemplar, where they are known (in benchmarks).

    Returns
    -------
    dict
        `samples`; `fill`, the share of the capacity in use, in [0, 1]; `shares`, by class
        id, which sum to 1; `trust`, the mean weight, in [0, 1], low = doubtful; with true
        labels `purity`, the share of right labels. The last two are None when it is empty.
    """
    classes_k, counts_k = np.unique(buffer.labels_n, return_counts=True)
    some = len(buffer) > 0
    summary: dict[str, Any] = {
        "samples": len(buffer),
        "fill": len(buffer) / capacity if capacity else 0.0,
        "shares": {
            str(k): count / len(buffer)
            for k, count in zip(classes_k.tolist(), counts_k.tolist(), strict=True)
        },
        "trust": float(buffer.weights_n.mean(dtype=np.float64)) if some else None,
    }
    if true_labels_n is not None:
        summary["purity"] = float((buffer.labels_n == true_labels_n).mean()) if some else None
    return summary
