"""Everything an update trains on, gathered by whole batches: bytes on the device, or streamed.

Shape suffixes: n rows, m of them, b rows of a batch, c channels, h rows of pixels, w columns of
pixels, k classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from holdfast.learning.replay import Buffer
from holdfast.learning.streaming import JoinedImages, ReadAhead
from holdfast.records import Floats, Ids, SyntheticMaterial


class Material:
    """The experience and the exemplars together, in rows, and synthetic images after them.

    Parameters
    ----------
    merged : Buffer
        The buffer with the experience in it. Images that are an array go to the device as a
        whole; of others only exemplars, and those told to `hold`, are in memory.
    new_ids : ndarray of int64, shape (M,)
        Sample ids of the experience.
    class_ids : sequence of int
        What each logit stands for; holds every label.
    synthetic : SyntheticMaterial or None
        Its rows come last, are new, and count only for what is drawn: `num_samples` rows are
        samples.

    Attributes
    ----------
    num_samples : int
        Rows below it are samples.
    positions_n : ndarray of int64, shape (N,)
        Column of each label among the logits.
    trust_n : ndarray of float32, shape (N,)
        In [0, 1]; 0 is never drawn.
    new_n : ndarray of bool, shape (N,)
        Whether a row belongs to the experience.
    logits_nk : Tensor of float, shape (N, K)
        Answers remembered with exemplars, on the device; NaN where there is none.
    sample_ids_m, keys_m : ndarray of int64, of float64, shape (num_samples,)
        As in `Buffer`.
    memory_rows : ndarray of int64, shape (M,)
        Rows the buffer holds, and replay draws from; it follows a stream.
    num_classes : int
        Logits, K.
    """

    def __init__(
        self,
        merged: Buffer,
        new_ids: Ids,
        class_ids: Sequence[int],
        device: torch.device,
        synthetic: SyntheticMaterial | None = None,
    ) -> None:
        known_k = np.array(class_ids, np.int64)
        order = np.argsort(known_k)
        self.device, self.num_classes = device, len(known_k)
        self.num_samples = len(merged)
        self.sample_ids_m: Ids = merged.sample_ids_n
        self.keys_m: NDArray[np.float64] = merged.keys_n
        self.positions_n: Ids = order[np.searchsorted(known_k[order], merged.labels_n)]
        self.trust_n: Floats = merged.weights_n.copy()
        self.new_n: NDArray[np.bool_] = np.isin(merged.sample_ids_n, new_ids)
        self._synthetic = torch.zeros(0)
        if synthetic is not None and len(synthetic.labels_m):
            drawn = order[np.searchsorted(known_k[order], synthetic.labels_m)]
            trust = _trust_of(drawn, self._masses_k(), synthetic.share)
            self.positions_n = np.concatenate([self.positions_n, drawn])
            self.trust_n = np.concatenate([self.trust_n, trust])
            self.new_n = np.concatenate([self.new_n, np.ones(len(drawn), bool)])
            self._synthetic = torch.from_numpy(synthetic.images_mchw).to(device)
        self.memory_rows: Ids = np.flatnonzero(~self.new_n)
        self._resident, self._streamed = torch.zeros(0), None
        if isinstance(merged.images_nchw, JoinedImages):
            self._streamed = ReadAhead(merged.images_nchw)
        else:
            self._resident = torch.from_numpy(merged.images_nchw[:]).to(device)
        remembered = torch.full((len(self), self.num_classes), torch.nan)
        remembered[: len(merged), : merged.logits_nk.shape[1]] = torch.from_numpy(merged.logits_nk)
        self.logits_nk = remembered.to(device)
        self._positions = torch.from_numpy(self.positions_n).to(device)

    def __len__(self) -> int:
        return len(self.positions_n)

    @property
    def counts_k(self) -> Tensor:
        """Trusted samples of each class, shape (K,), on the device: the sum of their trust."""
        return torch.tensor(self._masses_k(), dtype=torch.float32, device=self.device)

    @property
    def streams(self) -> bool:
        """Whether images are read as they are asked for."""
        return self._streamed is not None

    def images(self, rows_b: Tensor) -> Tensor:
        """Return images as bytes, shape (B, C, H, W), on the device; rows may be anywhere."""
        if not len(self._synthetic):
            return self._samples(rows_b)
        # On the side where `rows_b` lies: a GPU is not waited for.
        drawn_b = rows_b >= self.num_samples
        images = self._samples(rows_b.masked_fill(drawn_b, 0))
        drawn_b, rows_b = drawn_b.to(self.device), rows_b.to(self.device)
        others = self._synthetic[(rows_b - self.num_samples).clamp(min=0)]
        return torch.where(drawn_b[:, None, None, None], others, images)

    def _masses_k(self) -> NDArray[np.float64]:
        positions, trust = self.positions_n[: self.num_samples], self.trust_n[: self.num_samples]
        masses: NDArray[Any] = np.bincount(positions, trust, self.num_classes)
        return masses

    def _samples(self, rows_b: Tensor) -> Tensor:
        if self._streamed is None:
            return self._resident[rows_b.to(self.device)]
        return torch.from_numpy(self._streamed[rows_b.cpu().numpy()]).to(self.device)

    def pixels(self, rows_b: Tensor) -> Tensor:
        """Return images as floats in [0, 1], shape (B, C, H, W), on the device."""
        return self.images(rows_b).float() / 255

    def in_turn(self, rows_m: Ids, size: int) -> Iterator[Tensor]:
        """Yield images as bytes, on the device, `size` rows at a time."""
        parts = [rows_m[start : start + size] for start in range(0, len(rows_m), size)]
        for place, part in enumerate(parts):
            self.expect(parts[place : place + 2])
            yield self.images(torch.from_numpy(part))

    def expect(self, batches: Sequence[Ids]) -> None:
        """Begin to read what will be asked for next, where images are streamed."""
        if self._streamed is not None:
            # As `images` asks for them: the first row stands in for synthetic ones.
            self._streamed.expect([np.where(r < self.num_samples, r, 0) for r in batches])

    def hold(self, rows_m: Ids) -> None:
        """Have these rows in memory from now on, no longer others that were held before."""
        if self._streamed is not None:
            self._streamed.hold(rows_m)

    def close(self) -> None:
        """Stop reading; nothing can be asked for afterwards where images are streamed."""
        if self._streamed is not None:
            self._streamed.close()

    def columns(self, rows_b: Tensor) -> Tensor:
        """Return the column of each row's label, int64 of shape (B,), on the device."""
        return self._positions[rows_b]

    def set_aside(self, rows_m: Ids) -> None:
        """Leave rows out of everything that is drawn from now on."""
        self.trust_n[rows_m] = 0


def _trust_of(drawn_m: Ids, counts_k: NDArray[np.float64], share: float) -> Floats:
    """Return the trust with which synthetic images make up a share of what is drawn of a class.

    1 at most: few images stay below the share rather than be drawn more often than samples.
    """
    num_k = np.bincount(drawn_m, minlength=len(counts_k))
    trust_k = share / (1 - share) * counts_k / np.maximum(num_k, 1)
    trust: Floats = trust_k.clip(max=1).astype(np.float32)[drawn_m]
    return trust
