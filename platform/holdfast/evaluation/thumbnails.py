"""Image files as small data URIs that fit into a page."""

from __future__ import annotations

import base64
import io

from PIL import Image, ImageOps, UnidentifiedImageError

SIDE = 192
TINY = 64


def data_uri(image: bytes) -> tuple[str, bool]:
    """Return a `data:` URI, and whether the image is so tiny that its pixels should show.

    Images above 192 pixels are made smaller, so a gallery of photographs stays small.
    Whatever Pillow cannot read gives an empty string.
    """
    try:
        with Image.open(io.BytesIO(image)) as opened:
            tiny = max(opened.size) <= TINY
            opened.draft(None, (2 * SIDE, 2 * SIDE))  # JPEG decodes small, and faster
            upright = ImageOps.exif_transpose(opened)
            gray = upright.mode in {"1", "L"}
            # By way of RGBA: a palette with transparency warns on its way to RGB.
            picture = upright.convert("L") if gray else upright.convert("RGBA").convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return "", False
    picture.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    if tiny:
        picture.save(buffer, "PNG")
    else:
        picture.save(buffer, "JPEG", quality=82)
    kind = "png" if tiny else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}", tiny
