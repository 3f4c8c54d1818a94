from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from holdfast.annotation.browser_images import for_browsers
from holdfast.data.stream import decode
from holdfast.errors import IngestError

PIXELS = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)


def encoded(image: Image.Image, kind: str) -> bytes:
    file = BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_image_browsers_know_goes_out_as_it_came(kind: str) -> None:
    payload = encoded(Image.fromarray(PIXELS), kind)
    assert for_browsers(payload) == (payload, f"image/{kind.lower()}")


@pytest.mark.parametrize("kind", ["TIFF", "PPM", "TGA"])
def test_other_image_becomes_a_png_of_the_same_pixels(kind: str) -> None:
    shown, media_type = for_browsers(encoded(Image.fromarray(PIXELS), kind))
    assert media_type == "image/png"
    with Image.open(BytesIO(shown)) as image:
        assert image.format == "PNG"
        np.testing.assert_array_equal(np.asarray(image), PIXELS)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "LAB", "I;16"])
def test_pixels_of_any_kind_are_shown_as_the_model_sees_them(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)
    else:
        image = Image.fromarray(PIXELS).convert(mode)
    payload = encoded(image, "TIFF")
    shown, _ = for_browsers(payload)
    np.testing.assert_array_equal(decode([shown], 8, 3), decode([payload], 8, 3))


def test_orientation_from_the_camera_is_applied() -> None:
    image = Image.fromarray(PIXELS[:4])
    exif = image.getexif()
    exif[0x0112] = 6
    file = BytesIO()
    image.save(file, "TIFF", exif=exif)
    shown, _ = for_browsers(file.getvalue())
    with Image.open(BytesIO(shown)) as upright:
        assert upright.size == (4, 8)
        np.testing.assert_array_equal(np.asarray(upright), np.rot90(PIXELS[:4], -1))


def test_image_that_is_none_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(IngestError, match="cannot be decoded"):
        for_browsers(b"not an image")
