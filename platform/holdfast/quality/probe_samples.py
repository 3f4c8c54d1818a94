"""What a probe learns from: samples of one fold at a time, centered, held or read again.

Shape suffixes: n samples, m samples of a block, d embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from holdfast.records import Floats, Ids

# Embeddings up to this many bytes are held as a centered copy; larger ones are read again,
# a block at a time, on every pass.
HELD_BYTES = 1 << 30
_BLOCK = 16_384  # rows read at once, fewer where folds times classes are many
_BLOCK_LOGITS = 1 << 24


@dataclass(frozen=True, slots=True)
class Block:
    """Samples of one fold: their rows, and what the probe takes of them."""

    fold: int
    rows: Ids
    embeddings_md: Tensor
    columns_m: Tensor
    weights_m: Tensor


class Blocks:
    """Samples block by block, held where they fit and read again where they do not."""

    def __init__(self, samples: Samples, rows: Ids | None, stride: int) -> None:
        self.stride = stride
        self._samples, self._rows = samples, rows
        num = samples.num if rows is None else len(rows)
        fits = 4 * num * samples.num_dimensions <= HELD_BYTES
        self._held = list(self._read()) if fits else None

    def __iter__(self) -> Iterator[Block]:
        return iter(self._held) if self._held is not None else self._read()

    def _read(self) -> Iterator[Block]:
        samples = self._samples
        size = _BLOCK_LOGITS // (samples.num_folds * samples.num_classes)
        size = max(256, min(_BLOCK, size))
        rows = np.arange(samples.num) if self._rows is None else self._rows
        for first in range(0, len(rows), size):
            yield from samples.read(rows[first : first + size], self.stride)


class Samples:
    """What is learned from, checked and centered."""

    def __init__(
        self,
        columns_n: Ids,
        embeddings_nd: Floats,
        mean_d: Floats,
        folds_n: Ids,
        weights_n: Floats,
        device: torch.device,
    ) -> None:
        self.columns_n, self.folds_n, self.weights_n = columns_n, folds_n, weights_n
        self.device = device
        self.num = len(columns_n)
        self.num_classes, self.num_folds = int(columns_n.max()) + 1, int(folds_n.max()) + 1
        self._embeddings_nd = embeddings_nd
        self.num_dimensions = embeddings_nd.shape[1]
        # The intercept is free, so that centering changes no probability; it keeps float32
        # exact where a feature lies far from zero.
        self._mean_d = mean_d

    def blocks(self) -> Blocks:
        """Return all samples."""
        return Blocks(self, None, 1)

    def part(self, share: int, least: int) -> Blocks:
        """Return one in `share` of each class and fold, or `least` in all if that is more."""
        stride = max(1, min(share, self.num // least))
        order = np.lexsort((self.columns_n, self.folds_n))[stride // 2 :: stride]
        return Blocks(self, np.sort(order), stride)

    def read(self, rows: Ids, stride: int) -> Iterator[Block]:
        """Give the blocks of some ascending rows, one per fold."""
        # A slice of a memory map is one read, rows by index are many.
        whole = slice(int(rows[0]), int(rows[-1]) + 1)
        dense = whole.stop - whole.start == len(rows)
        taken = self._embeddings_nd[whole] if dense else self._embeddings_nd[rows]
        for fold in range(self.num_folds):
            mine = np.flatnonzero(self.folds_n[rows] == fold)
            if not len(mine):
                continue
            centered = taken[mine].astype(np.float32, copy=False) - self._mean_d
            here = rows[mine]
            yield Block(
                fold,
                here,
                torch.from_numpy(centered).to(self.device),
                torch.from_numpy(self.columns_n[here]).to(self.device),
                torch.from_numpy(self.weights_n[here] * np.float32(stride)).to(self.device),
            )


def in_their_span(centered_nd: Floats) -> Floats:
    """Return coordinates of fewer samples than dimensions in the space they span.

    The penalty is the same in every direction, so weights never leave that space: the
    probabilities stay as they are and D becomes N.
    """
    centered = centered_nd.astype(np.float64)
    squares_n, axes_nn = np.linalg.eigh(centered @ centered.T)
    coordinates: Floats = (axes_nn * np.sqrt(np.maximum(squares_n, 0.0))).astype(np.float32)
    return coordinates


def finite_sum(embeddings_nd: Floats) -> NDArray[np.float64]:
    """Return the sum over samples; ValueError where one is not finite."""
    total_d = np.zeros(embeddings_nd.shape[1])
    for first in range(0, len(embeddings_nd), _BLOCK):
        block_md = embeddings_nd[first : first + _BLOCK]
        sum_d = block_md.sum(axis=0, dtype=np.float64)
        if not np.isfinite(sum_d).all():
            row, column = np.argwhere(~np.isfinite(block_md))[0].tolist()
            raise ValueError(
                f"embeddings should be finite, but row {first + row} has "
                f"{block_md[row, column]} in dimension {column}; embed the sample again, or "
                "leave it out"
            )
        total_d += sum_d
    return total_d
