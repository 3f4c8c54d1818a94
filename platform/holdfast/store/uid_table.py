"""A Lance table that is keyed by uid and only ever grows."""

from __future__ import annotations

import fcntl
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

# Importing lance takes over a second and brings pandas. A project that is only
# looked at (`holdfast status`) holds a store and never reads an image.
if TYPE_CHECKING:
    import lance
    import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types

# Fragments below SMALL_ROWS rows are joined once there are MANY_FRAGMENTS of them: a table
# opens in proportion to its fragments, and reads as fast from one of a thousand rows as
# from a larger one.
SMALL_ROWS = 1024
MANY_FRAGMENTS = 32


class UidTable:
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
            before = self._dataset.version
            self._dataset.checkout_latest()  # type: ignore[no-untyped-call]  # lance: no types
            if self._dataset.version == before:
                return True
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
        try:
            values = self._dataset.take(rows.tolist(), columns=[self.column])
        except OSError:
            # This process has held its version open for so long that `compact` removed it.
            if not self.open():
                raise
            at = self._positions(wanted)
            rows, inverse = np.unique(self._rows[at[here]], return_inverse=True)
            values = self._dataset.take(rows.tolist(), columns=[self.column])
        at[here] = inverse
        return values, at

    def compact(self) -> int:
        """Join small fragments, which many small additions leave; how many went.

        Nothing happens below MANY_FRAGMENTS of them, so that a row is rewritten once or
        twice in its life. Files that no version needs are removed a day later: whoever has
        an older version open reads on.
        """
        import lance

        if not (self.path / "_versions").is_dir():
            return 0
        dataset = lance.dataset(str(self.path))
        small = sum(f.count_rows() < SMALL_ROWS for f in dataset.get_fragments())
        if small < MANY_FRAGMENTS:
            return 0
        try:
            done = dataset.optimize.compact_files(target_rows_per_fragment=SMALL_ROWS)
        except OSError:
            # Another process rewrote the same fragments first; what it left is whole.
            return 0
        dataset.cleanup_old_versions(older_than=timedelta(days=1))
        return int(done.fragments_removed - done.fragments_added)

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
