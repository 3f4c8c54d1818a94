"""Image bytes and embeddings in Lance tables, found by uid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import LedgerError
from holdfast.records import Floats
from holdfast.store.locations import read_unchanged
from holdfast.store.uid_table import UidTable

# A commit costs about 0.1 s however small it is, and a table is slow to open when
# it has thousands of fragments: bound a commit by memory, not by a few images.
BATCH_ROWS = 8192
BATCH_BYTES = 64 * 2**20


class ImageStore:
    """Encoded images by uid, as they came: JPEG, PNG and so on, never re-encoded.

    Images are kept by copy (`add`) or by reference (`refer`): where they lie is kept then,
    and their bytes are compared with the uid whenever they are read.

    Parameters
    ----------
    path : Path
        The Lance table; created by the first `add`. References lie beside it, in
        `references.lance`.

    Examples
    --------
    >>> import tempfile
    >>> store = ImageStore(Path(tempfile.mkdtemp()) / "samples.lance")
    >>> store.add(["a" * 64, "b" * 64], [b"one", b"two"])
    2
    >>> store.add(["a" * 64], [b"one"])
    0
    >>> store.read(["b" * 64, "a" * 64])
    [b'two', b'one']
    """

    def __init__(self, path: Path) -> None:
        self._table = UidTable(path, "bytes")
        self._references = UidTable(path.with_name("references.lance"), "location")

    @property
    def path(self) -> Path:
        """Folder of the table."""
        return self._table.path

    def add(self, uids: Sequence[str], payloads: Sequence[bytes]) -> int:
        """Keep the images that are not here yet; the number of those.

        Each commit is atomic: a crash leaves whole batches, and adding again
        completes the rest. Cost: one pass over the uid column a commit.

        Raises
        ------
        ValueError
            If there are not as many payloads as uids.
        """
        if len(uids) != len(payloads):
            raise ValueError(f"expected one payload per uid, got {len(uids)} and {len(payloads)}")
        import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types

        schema = self._table.schema(pa.large_binary())
        # A dict drops repeats (merge-insert would insert both); reversed, the first one stays.
        distinct = dict(zip(reversed(uids), reversed(payloads), strict=True))
        # In the order of the uids Lance joins them to what is there in half of the time.
        new = {uid: distinct[uid] for uid in self._table.lacks(sorted(distinct))}
        added = 0
        for batch in _batches(new):
            columns = [list(batch), list(batch.values())]
            added += self._table.add(pa.Table.from_arrays(columns, schema=schema))
        return added

    def refer(self, uids: Sequence[str], locations: Sequence[str]) -> int:
        """Keep where images lie that are not here yet; the number of those.

        Parameters
        ----------
        locations : sequence of str, as many as uids
            Absolute path or URL of a file that holds exactly the bytes of the uid.
        """
        import pyarrow as pa

        schema = self._references.schema(pa.string())
        places = dict(zip(reversed(uids), reversed(locations), strict=True))
        new = self.lacks(list(places))
        if not new:
            return 0
        columns = [new, [places[uid] for uid in new]]
        return self._references.add(pa.Table.from_arrays(columns, schema=schema))

    def compact(self) -> int:
        """Join what many small additions left; how many fragments went. See `UidTable.compact`."""
        return self._table.compact() + self._references.compact()

    def lacks(self, uids: Sequence[str]) -> list[str]:
        """Return uids that were not here when this process last looked, at least once."""
        return self._references.lacks(self._table.lacks(uids))

    def missing(self, uids: Sequence[str]) -> list[str]:
        """Return the uids whose image is not in the store now."""
        self._table.open()
        self._references.open()
        return self.lacks(uids)

    def read(self, uids: Sequence[str]) -> list[bytes]:
        """Return encoded images in the order of `uids`, repeats included.

        Raises
        ------
        LedgerError
            If an image is not in the store, or a referenced one is gone or changed.
        """
        if not len(uids):
            return []
        rows, at = self._table.take(uids)
        distinct = rows["bytes"].to_pylist() if rows is not None else []
        images = [distinct[row] if row >= 0 else b"" for row in at]
        elsewhere = np.flatnonzero(at < 0)
        if len(elsewhere):
            self._read_elsewhere(uids, elsewhere.tolist(), images)
        return images

    def _read_elsewhere(
        self, uids: Sequence[str], elsewhere: list[int], images: list[bytes]
    ) -> None:
        """Fill in the images of some rows from where they lie."""
        rows, at = self._references.take([uids[row] for row in elsewhere])
        if rows is None or (at < 0).any():
            lost = [uids[row] for row, place in zip(elsewhere, at, strict=True) if place < 0]
            raise LedgerError(
                f"{len(lost)} of {len(uids)} images are not in {self.path} (first: "
                f"{lost[0]}); ingest the same files again or restore the folder "
                "from a backup"
            )
        locations = rows["location"].to_pylist()
        for row, place in zip(elsewhere, at, strict=True):
            images[row] = read_unchanged(locations[place], uids[row])


class EmbeddingStore:
    """Embeddings by model and uid, so that no image is embedded twice.

    Parameters
    ----------
    folder : Path
        Holds one Lance table per model, `<model>.lance`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tables: dict[str, UidTable] = {}

    def add(self, model: str, uids: Sequence[str], embeddings_nd: Floats) -> int:
        """Keep the embeddings that are not here yet; the number of those.

        Parameters
        ----------
        model : str
            Name of the model that made them: its sha256.
        embeddings_nd : ndarray of float32, shape (N, D)

        Raises
        ------
        ValueError
            If the shape is not (number of uids, D).
        """
        if embeddings_nd.ndim != 2 or len(uids) != len(embeddings_nd):
            raise ValueError(
                f"expected embeddings of shape ({len(uids)}, D), got {embeddings_nd.shape}"
            )
        if not len(uids):
            return 0
        import pyarrow as pa

        dimensions = embeddings_nd.shape[1]
        table = self._of(model)
        schema = table.schema(pa.list_(pa.float32(), dimensions))
        _, first = np.unique(np.asarray(uids, dtype="S64"), return_index=True)
        first.sort()
        step = max(1, min(64 * BATCH_ROWS, BATCH_BYTES // (4 * dimensions)))
        added = 0
        for start in range(0, len(first), step):
            rows = first[start : start + step]
            values = np.ascontiguousarray(embeddings_nd[rows], dtype=np.float32).reshape(-1)
            columns = [
                pa.array([uids[int(row)] for row in rows], pa.string()),
                pa.FixedSizeListArray.from_arrays(pa.array(values), dimensions),
            ]
            added += table.add(pa.Table.from_arrays(columns, schema=schema))
        return added

    def read(self, model: str, uids: Sequence[str]) -> tuple[Floats, NDArray[np.bool_]]:
        """Return embeddings in the order of `uids`, and which of them are here.

        Returns
        -------
        embeddings_nd : ndarray of float32, shape (N, D)
            Zeros where an embedding is missing; shape (N, 0) when none is here.
        found_n : ndarray of bool, shape (N,)
        """
        rows, at = self._of(model).take(uids)
        found = at >= 0
        if rows is None:
            return np.zeros((len(uids), 0), dtype=np.float32), found
        column = rows["embedding"].combine_chunks()
        distinct = column.flatten().to_numpy().reshape(len(column), -1)
        embeddings = np.zeros((len(uids), distinct.shape[1]), dtype=np.float32)
        embeddings[found] = distinct[at[found]]
        return embeddings, found

    def _of(self, model: str) -> UidTable:
        if model not in self._tables:
            self._tables[model] = UidTable(self.folder / f"{model}.lance", "embedding")
        return self._tables[model]


def _batches(payloads: dict[str, bytes]) -> Iterator[dict[str, bytes]]:
    """Cut into pieces of at most BATCH_ROWS rows and about BATCH_BYTES bytes."""
    batch: dict[str, bytes] = {}
    size = 0
    for uid, payload in payloads.items():
        batch[uid] = payload
        size += len(payload)
        if len(batch) == BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = {}, 0
    if batch:
        yield batch
