"""A source -> examined files and stored bytes: the part of an ingest that reads and decodes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Literal, Self

from holdfast.data.decoders import MANY_FILES, Asked, Looked, look_at_all
from holdfast.data.examined_files import ExaminedFiles, row
from holdfast.data.offers import OfferedImage, Source
from holdfast.errors import IngestError
from holdfast.failpoints import reach
from holdfast.store.images import BATCH_BYTES, BATCH_ROWS, ImageStore

Keeping = Literal["copy", "reference", "nothing"]
Progress = Callable[[str, int, int], None]

# Files of an interrupted ingest compared at a time with what is offered now.
_COMPARED = 1024


def examine(
    source: Source,
    files: ExaminedFiles,
    images: ImageStore,
    keeping: Keeping,
    describe: bool,
    progress: Progress | None,
) -> int:
    """Read, hash and decode every file, and keep the bytes of the usable ones.

    Parameters
    ----------
    files : ExaminedFiles
        Gets a row a file; what it has already is not read again.
    keeping : str
        `copy`: the bytes go into the store; `reference`: where they lie; `nothing`.
    describe : bool
        Whether it is found out how the images look.

    Returns
    -------
    int
        Number of files.

    Raises
    ------
    IngestError
        If a file cannot be read, or has no location of its own to refer to.
    """
    if keeping == "reference" and not source.by_name:
        raise IngestError(
            f"{source.name} cannot be ingested by reference, because its images are not files "
            "of their own; leave out --reference to copy them"
        )
    kept = _skip(source, files, images, keeping)
    offered = islice(source.images(), kept, None)
    looked = _looked(source, offered, keep=keeping == "copy", describe=describe)
    with _Batch(files, images, keeping, kept) as batch:
        for done, (one, found) in enumerate(looked, kept + 1):
            batch.add(one, found)
            if progress is not None and (done % 256 == 0 or done == source.num_images):
                progress("ingest", done, source.num_images)
        batch.flush()
    return batch.position


def _skip(source: Source, files: ExaminedFiles, images: ImageStore, keeping: Keeping) -> int:
    """Return how many files an earlier attempt examined, whose bytes are where they belong."""
    offered, start = source.images(), 0
    while start < files.num_kept:
        chunk = list(islice(offered, min(_COMPARED, files.num_kept - start)))
        uids = files.kept(start, chunk)
        if uids is None:
            break
        if keeping != "nothing" and images.lacks(uids):
            files.forget(start)
            break
        start += len(chunk)
    return start


def _looked(
    source: Source, offered: Iterator[OfferedImage], *, keep: bool, describe: bool
) -> Iterator[tuple[OfferedImage, Looked]]:
    """Yield each offered image with what it holds."""
    waiting: deque[OfferedImage] = deque()

    def asked() -> Iterator[Asked]:
        for one in offered:
            waiting.append(one)
            yield Asked(one.name, one.payload)

    many = source.num_images >= MANY_FILES and not source.remote
    for looked in look_at_all(asked(), keep=keep, describe=describe, many=many):
        yield waiting.popleft(), looked


class _Batch:
    """Files that were looked at and not yet written down.

    One batch is written down by a thread while the next one fills.
    """

    def __init__(
        self, files: ExaminedFiles, images: ImageStore, keeping: Keeping, position: int
    ) -> None:
        self.position = position
        self._files, self._images, self._keeping = files, images, keeping
        self._rows: list[tuple[object, ...]] = []
        self._usable: dict[str, bytes | str | None] = {}
        self._looks: dict[str, bytes] = {}
        self._size = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="write")
        self._writing: Future[None] | None = None

    def add(self, offered: OfferedImage, looked: Looked) -> None:
        """Take in one file; write the batch down when it is large."""
        self._rows.append(row(self.position, offered, looked.uid, looked.num_bytes, looked.found))
        self.position += 1
        if looked.found.reason is None and looked.uid not in self._usable:
            payload = offered.payload if looked.payload is None else looked.payload
            self._usable[looked.uid] = payload if self._keeping == "copy" else offered.name
            if looked.appearance:
                self._looks[looked.uid] = looked.appearance
            self._size += len(payload or b"")
        if len(self._rows) >= BATCH_ROWS or self._size >= BATCH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Begin to write down what is here, once what came before it is written."""
        self._wait()
        self._writing = self._writer.submit(self._write, self._rows, self._usable, self._looks)
        self._rows, self._usable, self._looks, self._size = [], {}, {}, 0

    def _write(
        self,
        rows: Sequence[tuple[object, ...]],
        usable: Mapping[str, bytes | str | None],
        looks: Mapping[str, bytes],
    ) -> None:
        """Write down the bytes first, then what is known about them."""
        # INVARIANT: a row says that the bytes are kept. The other way round, a crash between
        # the two would let the next attempt pass over images that are nowhere.
        uids = list(usable)
        if self._keeping == "copy":
            self._images.add(uids, [v for v in usable.values() if isinstance(v, bytes)])
        elif self._keeping == "reference":
            self._images.refer(uids, [v for v in usable.values() if isinstance(v, str)])
        reach("ingest:images")
        self._files.add(rows, looks)

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Whatever ended the pass, what was begun is written to its end.
        self._writer.shutdown()
        self._wait()
