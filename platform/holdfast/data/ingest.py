"""Offered images -> samples and labels: bytes first, then the ledger, piece by piece."""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from sqlalchemy.engine import Connection

from holdfast.data.examine import Keeping, Progress, examine
from holdfast.data.examined_files import ExaminedFiles
from holdfast.data.map_style import MapStyle, from_dataset
from holdfast.data.offers import Source, Split, from_memory
from holdfast.data.registration import Recorded, Registration
from holdfast.data.report import IngestReport, NearDuplicateFacts, describe
from holdfast.data.settled_files import SettledFiles
from holdfast.data.sides import check_sides
from holdfast.data.sources import open_source
from holdfast.data.splits import DataConfig
from holdfast.data.together import NearDuplicates, Together, read_offered
from holdfast.errors import IngestError
from holdfast.failpoints import reach
from holdfast.store import labels as label_log
from holdfast.store.images import ImageStore
from holdfast.store.ledger import Ledger
from holdfast.store.locations import is_url

# Contents recorded in one transaction: a second at most in which nobody else writes. Fewer at a
# time would write the pages of random keys anew more often.
PIECE = 16384
# Objects that come and stay between two searches for cycles.
_ALLOCATIONS = 100_000


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

    @property
    def near_duplicates(self) -> NearDuplicates:
        """Finds images that look the same."""


def ingest(
    target: Target,
    path: Path | str,
    *,
    keeping: Keeping = "copy",
    progress: Progress | None = None,
) -> IngestReport:
    """Take in what a path or URL offers; see `open_source` for what that can be.

    Ingesting the same files again adds nothing. Ingesting again after a crash completes the
    work and ends as if there had been none; files that were looked at and did not change
    are not read again.

    Parameters
    ----------
    target : Project
    path : Path or str
        A folder, a file that holds or lists images, or the URL of one.
    keeping : str
        `copy`; `reference`: the images stay where they are and must not change;
        `nothing`: a dry run, which writes nothing and reports what would happen.
    progress : callable, optional
        Told (what, done, total).

    Raises
    ------
    IngestError
        If nothing of it can be used (the reasons are in quarantine then), if it leaves
        only one class, or if the source contradicts itself.
    """
    location = str(path) if is_url(str(path)) else Path(path).absolute()
    return ingest_source(target, open_source(location), keeping=keeping, progress=progress)


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


def ingest_dataset(
    target: Target,
    dataset: MapStyle,
    *,
    name: str,
    classes: Sequence[str] | None = None,
    keeping: Keeping = "copy",
    progress: Progress | None = None,
) -> IngestReport:
    """Take in a data set of torchvision, Avalanche or any other; see `map_style.from_dataset`.

    Its images have no files, so they are always copied; `keeping` is `copy`, or `nothing`.
    """
    source = from_dataset(dataset, name=name, classes=classes)
    return ingest_source(target, source, keeping=keeping, progress=progress)


def ingest_source(
    target: Target,
    source: Source,
    *,
    keeping: Keeping = "copy",
    progress: Progress | None = None,
) -> IngestReport:
    """Take in one source, as `ingest` does.

    Cost: linear in its files, but for the search for near-duplicates, which grows with n times
    the root of n. Memory does not grow with them, but for what is in quarantine or contradicts
    itself, and for that search: 1.4 kB an image, those in the ledger included.
    """
    report = take_in(target, source, keeping=keeping, progress=progress)
    if not report.num_added + report.num_known:
        first = report.quarantined[0]
        raise IngestError(
            f"{source.name} holds no usable image (of {report.num_offered} files; {first.name}: "
            f"{first.reason})"
        )
    return report


