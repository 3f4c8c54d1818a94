"""What one ingest did, and what the images of it are like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast.data.settled_files import SettledFiles


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file that was not taken as offered, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CollectionFacts:
    """What the distinct contents of an ingest are like; known ones included.

    Attributes
    ----------
    num_contents, num_usable : int
        Distinct contents, and those that are usable images. The rest counts these.
    corrupted_share : float
        Contents in quarantine among all, in [0, 1]; high is bad.
    width_mean, width_deviation, height_mean, height_deviation : float
        In pixels, the deviation of the population; 0.0 without an image.
    shorter_sides : mapping of str to int
        Images by the shorter of their sides, in pixels, as `32-63`; ascending.
    channels, formats, oddities : mapping of str to int
        `3`: color, `1`: gray or palette, `4`: transparency or CMYK. As Pillow names formats.
        Oddities are what reading evens out; see `integrity.Inspection`.
    label_consistency : float or None
        Of the contents that were labeled more than once, the share on whose class all
        agree, in [0, 1]; low is bad. None where there are none.
    """

    num_contents: int = 0
    num_usable: int = 0
    corrupted_share: float = 0.0
    width_mean: float = 0.0
    width_deviation: float = 0.0
    height_mean: float = 0.0
    height_deviation: float = 0.0
    shorter_sides: Mapping[str, int] = field(default_factory=dict)
    channels: Mapping[str, int] = field(default_factory=dict)
    formats: Mapping[str, int] = field(default_factory=dict)
    oddities: Mapping[str, int] = field(default_factory=dict)
    label_consistency: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NearDuplicateFacts:
    """What an ingest kept on one side of the split because it looks the same.

    Attributes
    ----------
    num_groups, num_images, largest_group : int
        Groups with an offered image, the images in them, and in the largest; those that were
        in the ledger included.
    num_across : int
        Pairs that stand on two sides, because the source or an earlier ingest put them there.
        An audit moves the training side of the clear ones out.
    """

    num_groups: int = 0
    num_images: int = 0
    largest_group: int = 0
    num_across: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestReport:
    """What one ingest did.

    Attributes
    ----------
    num_offered : int
        Files looked at = added + known + duplicates + quarantined.
    num_added, num_known : int
        New samples, and images that the ledger had already.
    num_duplicates : int
        Files with the same bytes as an earlier one of this ingest.
    num_labeled : int
        Label events added; several annotators may speak about one sample.
    num_answers : int
        Answers added: what named annotators said.
    num_holdout : int
        Samples that this ingest put into the holdout.
    classes_added : tuple of str
    quarantined : tuple of SetAside
        Files that cannot be used; one row each in the ledger.
    conflicts : tuple of SetAside
        Given labels that contradict another one of the same image in this ingest, and
        were not used. Each is a finding in the ledger.
    """

    num_offered: int
    num_added: int
    num_known: int
    num_duplicates: int
    num_labeled: int
    num_answers: int
    num_holdout: int
    classes_added: tuple[str, ...]
    quarantined: tuple[SetAside, ...]
    conflicts: tuple[SetAside, ...]
    images: CollectionFacts = field(default_factory=CollectionFacts)
    near_duplicates: NearDuplicateFacts = field(default_factory=NearDuplicateFacts)
    dry_run: bool = False


_USABLE = "FROM place JOIN file USING (position) WHERE reason IS NULL"


def describe(files: SettledFiles) -> CollectionFacts:
    """Sum up what was found, inside the table. Cost: a few passes."""
    ((num_contents,),) = files.rows("SELECT count(*) FROM place")
    ((num_usable, width, width_2, height, height_2),) = files.rows(
        "SELECT count(*), avg(width), avg(width * 1.0 * width), avg(height), "
        f"avg(height * 1.0 * height) {_USABLE}"
    )
    if not num_usable:
        return CollectionFacts(
            num_contents=num_contents, corrupted_share=1.0 if num_contents else 0.0
        )
    sides: dict[int, int] = {}
    for side, number in files.rows(f"SELECT min(width, height), count(*) {_USABLE} GROUP BY 1"):
        sides[side.bit_length()] = sides.get(side.bit_length(), 0) + number
    oddities: dict[str, int] = {}
    for joined, number in files.rows(
        f"SELECT oddities, count(*) {_USABLE} AND oddities <> '' GROUP BY 1"
    ):
        for oddity in joined.split(";"):
            oddities[oddity] = oddities.get(oddity, 0) + number
    ((several, agreeing),) = files.rows(
        "SELECT count(*), sum(classes = 1) FROM (SELECT count(DISTINCT label) AS classes "
        "FROM file WHERE label IS NOT NULL AND reason IS NULL GROUP BY uid HAVING count(*) > 1)"
    )
    return CollectionFacts(
        num_contents=num_contents,
        num_usable=num_usable,
        corrupted_share=1 - num_usable / num_contents,
        width_mean=width,
        width_deviation=math.sqrt(max(0.0, width_2 - width * width)),
        height_mean=height,
        height_deviation=math.sqrt(max(0.0, height_2 - height * height)),
        shorter_sides={f"{2 ** (b - 1)}-{2**b - 1}": sides[b] for b in sorted(sides)},
        channels=_counted(files, "channels"),
        formats=_counted(files, "format"),
        oddities=dict(sorted(oddities.items())),
        label_consistency=agreeing / several if several else None,
    )


def _counted(files: SettledFiles, column: str) -> dict[str, int]:
    """Count the usable images by a column, the most frequent first."""
    rows = files.rows(f"SELECT {column}, count(*) {_USABLE} GROUP BY 1 ORDER BY 2 DESC, 1")
    return {str(value): number for value, number in rows}
