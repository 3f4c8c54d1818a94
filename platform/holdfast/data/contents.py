"""What images show, pixel for pixel, whatever file they came in."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from holdfast.data.integrity import decoding_threads

_BYTES = 16


def pixel_digests(payloads: Sequence[bytes]) -> NDArray[np.bytes_]:
    """Return a digest of each image's pixels: equal where two pictures are the same.

    A PNG made of a JPEG has the digest of the JPEG, and a gray image that of its copy in
    color. Orientation from the camera is applied.

    Parameters
    ----------
    payloads : sequence of bytes, length N
        Encoded images that ingest accepted.

    Returns
    -------
    ndarray of bytes, shape (N,)
        32 hexadecimal digits each. Cost: one full decode of each, by threads.
    """
    if not len(payloads):
        return np.zeros(0, f"S{2 * _BYTES}")
    with decoding_threads() as threads:
        return np.array(list(threads.map(_digest, payloads)), f"S{2 * _BYTES}")


def _digest(payload: bytes) -> str:
    with Image.open(BytesIO(payload)) as opened:
        image = ImageOps.exif_transpose(opened)
        # Pillow would cut 16 bits off at 255 instead of scaling them.
        deep = image.mode.startswith("I;16")
        pixels = np.asarray(image).tobytes() if deep else image.convert("RGBA").tobytes()
    shape = f"{image.width}x{image.height}{'x16' if deep else ''}:".encode()
    return hashlib.blake2b(shape + pixels, digest_size=_BYTES).hexdigest()
