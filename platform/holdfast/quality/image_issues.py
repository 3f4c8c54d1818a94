"""Pictures that are dark, light, blurry, odd or empty; the home of CleanVision.

Shape suffixes: n images, p properties.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from holdfast.records import Floats

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of optional parts it cannot import
    import pandas as pd  # type: ignore[import-untyped]  # ships no types
    from cleanvision.issue_managers.image_property_issue_manager import (
        ImagePropertyIssueManager,
    )

# CleanVision's own names, which are Holdfast's kinds of findings as well.
KINDS = (
    "dark",
    "light",
    "blurry",
    "low_information",
    "odd_size",
    "odd_aspect_ratio",
    "grayscale",
)
# What CleanVision measures of one image, in the order of the columns; a gray image has 0 as
# its number of colors.
PROPERTIES = (
    "brightness_perc_99",
    "brightness_perc_5",
    "blurriness",
    "blurriness_grayscale_std",
    "entropy",
    "size",
    "aspect_ratio",
    "color_space",
)
# Name under which measures are kept. INVARIANT: it changes with whatever is measured, or old
# numbers would be read as new ones.
STORED_AS = "image-properties-1"
# Brightness and entropy of a larger picture are those of its reduction to this many pixels a
# side: a 12-megapixel photograph would take half a gigabyte and seconds otherwise.
MOST_SIDE = 1024
# What holds for more than half of the pictures is how this set is, not a flaw of some
# (CleanVision's own limit in its reports).
MOST_PREVALENT = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageIssue:
    """One kind of flaw among all images.

    Attributes
    ----------
    scores_n : ndarray of float64, shape (N,)
        In [0, 1]; low = suspect. Comparable within a kind only.
    flagged_n : ndarray of bool, shape (N,)
        All false where the flaw is what the set looks like; see `prevalence`.
    prevalence : float
        Share of images that CleanVision flags, in [0, 1].
    """

    scores_n: NDArray[np.float64]
    flagged_n: NDArray[np.bool_]
    prevalence: float


def measure(payloads: Sequence[bytes], threads: Executor | None = None) -> Floats:
    """Measure encoded images as they came, not as they are scaled for the network.

    Parameters
    ----------
    payloads : sequence of bytes, length N
        Anything Pillow reads and ingest accepted. Palettes and transparency become color on
        white, 16 bits become 8.
    threads : Executor, optional
        Decodes and measures several at once.

    Returns
    -------
    ndarray of float32, shape (N, P)
        Columns as in `PROPERTIES`. Cost: one full decode of each image; memory is that of
        one decoded image a thread.
    """
    rows = map(_measure_one, payloads) if threads is None else threads.map(_measure_one, payloads)
    return np.array(list(rows), np.float32).reshape(len(payloads), len(PROPERTIES))


def image_issues(properties_np: Floats) -> Mapping[str, ImageIssue]:
    """Say which images have which flaw, by CleanVision's scores and thresholds.

    Whether a size is odd depends on the sizes of all, the others on the image alone.
    Time O(n log n).

    Parameters
    ----------
    properties_np : ndarray of float32, shape (N, P)
        From `measure`.

    Returns
    -------
    mapping of str to ImageIssue
        For each of `KINDS`; empty for no images.
    """
    if not len(properties_np):
        return {}
    measured = pd.DataFrame(properties_np.astype(np.float64), columns=list(PROPERTIES))
    measured["color_space"] = np.where(properties_np[:, -1] == 0, "L", "RGB")
    manager = ImagePropertyIssueManager()
    manager.issues = pd.DataFrame(index=measured.index)
    manager.update_issues(measured, list(KINDS))
    found = {}
    for kind in KINDS:
        flagged = manager.issues[f"is_{kind}_issue"].to_numpy(dtype=np.bool_)
        prevalence = float(flagged.mean())
        found[kind] = ImageIssue(
            scores_n=manager.issues[f"{kind}_score"].to_numpy(dtype=np.float64),
            flagged_n=flagged if prevalence <= MOST_PREVALENT else np.zeros_like(flagged),
            prevalence=prevalence,
        )
    return found


_MEASURES = tuple(
    ImagePropertyIssueManager().image_properties[kind].calculate
    for kind in ("dark", "low_information", "blurry")
)


def _measure_one(payload: bytes) -> list[float]:
    with Image.open(BytesIO(payload)) as opened:
        width, height = opened.size
        # Lets JPEG decode at 1/2, 1/4 or 1/8 where that is still large enough.
        opened.draft(None, (MOST_SIDE, MOST_SIDE))
        image = _plain(opened)
    image.thumbnail((MOST_SIDE, MOST_SIDE), Image.Resampling.BOX)
    said: dict[str, float | str] = {
        "size": float(np.sqrt(width) * np.sqrt(height)),
        "aspect_ratio": min(width / height, height / width),
        "color_space": 0.0 if image.mode == "L" else 3.0,
    }
    for calculate in _MEASURES:
        said |= calculate(image)
    return [float(said[name]) for name in PROPERTIES]


def _plain(opened: Image.Image) -> Image.Image:
    """Return the picture in one of the two modes that CleanVision's formulas are made for."""
    image = opened
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        gray = image.mode in {"LA", "La"}
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
        return image.convert("L" if gray else "RGB")
    return image.convert("L" if image.mode in {"1", "L"} else "RGB")
