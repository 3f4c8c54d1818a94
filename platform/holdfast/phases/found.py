"""What an audit found, as columns: one row a sample, one table a kind.

Shape suffixes: n samples, s samples with a finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Finding, Ids

NOBODY = -1
# What each kind of finding means to a person, the gravest first.
KINDS: Mapping[str, str] = {
    "label_error": "label looks wrong",
    "label_conflict": "one file's content with two labels",
    "duplicate_conflict": "copies with different labels",
    "duplicate_across_splits": "copies in training and holdout",
    "exact_duplicate": "the same pixels twice",
    "near_duplicate": "nearly the same picture",
    "outlier": "unlike all others",
    "dark": "dark",
    "light": "light",
    "blurry": "blurry",
    "low_information": "nearly empty",
    "odd_size": "odd size",
    "odd_aspect_ratio": "odd shape",
    "grayscale": "gray among color",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The samples with one kind of finding, most suspect first.

    Attributes
    ----------
    sample_ids_s : ndarray of int64, shape (S,)
    scores_s : ndarray of float64, shape (S,)
        In [0, 1]; low = suspect.
    given_s, suggested_s : ndarray of int64, shape (S,)
        Class ids on record and proposed, -1 for none.
    """

    sample_ids_s: Ids
    scores_s: NDArray[np.float64]
    given_s: Ids
    suggested_s: Ids

    def __len__(self) -> int:
        return len(self.sample_ids_s)

    def besides(self, known_ids: Ids) -> Found:
        """Return the rows whose sample is not among the known ones."""
        return self._rows(np.flatnonzero(~np.isin(self.sample_ids_s, known_ids)))

    def findings(self, kind: str) -> tuple[Finding, ...]:
        """Return the rows as the ledger keeps them."""
        columns = (self.sample_ids_s, self.scores_s, self.given_s, self.suggested_s)
        return tuple(
            Finding(
                sample_id=sample_id,
                kind=kind,
                score=score,
                given=None if given < 0 else given,
                suggested=None if suggested < 0 else suggested,
            )
            for sample_id, score, given, suggested in zip(
                *(column.tolist() for column in columns), strict=True
            )
        )

    def _rows(self, rows_s: Ids) -> Found:
        return Found(
            sample_ids_s=self.sample_ids_s[rows_s],
            scores_s=self.scores_s[rows_s],
            given_s=self.given_s[rows_s],
            suggested_s=self.suggested_s[rows_s],
        )


def collect(
    sample_ids_s: Ids,
    scores_s: NDArray[np.float64],
    given_s: Ids | None = None,
    suggested_s: Ids | None = None,
) -> Found:
    """Sort samples with a finding, most suspect first, ties by id."""
    nobody = np.full(len(sample_ids_s), NOBODY, np.int64)
    found = Found(
        sample_ids_s=sample_ids_s,
        scores_s=np.clip(scores_s, 0.0, 1.0).astype(np.float64),
        given_s=nobody if given_s is None else given_s,
        suggested_s=nobody if suggested_s is None else suggested_s,
    )
    return found._rows(np.lexsort((sample_ids_s, found.scores_s)))


def counts(found: Mapping[str, Found]) -> dict[str, int]:
    """Return the number of samples of each kind that has any."""
    return {kind: len(table) for kind, table in found.items() if len(table)}


def as_findings(found: Mapping[str, Found], before: Mapping[str, Ids]) -> tuple[Finding, ...]:
    """Return the findings whose kind and sample are not among those made before."""
    nothing = np.empty(0, np.int64)
    return tuple(
        finding
        for kind, table in found.items()
        for finding in table.besides(before.get(kind, nothing)).findings(kind)
    )
