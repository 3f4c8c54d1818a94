"""Offered images -> samples and given labels: bytes first, then one ledger transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from holdfast.data.examine import Content, examine
from holdfast.data.offers import Source, Split, from_memory
from holdfast.data.registration import IngestReport, record
from holdfast.data.sources import open_source
from holdfast.data.splits import DataConfig
from holdfast.errors import IngestError
from holdfast.failpoints import reach
from holdfast.store import labels as label_log
from holdfast.store.images import BATCH_BYTES, BATCH_ROWS, ImageStore
from holdfast.store.ledger import Ledger

Progress = Callable[[str, int, int], None]


class Settings(Protocol):
    """The part of the config that ingest reads."""

    @property
    def data(self) -> DataConfig:
        """Classes known from the start, and the holdout's share."""

    @property
    def seed(self) -> int:
        """Decides which samples are held out."""


class Target(Protocol):
    """Where samples go: a project."""

    @property
    def ledger(self) -> Ledger:
        """Gets samples, classes and label events."""

    @property
    def images(self) -> ImageStore:
        """Gets the bytes."""

    @property
    def config(self) -> Settings:
        """Says what is known beforehand."""


def ingest(target: Target, path: Path, *, progress: Progress | None = None) -> IngestReport:
    """Take in what a path offers; see `open_source` for what that can be.

    Ingesting the same files again adds nothing. A crash leaves at most bytes that no
    sample refers to, and ingesting again completes the work.

    Parameters
    ----------
    target : Project
    path : Path
        A folder or a CSV manifest.
    progress : callable, optional
        Told (what, done, total).

    Raises
    ------
    IngestError
        If nothing of it can be used (the reasons are in quarantine then), if it leaves
        only one class, or if the source contradicts itself.
    """
    return ingest_source(target, open_source(path.absolute()), progress=progress)


def ingest_images(
    target: Target,
    images: Sequence[bytes],
    labels: Sequence[str | None] | None = None,
    groups: Sequence[str | None] | None = None,
    splits: Sequence[Split] | None = None,
    annotators: Sequence[str | None] | None = None,
    names: Sequence[str] | None = None,
    *,
    progress: Progress | None = None,
) -> IngestReport:
    """Take in encoded images from memory, in the same way as files.

    Parameters
    ----------
    images : sequence of bytes, length N
        JPEG, PNG and so on.
    labels, groups, splits, annotators, names : sequence of length N, optional
        As the columns of a manifest; None or "" where there is none.

    Raises
    ------
    IngestError
        As `ingest`.
    """
    source = from_memory(
        images, labels=labels, groups=groups, splits=splits, annotators=annotators, names=names
    )
    return ingest_source(target, source, progress=progress)


def ingest_source(
    target: Target, source: Source, *, progress: Progress | None = None
) -> IngestReport:
    """Take in one source. Cost: linear in its files; about 1 kB of memory a file."""
    report = take_in(target, source, progress=progress)
    if not report.num_added + report.num_known:
        first = report.quarantined[0]
        raise IngestError(
            f"{source.name} holds no usable image (of {report.num_offered} files; {first.name}: "
            f"{first.reason})"
        )
    return report


def take_in(target: Target, source: Source, *, progress: Progress | None = None) -> IngestReport:
    """Take in one source, also one of which nothing can be used; else as `ingest_source`."""
    _require_two_classes(target, source)
    contents, num_offered = _store_images(target, source, progress)
    with target.ledger.write() as connection:
        report = record(
            connection,
            source,
            contents,
            num_offered,
            target.config.data,
            target.config.seed,
        )
    reach("ingest:ledger")
    return report


def _require_two_classes(target: Target, source: Source) -> None:
    with target.ledger.read() as connection:
        names = {*label_log.class_names(connection), *target.config.data.classes, *source.labels}
    if source.labels and len(names) < 2:
        raise IngestError(
            f"{source.name} has only one class ({source.labels[0]}) but a classifier needs two "
            "or more; add images of another class, or list the classes in data.classes"
        )


def _store_images(
    target: Target, source: Source, progress: Progress | None
) -> tuple[dict[str, Content], int]:
    """Write the bytes of every usable image; return the contents by uid, and the files."""
    contents: dict[str, Content] = {}
    batch: dict[str, bytes] = {}
    size, done = 0, 0
    for file in examine(source):
        done += 1
        if file.uid not in contents:
            contents[file.uid] = Content(file.offered.name, len(file.payload), file.found)
            if file.found.reason is None:
                batch[file.uid] = file.payload
                size += len(file.payload)
        contents[file.uid].add(file.offered)
        if len(batch) == BATCH_ROWS or size >= BATCH_BYTES:
            _flush(target.images, batch)
            batch, size = {}, 0
        if progress is not None and (done % 256 == 0 or done == source.num_images):
            progress("ingest", done, source.num_images)
    _flush(target.images, batch)
    return contents, done


def _flush(images: ImageStore, batch: dict[str, bytes]) -> None:
    images.add(list(batch), list(batch.values()))
    reach("ingest:images")
