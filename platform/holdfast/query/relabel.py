"""Which labels on record to ask about again.

Shape suffixes: n labeled samples, s suspects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Ids

# Odds of error of a label that a person confirmed, relative to one that nobody looked at.
# On digits with 5 % wrong answers 0.01 left 7.2 wrong labels after six rounds, 0.05 left
# 5.8 and 0.2 left 4.8 (mean of 8 seeds). At 1 a confirmed label would count for nothing.
VERIFIED_ODDS = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspects:
    """Labels worth asking about again, most suspect first.

    Attributes
    ----------
    sample_ids_s : ndarray of int64, shape (S,)
    given_s, suggested_s : ndarray of int64, shape (S,)
        Class ids on record and proposed.
    error_probs_s : ndarray of float64, shape (S,)
        Estimated probability that the label on record is wrong; descending.
    """

    sample_ids_s: Ids
    given_s: Ids
    suggested_s: Ids
    error_probs_s: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.sample_ids_s)

    def first(self, num: int) -> Suspects:
        """Return the most suspect of them, all where there are no more than `num`."""
        return Suspects(
            sample_ids_s=self.sample_ids_s[:num],
            given_s=self.given_s[:num],
            suggested_s=self.suggested_s[:num],
            error_probs_s=self.error_probs_s[:num],
        )


NO_SUSPECTS = Suspects(
    sample_ids_s=np.empty(0, np.int64),
    given_s=np.empty(0, np.int64),
    suggested_s=np.empty(0, np.int64),
    error_probs_s=np.empty(0, np.float64),
)


def rank_suspects(
    sample_ids_n: Ids,
    given_n: Ids,
    suggested_n: Ids,
    error_probs_n: NDArray[np.float64],
    verified_n: NDArray[np.bool_],
    *,
    threshold: float,
) -> Suspects:
    """Keep the labels whose probability of being wrong is worth an answer.

    Labels that a person confirmed have their odds lowered, so they return only when the
    audit is very sure. On clean data nothing crosses the threshold and no answer is spent.
    Time O(n log n).

    Parameters
    ----------
    error_probs_n : ndarray of float64, shape (N,)
        From the audit; high = suspect.
    verified_n : ndarray of bool, shape (N,)
        Whether a person confirmed the label.
    threshold : float
        In (0, 1).
    """
    probs = error_probs_n.astype(np.float64)
    odds = probs / np.maximum(1.0 - probs, 1e-9)
    odds = np.where(verified_n, VERIFIED_ODDS * odds, odds)
    probs = odds / (1.0 + odds)
    order = np.lexsort((sample_ids_n, -probs))
    order = order[probs[order] >= threshold]
    return Suspects(
        sample_ids_s=sample_ids_n[order],
        given_s=given_n[order],
        suggested_s=suggested_n[order],
        error_probs_s=probs[order],
    )