def take_in(
    target: Target,
    source: Source,
    *,
    keeping: Keeping = "copy",
    progress: Progress | None = None,
) -> IngestReport:
    """Take in one source, also one of which nothing can be used; else as `ingest_source`."""
    _require_two_classes(target, source)
    folder = None if keeping == "nothing" else target.images.path.parent / "ingest"
    grouping = target.config.data.group_near_duplicates
    kind = f"{keeping} described" if grouping else keeping
    with _rare_collections(), ExaminedFiles(folder, source, kind) as files:
        num_offered = examine(source, files, target.images, keeping, grouping, progress)
        together = _keep_together(target, files, keeping)
        settled = files.settle()
        _check_sides(target, settled)
        report = _record(target, source, settled, num_offered, keeping, progress, together)
        facts = describe(settled)
    reach("ingest:ledger")
    if keeping != "nothing" and settled.num_contents:
        target.images.compact()
    near = NearDuplicateFacts(
        num_groups=together.num_groups,
        num_images=together.num_images,
        largest_group=together.largest_group,
        num_across=together.num_across,
    )
    return dataclasses.replace(report, images=facts, near_duplicates=near)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Let Python look for cycles less often: rows by the million make none.

    Looking for them took a sixth of an ingest of small images.
    """
    usual = gc.get_threshold()
    gc.set_threshold(_ALLOCATIONS, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)


def _require_two_classes(target: Target, source: Source) -> None:
    with target.ledger.read() as connection:
        names = {*label_log.class_names(connection), *target.config.data.classes, *source.labels}
    if source.labels and len(names) < 2:
        raise IngestError(
            f"{source.name} has only one class ({source.labels[0]}) but a classifier needs two "
            "or more; add images of another class, or list the classes in data.classes"
        )


def _keep_together(target: Target, files: ExaminedFiles, keeping: Keeping) -> Together:
    """Give near-duplicates a group, and keep how images look unless nothing may be written."""
    offered = read_offered(files)
    if not len(offered.uids):
        return Together()
    keep = keeping != "nothing"
    if keep:
        target.near_duplicates.remember(offered)
    found = target.near_duplicates.together(offered, keep=keep)
    files.join(found.group_of)
    return found


def _check_sides(target: Target, files: SettledFiles) -> None:
    """Refuse what would lie on both sides of the split before anything is recorded."""
    on_both = files.on_both_sides()
    if on_both is not None:
        raise IngestError(on_both)
    if not files.groups_with_sides():
        return
    with target.ledger.read() as connection:
        for contents in files.contents(PIECE):
            check_sides(connection, contents)


def _record(
    target: Target,
    source: Source,
    files: SettledFiles,
    num_offered: int,
    keeping: Keeping,
    progress: Progress | None,
    together: Together,
) -> IngestReport:
    """Write the settled contents into the ledger, and sum up what was written."""
    config = target.config
    named = files.labels()
    classes = [*config.data.classes, *(name for name in source.labels if name in named)]
    dry = keeping == "nothing"
    registration = Registration(
        classes, config.data, config.seed, dry=dry, regrouped=together.regrouped
    )
    recorded: list[Recorded] = []
    num_contents = 0
    for contents in files.contents(PIECE):
        with _piece(target.ledger, dry=dry) as connection:
            recorded.append(registration.record(connection, contents))
        reach("ingest:piece")
        num_contents += len(contents)
        if progress is not None and len(recorded) > 1:
            progress("record", num_contents, num_offered)
    num_added = sum(one.num_added for one in recorded)
    quarantined = tuple(aside for one in recorded for aside in one.quarantined)
    return IngestReport(
        num_offered=num_offered,
        num_added=num_added,
        num_known=num_contents - num_added - len(quarantined),
        num_duplicates=num_offered - num_contents,
        num_labeled=sum(one.num_labeled for one in recorded),
        num_answers=sum(one.num_answers for one in recorded),
        num_holdout=sum(one.num_holdout for one in recorded),
        classes_added=tuple(dict.fromkeys(n for one in recorded for n in one.classes_added)),
        quarantined=quarantined,
        conflicts=tuple(aside for one in recorded for aside in one.conflicts),
        dry_run=dry,
    )


@contextmanager
def _piece(ledger: Ledger, *, dry: bool) -> Iterator[Connection]:
    """Give a connection to record a piece on; of a dry run nothing remains."""
    with ledger.write() as connection:
        if not dry:
            yield connection
            return
        attempt = connection.begin_nested()
        try:
            yield connection
        finally:
            attempt.rollback()
