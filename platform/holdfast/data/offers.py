"""Images offered for ingest, each with what its source says about it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from holdfast.errors import IngestError
from holdfast.store.locations import read_location

Split = Literal["train", "holdout", ""]


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """What one person said about an image, where its source knows each of them.

    Attributes
    ----------
    key : str
        Names the statement, for all time and all sources: offered again, it is the same one.
    answer_id, updated_at : str
        Name the answer behind it for all time and all sources, and its newest edit; where the
        source has no such thing, the statement is the answer.
    comment : str
    seconds : float or None
        How long it took.
    answered_at : str or None
        When it was given, ISO 8601.
    """

    label: str
    annotator: str
    key: str
    answer_id: str = ""
    updated_at: str = ""
    comment: str = ""
    seconds: float | None = None
    answered_at: str | None = None

    @classmethod
    def unpacked(cls, values: Sequence[Any]) -> Statement:
        """Return the statement that `packed` gave the values of."""
        return cls(**dict(zip(cls.__dataclass_fields__, values, strict=False)))

    @property
    def packed(self) -> list[str | float | None]:
        """The values of its fields in their order, for JSON; the class first."""
        return [getattr(self, name) for name in self.__dataclass_fields__]


@dataclass(frozen=True, kw_only=True, slots=True)
class OfferedImage:
    """One file, or one array's bytes, with what its source says about it.

    Attributes
    ----------
    name : str
        Where it came from, for people: a path, or an index.
    payload : bytes or None
        Its bytes; None: read them from `name`.
    label, group, annotator : str or None
    split : str
        `train`, `holdout`, or "" where the source leaves the choice open.
    statements : tuple of Statement
        What people said, besides `label`.
    stamp : str or None
        Changes when the bytes do: size and time of a file. None where nothing tells.
    """

    name: str
    payload: bytes | None = None
    label: str | None = None
    group: str | None = None
    split: Split = ""
    annotator: str | None = None
    statements: tuple[Statement, ...] = ()
    stamp: str | None = None

    def read(self) -> bytes:
        """Return the bytes."""
        return read_location(self.name) if self.payload is None else self.payload


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Everything one ingest offers.

    Attributes
    ----------
    name : str
        Where it comes from, for messages.
    num_images : int
        Files to look at; not all need to be images.
    labels : tuple of str
        Classes it names, in the order in which they get their ids.
    images : callable
        Starts a pass over the files, in the same order each time.
    by_name : bool
        Whether each image is a file of its own, found by its name: only such can be kept
        by reference.
    remote : bool
        Whether the files are behind a URL.
    """

    name: str
    num_images: int
    labels: tuple[str, ...]
    images: Callable[[], Iterator[OfferedImage]]
    by_name: bool = False
    remote: bool = False


def from_memory(
    payloads: Sequence[bytes],
    *,
    labels: Sequence[str | None] | None = None,
    groups: Sequence[str | None] | None = None,
    splits: Sequence[Split] | None = None,
    annotators: Sequence[str | None] | None = None,
    names: Sequence[str] | None = None,
) -> Source:
    """Offer images that are already in memory.

    Parameters
    ----------
    payloads : sequence of bytes, length N
        Encoded images.
    labels, groups, splits, annotators, names : sequence of length N, optional
        As the columns of a manifest; None or "" where there is none.

    Raises
    ------
    ValueError
        If a sequence has another length.
    IngestError
        If there are no images, or a label or split cannot be used.
    """
    if not len(payloads):
        raise IngestError("no images were offered; give at least one")
    nothing = [None] * len(payloads)
    columns = (
        names or [f"memory:{row}" for row in range(len(payloads))],
        payloads,
        labels or nothing,
        groups or nothing,
        splits or [""] * len(payloads),
        annotators or nothing,
    )
    offered = [
        OfferedImage(
            name=name,
            payload=payload,
            label=class_name(label or "", f"image {row}"),
            group=group or None,
            split=split_name(split, f"image {row}"),
            annotator=annotator or None,
        )
        for row, (name, payload, label, group, split, annotator) in enumerate(
            zip(*columns, strict=True)
        )
    ]
    found = dict.fromkeys(image.label for image in offered if image.label)
    return Source(
        name="memory", num_images=len(offered), labels=tuple(found), images=lambda: iter(offered)
    )


def class_name(label: str, where: str) -> str | None:
    """Return the class a label names, None for an empty one; IngestError if unprintable."""
    # INVARIANT: a class name holds no tab and no line break (versions.digest joins by them).
    if not label.isprintable():
        raise IngestError(f"{where}: class name {label!r} is not printable; rename the class")
    return label.strip() or None


def split_name(split: str, where: str) -> Split:
    """Return the split; IngestError, beginning with `where`, if it is none."""
    if split not in ("", "train", "holdout"):
        raise IngestError(
            f"{where}: split is {split!r} but must be train, holdout or empty; correct it"
        )
    return split  # type: ignore[return-value]  # narrowed by the check above


def stamp_of(status: os.stat_result) -> str:
    """Return what changes when a file's bytes do."""
    return f"{status.st_size}:{status.st_mtime_ns}"
