"""How an image looks, in few numbers: near-duplicates have nearly the same.

Shape suffixes: n images, s rows or columns of a thumbnail, f frequencies, d numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from holdfast.data.integrity import decoding_threads
from holdfast.data.thumbnails import DECODED, SIDE, thumbnail
from holdfast.records import Floats

# Names the numbers below in the store of embeddings; another way to make them needs another.
STORED_AS = "appearance-1"
# Of the cosines of brightness: detail finer than 4 of 16 pixels differs between copies.
FREQUENCIES = 8
_COLORS = 3
DIMENSIONS = FREQUENCIES**2 + 2 * _COLORS**2
# Deviation of brightness, of 255, below which an image shows too little to be told from others.
FLAT = 4.0
# Levels of color that weigh as much as one deviation of brightness.
_COLOR_SCALE = 40.0
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_BLUE, _RED = np.float32(0.564), np.float32(0.713)


def cosines(at_s: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the orthonormal cosines of a thumbnail's rows, and their slopes, anywhere on them.

    Parameters
    ----------
    at_s : ndarray of float64, shape (..., S)
        Places in pixels; 0 is the middle of the first.

    Returns
    -------
    values, slopes : ndarray of float64, shape (..., S, FREQUENCIES)

    References
    ----------
    .. [1] Ahmed, Natarajan and Rao, "Discrete Cosine Transform", IEEE Transactions on
       Computers, 1974.
    """
    turns_f = np.pi * np.arange(FREQUENCIES) / SIDE
    norms_f = np.sqrt(np.where(turns_f == 0, 1.0, 2.0) / SIDE)
    phase = turns_f * (at_s[..., None] + 0.5)
    return norms_f * np.cos(phase), -norms_f * turns_f * np.sin(phase)


_BASIS_SF: Floats = cosines(np.arange(SIDE, dtype=np.float64))[0].astype(np.float32)


def appearances(thumbnails: Sequence[bytes]) -> NDArray[np.float16]:
    """Return how images look, shape (N, DIMENSIONS): near in Euclidean distance if alike.

    The lower frequencies of brightness, freed from its mean and deviation (so that a brighter
    copy has the same), then those of color. Zeros where an image is nearly flat, or the
    thumbnail is empty: it is like no other.

    Parameters
    ----------
    thumbnails : sequence of bytes, length N
        From `thumbnail`.
    """
    pixels = np.zeros((len(thumbnails), SIDE, SIDE, 3), np.float32)
    for row, one in enumerate(thumbnails):
        if one:
            pixels[row] = np.frombuffer(one, np.uint8).reshape(SIDE, SIDE, -1)
    luma_nss: Floats = np.asarray(pixels @ _LUMA, np.float32)
    deviation_n = luma_nss.std(axis=(1, 2))
    light_nss: Floats = luma_nss - luma_nss.mean(axis=(1, 2), keepdims=True)
    light_nss /= np.maximum(deviation_n, FLAT)[:, None, None] * SIDE
    parts = [_frequencies(light_nss, FREQUENCIES)]
    for channel, share in ((2, _BLUE), (0, _RED)):
        color_nss = (pixels[..., channel] - luma_nss) * (share / (_COLOR_SCALE * SIDE))
        parts.append(_frequencies(color_nss, _COLORS))
    found = np.concatenate(parts, axis=1)
    found[deviation_n < FLAT] = 0.0
    return found.astype(np.float16)


def appearances_of(payloads: Sequence[bytes]) -> NDArray[np.float16]:
    """Return how encoded images that ingest accepted look. Cost: a reduced decode of each."""
    with decoding_threads() as threads:
        return appearances(list(threads.map(_thumbnail_of, payloads)))


def _thumbnail_of(payload: bytes) -> bytes:
    with Image.open(BytesIO(payload)) as image:
        image.draft(None, (DECODED, DECODED))
        image.load()
        return thumbnail(image)


def _frequencies(values_nss: Floats, number: int) -> Floats:
    basis_sf = _BASIS_SF[:, :number]
    found = np.asarray(basis_sf.T @ values_nss @ basis_sf, np.float32)
    return found.reshape(len(values_nss), number**2)
