"""Stored images as the browsers of annotators can show them."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from holdfast.errors import IngestError

# What every browser shows, by Pillow's name. All else becomes PNG, which loses nothing.
_SHOWN = {
    "BMP": "image/bmp",
    "GIF": "image/gif",
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
}


def for_browsers(payload: bytes) -> tuple[bytes, str]:
    """Return an encoded image and its media type, converted to PNG where it has to be.

    Orientation from the camera is applied to what is converted, and 16 bits become 8, as
    for the model. Cost: a look at the header; a decode and an encode to convert.

    Raises
    ------
    IngestError
        If it cannot be decoded.
    """
    try:
        with Image.open(BytesIO(payload)) as opened:
            # A phone's MPO begins with a whole JPEG, which is all that browsers look at.
            kind = "JPEG" if opened.format == "MPO" else opened.format or ""
            if kind in _SHOWN:
                return payload, _SHOWN[kind]
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I;16"):
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            elif image.mode not in ("1", "L", "LA", "P", "RGB", "RGBA"):
                image = image.convert("RGBA" if image.has_transparency_data else "RGB")
            file = BytesIO()
            image.save(file, "PNG")
    except Exception as error:
        # Pillow's decoders raise whatever they stumble over.
        raise IngestError(
            f"a stored image of {len(payload)} bytes cannot be decoded ({error}); "
            "run `holdfast doctor` and ingest the file again"
        ) from error
    return file.getvalue(), _SHOWN["PNG"]
