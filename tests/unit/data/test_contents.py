"""Digests of pixels follow what is shown, not the file it is in."""

import io

import numpy as np
import pytest
from PIL import Image

from holdfast.data.contents import pixel_digests


def encoded(image, kind="PNG", **settings):
    file = io.BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


@pytest.fixture
def picture():
    pixels = np.random.default_rng(0).integers(0, 256, (12, 9, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_digest_is_that_of_the_decoded_pixels(picture):
    jpeg = encoded(picture, "JPEG", quality=70)
    with Image.open(io.BytesIO(jpeg)) as opened:
        png = encoded(opened)
    found = pixel_digests([jpeg, png, encoded(picture), encoded(picture, compress_level=0)])
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert found[0] != found[2]


def test_digest_of_gray_is_that_of_its_copy_in_color(picture):
    gray = picture.convert("L")
    assert len(set(pixel_digests([encoded(gray), encoded(gray.convert("RGB"))]))) == 1


def test_digest_applies_the_orientation_of_the_camera(picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = encoded(picture, exif=exif)
    assert len(set(pixel_digests([turned, encoded(picture.rotate(-90, expand=True))]))) == 1


def test_digest_tells_shapes_and_depths_apart():
    flat = np.zeros((4, 9), np.uint8)
    deep = np.full((4, 9), 700, np.uint16)
    images = [flat, flat.reshape(9, 4), flat.reshape(6, 6), deep, deep + 1]
    assert len(set(pixel_digests([encoded(Image.fromarray(one)) for one in images]))) == 5


def test_digest_of_one_pixel_more_differs(picture):
    other = picture.copy()
    other.putpixel((3, 3), (1, 2, 3))
    first, second = pixel_digests([encoded(picture), encoded(other)])
    assert first != second


def test_no_images_have_no_digests():
    assert pixel_digests([]).shape == (0,)
