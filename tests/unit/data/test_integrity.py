from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from holdfast.data import integrity
from holdfast.data.integrity import inspect


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width: int = 64, height: int = 48, mode: str = "RGB") -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize(
    ("mode", "kind", "channels"),
    [
        ("RGB", "JPEG", 3),
        ("L", "JPEG", 1),
        ("CMYK", "JPEG", 4),
        ("RGBA", "PNG", 4),
        ("P", "GIF", 1),
        ("RGB", "WEBP", 3),
        ("RGB", "BMP", 3),
        ("1", "PNG", 1),
    ],
)
def test_inspect_usable_image_returns_its_size(mode, kind, channels):
    found = inspect(encoded(noise(mode=mode), kind))
    assert (found.width, found.height, found.channels, found.reason) == (64, 48, channels, None)


def test_inspect_sixteen_bit_gray_is_usable():
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000
    assert inspect(encoded(Image.fromarray(pixels))).reason is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_inspect_truncated_image_is_corrupt(kind, kept):
    payload = encoded(noise(), kind)
    assert "corrupt or truncated" in (inspect(payload[: int(len(payload) * kept)]).reason or "")


def test_inspect_damaged_png_is_corrupt():
    payload = bytearray(encoded(noise()))
    payload[len(payload) // 2] ^= 0xFF
    assert "copy or export it again" in (inspect(bytes(payload)).reason or "")


@pytest.mark.parametrize("payload", [b"hello", b"\x00" * 100, b"%PDF-1.4 nothing"])
def test_inspect_other_bytes_are_not_an_image(payload):
    assert (inspect(payload).reason or "").startswith(f"not an image ({len(payload)} bytes)")


def test_inspect_empty_file_says_so():
    assert "empty" in (inspect(b"").reason or "")


def test_inspect_tiny_image_is_too_small():
    assert (inspect(encoded(noise(3, 40))).reason or "").startswith("too small (3x40)")


# pytest undoes the filter of the module under test.
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("times", [1, 3])
def test_inspect_huge_image_is_too_large(monkeypatch, times):
    # Pillow warns above its own limit and raises above twice that.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 // times - 1)
    monkeypatch.setattr(integrity, "MAX_PIXELS", 64 * 48 // times - 1)
    assert (inspect(encoded(noise())).reason or "").startswith("too large")


def test_inspect_animation_is_refused():
    frames = [noise(16, 16), noise(16, 16).rotate(90)]
    payload = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert "2 frames" in (inspect(payload).reason or "")


def test_inspect_floating_point_image_is_refused():
    payload = encoded(Image.fromarray(np.ones((8, 8), dtype=np.float32)), "TIFF")
    assert "pixels of type F" in (inspect(payload).reason or "")
