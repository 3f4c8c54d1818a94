"""Samples a new model gets wrong that the old one had right.

A model can gain in every mean and still break what people rely on; each such sample is a
regression that somebody may notice.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from holdfast.evaluation.pairing import Pairs
from holdfast.evaluation.resampling import draw_changes, limits


def negative_flips(
    pairs: Pairs, *, confidence: float, resamples: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Return the share of holdout samples right before and wrong now, over all and by class.

    Parameters
    ----------
    pairs : Pairs
        Both models' answers; the champion is before, the candidate now.
    confidence : float
        Of the two-sided bootstrap limits, in (0, 1).

    Returns
    -------
    dict
        Plain JSON values: `flips` (samples), `samples`, `share` in [0, 1] (high is bad),
        `low` and `high`; and under `by_class` the same by class id, as text.

    Notes
    -----
    Time and memory grow with resamples * K, and do not depend on the number of samples.

    References
    ----------
    .. [1] Yan et al., "Positive-Congruent Training: Towards Regression-Free Model Updates",
       CVPR 2021.
    """
    lost, support = pairs.lost_k, pairs.support_k
    share, total = lost / support, support.sum()
    drawn, _ = draw_changes(lost, 0 * lost, support, resamples, rng)
    over_all = lost.sum() / total
    low, high = limits(drawn @ (support / total), over_all, confidence).tolist()
    return {
        "flips": int(lost.sum()),
        "samples": int(total),
        "share": float(over_all),
        "low": low,
        "high": high,
        "by_class": {
            str(k): dict(zip(("flips", "samples", "share", "low", "high"), row, strict=True))
            for k, *row in zip(
                pairs.class_ids_k.tolist(),
                lost.tolist(),
                support.tolist(),
                share.tolist(),
                *limits(drawn, share, confidence).tolist(),
                strict=True,
            )
        },
    }
