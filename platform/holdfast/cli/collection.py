"""What the images of an ingest are like, as lines for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.cli.output import facts
from holdfast.data.report import CollectionFacts


def lines_about(images: CollectionFacts) -> list[str]:
    """Lay out the facts; no lines where there is no usable image."""
    if not images.num_usable:
        return []
    pairs = {
        "width": f"{images.width_mean:,.1f} px on average, deviation {images.width_deviation:,.1f}",
        "height": f"{images.height_mean:,.1f} px on average, deviation "
        f"{images.height_deviation:,.1f}",
        "shorter side": _parts(images.shorter_sides, " px"),
        "channels": _parts(images.channels),
        "formats": _parts(images.formats),
        "evened out": _parts(images.oddities) or "nothing",
        "corrupted": f"{images.corrupted_share:.1%} of the distinct files",
    }
    if images.label_consistency is not None:
        pairs["consistency"] = (
            f"{images.label_consistency:.1%} of the images that were labeled more than once "
            "have one class"
        )
    return ["", facts(pairs)]


def _parts(counts: Mapping[str, int], unit: str = "") -> str:
    return ", ".join(f"{name}{unit}: {number:,}" for name, number in counts.items())
