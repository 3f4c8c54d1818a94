"""Encoded bytes -> a usable image, or the reason to quarantine it."""

from __future__ import annotations

import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from holdfast.data.thumbnails import DECODED, thumbnail

# Pillow warns above its limit and raises above twice that; both end in quarantine
# here, so the warning would only repeat the reason.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

MIN_SIDE = 4
# Pillow's own limit: a decoded image of a quarter gigabyte.
MAX_PIXELS = 89_478_485
# A file beyond this is not read into memory at all.
MAX_BYTES = 512 * 2**20

# How the files of each format begin, and end in their names: Pillow tries every format it
# knows otherwise, which takes as long as decoding a small image.
_MAGIC = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"GIF8": "GIF", b"BM": "BMP"}
_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "MPO": (".mpo", ".jpg", ".jpeg"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "WEBP": (".webp",),
    "TIFF": (".tif", ".tiff"),
}
_ALL_SUFFIXES = frozenset(suffix for of_one in _SUFFIXES.values() for suffix in of_one)
_ORIENTATION = 0x0112

WRONG_NAME = "named as another format"
TURNED = "turned by its camera's note"


class Inspection(NamedTuple):
    """What the bytes hold.

    Attributes
    ----------
    width, height, channels : int
        As stored; 0 where the file could not be read that far.
    reason : str or None
        Why it must be kept aside and what to do about it; None when it is usable.
    format : str
        As Pillow calls it, "" where the file is no image: `JPEG`, `PNG`.
    oddities : tuple of str
        What reading it evens out: transparency (laid on white), CMYK, palette, 16 bits a
        channel, a camera's note to turn it; and a name that says another format.
    thumbnail : bytes
        See `data.thumbnails`; empty where none is wanted, or it is not usable.
    """

    width: int = 0
    height: int = 0
    channels: int = 0
    reason: str | None = None
    format: str = ""
    oddities: tuple[str, ...] = ()
    thumbnail: bytes = b""


def inspect(payload: bytes, name: str = "", *, describe: bool = False) -> Inspection:
    """Decode an image completely and say what it is.

    Parameters
    ----------
    payload : bytes
        The file as it came.
    name : str
        Its name, which may say another format than it has.
    describe : bool
        Whether a thumbnail is wanted.

    Returns
    -------
    Inspection
        `reason` is None when the image can be used.

    Examples
    --------
    >>> inspect(b"hello").reason
    'not an image (5 bytes); remove the file or convert it to JPEG or PNG'
    """
    if not payload:
        return Inspection(reason="the file is empty; copy or export it again")
    try:
        with Image.open(BytesIO(payload), formats=_formats(payload)) as image:
            said = (image.width, image.height, len(image.getbands()))
            reason, kind = _unusable(image), image.format or ""
            oddities: list[str] = []
            small = b""
            if reason is None:
                oddities = _oddities(image, name)
                # A reduced JPEG decode still reads every coded block, so it finds
                # the same damage at a quarter of the time.
                side = DECODED if describe else 1
                image.draft(None, (side, side))
                image.load()
                small = thumbnail(image) if describe else b""
            return Inspection(*said, reason, kind, tuple(oddities), small)
    except UnidentifiedImageError:
        return Inspection(
            reason=f"not an image ({len(payload)} bytes); "
            "remove the file or convert it to JPEG or PNG"
        )
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Inspection(reason=f"too large (over {MAX_PIXELS} pixels); scale or crop it first")
    except Exception as error:
        # Pillow's decoders raise whatever they stumble over: OSError, SyntaxError,
        # ValueError, struct.error, IndexError, EOFError and more.
        detail = " ".join(str(error).split())[:80] or type(error).__name__
        return Inspection(reason=f"corrupt or truncated ({detail}); copy or export it again")


def too_many_bytes(num_bytes: int) -> Inspection:
    """Say why a file is kept aside without a look inside."""
    return Inspection(
        reason=f"too large ({num_bytes / 2**20:,.0f} MiB, at most {MAX_BYTES // 2**20}); "
        "scale or crop it first"
    )


def num_threads() -> int:
    """Return how many threads decode: as many as there are cores, 16 at most."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(16, cores or 1)


def decoding_threads() -> ThreadPoolExecutor:
    """Return a pool of threads for reading and decoding; Pillow decodes outside the lock."""
    return ThreadPoolExecutor(max_workers=num_threads(), thread_name_prefix="decode")


def _unusable(image: Image.Image) -> str | None:
    """Say what a look at the header already rules out."""
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        return f"too small ({width}x{height}); images need {MIN_SIDE} pixels on each side"
    if width * height > MAX_PIXELS:
        return f"too large ({width}x{height}); scale or crop it first"
    frames = int(getattr(image, "n_frames", 1))
    # Phones store a preview as a second picture (MPO); the first is the photograph.
    if frames > 1 and image.format != "MPO":
        return f"animated or many pages ({frames} frames); export each frame as an image"
    # 32-bit pixels do not say which value is white.
    if image.mode in ("F", "I"):
        return f"pixels of type {image.mode}; convert it to 8 or 16 bits a channel"
    return None


def _formats(payload: bytes) -> tuple[str, ...] | None:
    """Return what the first bytes say it is; None leaves it to Pillow."""
    for magic, kind in _MAGIC.items():
        if payload.startswith(magic):
            return (kind,)
    return None


def _oddities(image: Image.Image, name: str) -> list[str]:
    """Say what reading will even out, by the header alone."""
    found = []
    kind = image.format or ""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122  # a Path costs 5 us
    if suffix in _ALL_SUFFIXES and suffix not in _SUFFIXES.get(kind, (suffix,)):
        found.append(WRONG_NAME)
    if image.mode.startswith("I;16"):
        found.append("16 bits a channel")
    elif image.mode in ("CMYK", "YCCK", "LAB", "HSV"):
        found.append(image.mode)
    elif image.mode in ("P", "PA"):
        found.append("palette")
    if image.has_transparency_data:
        found.append("transparency")
    if "exif" in image.info and image.getexif().get(_ORIENTATION, 1) != 1:
        found.append(TURNED)
    return found
