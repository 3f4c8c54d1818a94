"""Everything an update trains on, as bytes on the device, gathered by whole batches.

Shape suffixes: n samples, b samples of a batch, c channels, h rows, w columns, k classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from holdfast.learning.replay import Buffer
from holdfast.records import Floats, Ids


class Material:
    """The experience and the exemplars together, in rows.

    Parameters
    ----------
    merged : Buffer
        The buffer with the experience in it.
    new_ids : ndarray of int64, shape (M,)
        Sample ids of the experience.
    class_ids : sequence of int
        What each logit stands for; holds every label.

    Attributes
    ----------
    images_nchw : Tensor of uint8, shape (N, C, H, W)
        On the device.
    positions_n : ndarray of int64, shape (N,)
        Column of each label among the logits.
    trust_n : ndarray of float32, shape (N,)
        In [0, 1]; 0 is never drawn.
    new_n : ndarray of bool, shape (N,)
        Whether a row belongs to the experience.
    logits_nk : Tensor of float, shape (N, K)
        Answers remembered with exemplars, on the device; NaN where there is none.
    keys_n : ndarray of float64, shape (N,)
        As in `Buffer`.
    memory_rows : ndarray of int64, shape (M,)
        Rows the buffer holds, and replay draws from; it follows a stream.
    num_classes : int
        Logits, K.
    """

    def __init__(
        self, merged: Buffer, new_ids: Ids, class_ids: Sequence[int], device: torch.device
    ) -> None:
        known_k = np.array(class_ids, np.int64)
        order = np.argsort(known_k)
        self.device, self.num_classes = device, len(known_k)
        self.sample_ids_n: Ids = merged.sample_ids_n
        self.positions_n: Ids = order[np.searchsorted(known_k[order], merged.labels_n)]
        self.trust_n: Floats = merged.weights_n.copy()
        self.keys_n: NDArray[np.float64] = merged.keys_n
        self.new_n: NDArray[np.bool_] = np.isin(merged.sample_ids_n, new_ids)
        self.memory_rows: Ids = np.flatnonzero(~self.new_n)
        self.images_nchw = torch.from_numpy(merged.images_nchw).to(device)
        remembered = torch.full((len(merged), self.num_classes), torch.nan)
        remembered[:, : merged.logits_nk.shape[1]] = torch.from_numpy(merged.logits_nk)
        self.logits_nk = remembered.to(device)
        self._positions = torch.from_numpy(self.positions_n).to(device)

    def __len__(self) -> int:
        return len(self.positions_n)

    @property
    def counts_k(self) -> Tensor:
        """Trusted samples of each class, shape (K,), on the device: the sum of their trust."""
        counts = np.bincount(self.positions_n, self.trust_n, self.num_classes)
        return torch.tensor(counts, dtype=torch.float32, device=self.device)

    def pixels(self, rows_b: Tensor) -> Tensor:
        """Return images as floats in [0, 1], shape (B, C, H, W), on the device."""
        return self.images_nchw[rows_b].float() / 255

    def columns(self, rows_b: Tensor) -> Tensor:
        """Return the column of each row's label, int64 of shape (B,), on the device."""
        return self._positions[rows_b]

    def set_aside(self, rows_m: Ids) -> None:
        """Leave rows out of everything that is drawn from now on."""
        self.trust_n[rows_m] = 0
