"""What one model said about each holdout sample, kept for comparison with later models.

Shape suffixes: n samples.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from holdfast.records import Ids


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HoldoutPredictions:
    """A model's answers, one for each sample.

    Labels are not part of it: they may be corrected later, and then every model is measured
    against what is known to be right.

    Attributes
    ----------
    dataset_version : int
        The version whose holdout this was.
    known : tuple of int
        Class ids the model could answer with.
    sample_ids_n : ndarray of int64, shape (N,)
        Ascending, each once; may be empty.
    predicted_n : ndarray of int64, shape (N,)
        Predicted class ids.

    Raises
    ------
    ValueError
        If the ids are not ascending, or the arrays differ in length.
    """

    dataset_version: int
    known: tuple[int, ...]
    sample_ids_n: Ids
    predicted_n: Ids

    def __post_init__(self) -> None:
        if self.sample_ids_n.shape != self.predicted_n.shape:
            raise ValueError(
                f"{len(self.sample_ids_n)} sample ids but {len(self.predicted_n)} predictions"
            )
        if np.any(np.diff(self.sample_ids_n) <= 0):
            raise ValueError("sample_ids_n should ascend and hold each id once")

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values: about two bytes a sample."""
        return {
            "dataset_version": self.dataset_version,
            "known": list(self.known),
            # Neighboring ids mostly differ by little, so their differences pack well.
            "sample_ids": _pack(np.diff(self.sample_ids_n, prepend=0)),
            "predicted": _pack(self.predicted_n),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> HoldoutPredictions:
        """Rebuild what `to_json` returned."""
        return cls(
            dataset_version=int(values["dataset_version"]),
            known=tuple(int(k) for k in values["known"]),
            sample_ids_n=np.cumsum(_unpack(values["sample_ids"])),
            predicted_n=_unpack(values["predicted"]),
        )


def _pack(numbers: Ids) -> str:
    return base64.b64encode(zlib.compress(numbers.astype("<i8").tobytes())).decode("ascii")


def _unpack(text: str) -> Ids:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<i8").astype(np.int64)
