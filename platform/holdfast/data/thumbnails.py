"""A decoded image -> the few pixels by which near-duplicates are found."""

from __future__ import annotations

import numpy as np
from PIL import Image

SIDE = 16
# Rows by which a JPEG is decoded before it is averaged: a reduced one costs an eighth.
DECODED = 2 * SIDE
_ORIENTATION = 0x0112
# What turns the picture as the camera's note says: transpose first, then flip rows, columns.
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def thumbnail(image: Image.Image) -> bytes:
    """Return a loaded image as SIDE × SIDE pixels: one byte each where it is gray, else three.

    Transparency becomes white, 16 bits become 8, and the camera's note is followed, as when
    it is read to learn from.
    """
    note = image.getexif().get(_ORIENTATION, 1) if "exif" in image.info else 1
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        layer = image.convert("RGBA").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    image = image if image.mode == "L" else image.convert("RGB")
    image = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    if note not in _TURNS:
        return image.tobytes()
    transposed, rows, columns = _TURNS[note]
    pixels = np.asarray(image)
    pixels = pixels.swapaxes(0, 1) if transposed else pixels
    return pixels[:: -1 if rows else 1, :: -1 if columns else 1].tobytes()
