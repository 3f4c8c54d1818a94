"""Near-duplicates among the images of an ingest -> groups, before any of them is held out.

Shape suffixes: m images that are offered, d numbers of an appearance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from holdfast.data.appearance import DIMENSIONS
from holdfast.data.examined_files import ExaminedFiles
from holdfast.data.splits import HOLDOUT, TRAIN, UNDECIDED

_SIDES = {"": UNDECIDED, "train": TRAIN, "holdout": HOLDOUT}


@dataclass(frozen=True, kw_only=True, slots=True)
class Offered:
    """The usable images of an ingest, each content once.

    Attributes
    ----------
    uids : sequence of str, length M
    appearances_md : ndarray of float16, shape (M, D)
        From `data.appearance`.
    groups : sequence of str or None, length M
        As the source says.
    sides_m : ndarray of int8, shape (M,)
        TRAIN or HOLDOUT where the source says so, of an image or of its group.
    """

    uids: Sequence[str]
    appearances_md: NDArray[np.float16]
    groups: Sequence[str | None]
    sides_m: NDArray[np.int8]


@dataclass(frozen=True, kw_only=True, slots=True)
class Together:
    """What is kept on one side of the split because it looks the same.

    Attributes
    ----------
    group_of : mapping of str to str
        Group by uid, for offered images whose source names none.
    regrouped : mapping of str to tuple of int
        Ids of samples in the ledger that get a group, by its name.
    num_groups, num_images, largest_group : int
        Groups with an offered image, the images in them, and in the largest; those in the
        ledger included.
    num_across : int
        Pairs that the source or the ledger puts on two sides.
    """

    group_of: Mapping[str, str] = field(default_factory=dict)
    regrouped: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    num_groups: int = 0
    num_images: int = 0
    largest_group: int = 0
    num_across: int = 0


class NearDuplicates(Protocol):
    """Finds what looks the same, among the offered images and those in the ledger."""

    def together(self, offered: Offered, *, keep: bool) -> Together:
        """Return the groups to keep together.

        Parameters
        ----------
        keep : bool
            Whether what has to be found out about the ledger's images is kept for the next
            time; the groups are written by nobody here.
        """
        ...

    def remember(self, offered: Offered) -> None:
        """Keep how images look for the next time."""
        ...


def read_offered(files: ExaminedFiles) -> Offered:
    """Return the usable contents of an ingest, by uid."""
    uids: list[str] = []
    groups: list[str | None] = []
    looks, sides = bytearray(), bytearray()
    # Column by column at once: a million rows of Python take a gigabyte.
    for uid, look, group, split in files.usable():
        uids.append(uid)
        groups.append(group)
        looks += look
        sides.append(_SIDES[split] & 0xFF)
    return Offered(
        uids=uids,
        appearances_md=np.frombuffer(looks, np.float16).reshape(-1, DIMENSIONS),
        groups=groups,
        sides_m=np.frombuffer(sides, np.int8),
    )
