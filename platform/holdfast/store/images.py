"""Image bytes and embeddings in Lance tables, found by uid."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import LedgerError
from holdfast.records import Floats

# Importing lance takes over a second and brings pandas. A project that is only
# looked at (`holdfast status`) holds a store and never reads an image.
if TYPE_CHECKING:
    import lance
    import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types

# A commit costs about 0.1 s however small it is, and a table is slow to open when
# it has thousands of fragments: bound a commit by memory, not by a few images.
BATCH_ROWS = 8192
BATCH_BYTES = 64 * 2**20


class _UidTable:
    """A Lance table keyed by uid that only ever grows.

    Reading looks the uids up in a sorted copy of the uid column, which is loaded
    once per process and again only when a uid is missing from it: 64 bytes a
    sample, O(log N) a uid, no scan per read.
    """

    def __init__(self, path: Path, column: str) -> None:
        self.path = path
        self.column = column
        self._dataset: lance.LanceDataset | None = None
        self._uids = np.zeros(0, dtype="S64")
        self._rows: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def schema(self, value: pa.DataType) -> pa.Schema:
        """Columns of the table; the key is what keeps two writers from doubling a row."""
        import pyarrow as pa

        # Without this metadata two writers that opened the same version both insert.
        key = {b"lance-schema:unenforced-primary-key": b"true"}
        return pa.schema(
            [
                pa.field("uid", pa.string(), nullable=False, metadata=key),
                pa.field(self.column, value, nullable=False),
            ]
        )

    def open(self) -> bool:
        """Open the newest version; False when nothing was ever added."""
        import lance

        if not (self.path / "_versions").is_dir():
            return False
        if self._dataset is None:
            self._dataset = lance.dataset(str(self.path))
        else:
            self._dataset.checkout_latest()  # type: ignore[no-untyped-call]  # lance: no types
        uids = self._dataset.to_table(columns=["uid"], scan_in_order=True)["uid"]
        unordered = uids.to_numpy().astype("S64")
        self._rows = np.argsort(unordered, kind="stable").astype(np.int64, copy=False)
        self._uids = unordered[self._rows]
        return True

    def add(self, rows: pa.Table) -> int:
        """Commit the rows whose uid is new; their number. `rows` must not repeat a uid."""
        import lance

        if not (self.path / "_versions").is_dir():
            self._create(rows.schema)
        writer = lance.dataset(str(self.path))
        stats = writer.merge_insert("uid").when_not_matched_insert_all().execute(rows)
        return int(stats["num_inserted_rows"])

    def _create(self, schema: pa.Schema) -> None:
        """Make the empty table, unless another process has made it in the meantime."""
        import lance

        self.path.parent.mkdir(parents=True, exist_ok=True)
        # INVARIANT: one process at a time. Of two that create a table at once, Lance takes the
        # second for one that overwrites it, with whatever the first has put in by then.
        with self.path.with_suffix(".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not (self.path / "_versions").is_dir():
                lance.write_dataset(schema.empty_table(), str(self.path))

    def take(self, uids: Sequence[str]) -> tuple[pa.Table | None, NDArray[np.int64]]:
        """Rows of the distinct uids that are here, and for each uid its row or -1."""
        wanted = np.asarray(uids, dtype="S64")
        at = self._positions(wanted)
        if (at < 0).any() and self.open():
            at = self._positions(wanted)
        here = at >= 0
        if self._dataset is None or not here.any():
            return None, at
        # Lance reads sorted rows in fewer, longer reads, and each row once.
        rows, inverse = np.unique(self._rows[at[here]], return_inverse=True)
        at[here] = inverse
        return self._dataset.take(rows.tolist(), columns=[self.column]), at

    def lacks(self, uids: Sequence[str]) -> list[str]:
        """Return uids that were not here when this process last looked, at least once."""
        if self._dataset is None:
            self.open()
        at = self._positions(np.asarray(uids, dtype="S64"))
        return [uids[row] for row in np.flatnonzero(at < 0)]

    def _positions(self, wanted: NDArray[Any]) -> NDArray[np.int64]:
        if not len(self._uids):
            return np.full(len(wanted), -1, dtype=np.int64)
        at = np.searchsorted(self._uids, wanted).clip(max=len(self._uids) - 1)
        return np.where(self._uids[at] == wanted, at, -1)


class ImageStore:
    """Encoded images by uid, as they came: JPEG, PNG and so on, never re-encoded.

    Parameters
    ----------
    path : Path
        The Lance table; created by the first `add`.

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
        self._table = _UidTable(path, "bytes")

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
        import pyarrow as pa

        schema = self._table.schema(pa.large_binary())
        # A dict drops repeats (merge-insert would insert both); reversed, the first one stays.
        distinct = dict(zip(reversed(uids), reversed(payloads), strict=True))
        new = {uid: distinct[uid] for uid in self._table.lacks(list(distinct))}
        added = 0
        for batch in _batches(new):
            columns = [list(batch), list(batch.values())]
            added += self._table.add(pa.Table.from_arrays(columns, schema=schema))
        return added

    def missing(self, uids: Sequence[str]) -> list[str]:
        """Return the uids whose image is not in the store now."""
        self._table.open()
        return self._table.lacks(uids)

    def read(self, uids: Sequence[str]) -> list[bytes]:
        """Return encoded images in the order of `uids`, repeats included.

        Raises
        ------
        LedgerError
            If an image is not in the store.
        """
        if not len(uids):
            return []
        rows, at = self._table.take(uids)
        if rows is None or (at < 0).any():
            lost = np.flatnonzero(at < 0)
            raise LedgerError(
                f"{len(lost)} of {len(uids)} images are not in {self.path} (first: "
                f"{uids[int(lost[0])]}); ingest the same files again or restore the folder "
                "from a backup"
            )
        distinct = rows["bytes"].to_pylist()
        return [distinct[row] for row in at]


class EmbeddingStore:
    """Embeddings by model and uid, so that no image is embedded twice.

    Parameters
    ----------
    folder : Path
        Holds one Lance table per model, `<model>.lance`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tables: dict[str, _UidTable] = {}

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

    def _of(self, model: str) -> _UidTable:
        if model not in self._tables:
            self._tables[model] = _UidTable(self.folder / f"{model}.lance", "embedding")
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
