"""Offered images -> distinct contents, inspected, with all that was said about each."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from itertools import islice

from holdfast.data.integrity import Inspection, decoding_threads, inspect, num_threads
from holdfast.data.offers import OfferedImage, Source, Split
from holdfast.errors import IngestError

# Files per job: enough to outweigh the cost of a job, few enough that the jobs in
# flight fit in memory when they are photographs.
JOB = 32


@dataclass(frozen=True, slots=True)
class Examined:
    """One offered file, read and decoded."""

    uid: str
    payload: bytes
    offered: OfferedImage
    found: Inspection


@dataclass(slots=True)
class Content:
    """One distinct content among the offered files.

    Attributes
    ----------
    name : str
        The first file that holds it.
    statements : list of (str, str)
        Every (class name, annotator or "") that came with one of its files, in order.
    others : mapping of str to str, or None
        Class name to the first file that names it, for classes other than the first.
    keys : mapping of (str, str) to list of str, or None
        Keys of those statements that have one.
    """

    name: str
    num_bytes: int
    found: Inspection
    split: Split = ""
    group: str | None = None
    statements: list[tuple[str, str]] = field(default_factory=list)
    others: dict[str, str] | None = None
    keys: dict[tuple[str, str], list[str]] | None = None

    @property
    def usable(self) -> bool:
        """Whether it is an image that can be used."""
        return self.found.reason is None

    def add(self, offered: OfferedImage) -> None:
        """Take in what one file's source says.

        Raises
        ------
        IngestError
            If two files of one content are to lie on both sides of the split.
        """
        if {self.split, offered.split} == {"train", "holdout"}:
            raise IngestError(
                f"{self.name} and {offered.name} are the same image but one is in train and "
                "the other in holdout; put both on one side"
            )
        self.split = self.split or offered.split
        self.group = self.group or offered.group
        if offered.label:
            self._hear(offered.label, offered.annotator or "", offered.name)
        for one in offered.statements:
            self._hear(one.label, one.annotator, offered.name)
            self.keys = self.keys or {}
            self.keys.setdefault((one.label, one.annotator), []).append(one.key)

    def _hear(self, label: str, annotator: str, name: str) -> None:
        self.statements.append((label, annotator))
        if label != self.statements[0][0]:
            self.others = {label: name} | (self.others or {})


def examine(source: Source) -> Iterator[Examined]:
    """Read, hash and decode every file in threads; in order, few in memory at a time.

    Raises
    ------
    IngestError
        If a file cannot be read.
    """
    offered = source.images()
    jobs: deque[Future[list[Examined]]] = deque()
    with decoding_threads() as pool:
        try:
            while chunk := list(islice(offered, JOB)):
                jobs.append(pool.submit(_examine_chunk, chunk))
                if len(jobs) > 2 * num_threads():
                    yield from jobs.popleft().result()
            while jobs:
                yield from jobs.popleft().result()
        finally:
            for job in jobs:
                job.cancel()


def _examine_chunk(chunk: list[OfferedImage]) -> list[Examined]:
    examined = []
    for offered in chunk:
        try:
            payload = offered.read()
        except OSError as error:
            raise IngestError(
                f"{offered.name} cannot be read ({error.strerror}); check the file and its "
                "permissions, then ingest again"
            ) from error
        uid = hashlib.sha256(payload).hexdigest()
        examined.append(Examined(uid, payload, replace(offered, payload=None), inspect(payload)))
    return examined
