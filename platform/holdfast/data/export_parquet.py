"""Versions as Parquet files, plain or as Hugging Face's `datasets` loads them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.data.export_rows import ExportedSample

if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types

_SHARD_ROWS = 100_000
_SHARD_BYTES = 512 * 2**20
_TEXTS = ("uid", "group", "source", "annotations")


class ParquetExport:
    """`SPLIT-00000.parquet` and so on, one row a sample.

    Columns: `image` (the encoded image), `label` (class name), `class_id`, `verified`, `uid`,
    `group`, `source`, `annotations` (JSON: everything said about the sample).
    """

    def __init__(self, folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq  # type: ignore[import-untyped]  # as pyarrow

        self._pa, self._pq = pa, pq
        self.folder = folder
        self._split, self._number, self._rows, self._bytes = "", 0, 0, 0
        self._writer: pq.ParquetWriter | None = None
        self._schema = self.schema()

    def schema(self) -> pa.Schema:
        """Return the columns."""
        pa = self._pa
        return pa.schema(
            [
                pa.field("image", pa.binary(), nullable=False),
                pa.field("label", pa.string(), nullable=False),
                pa.field("class_id", pa.int64(), nullable=False),
                pa.field("verified", pa.bool_(), nullable=False),
                *(pa.field(name, pa.string()) for name in _TEXTS),
            ]
        )

    def columns(self, rows: Sequence[ExportedSample]) -> list[list[object]]:
        """Return the values of the columns before the texts."""
        return [
            [row.payload for row in rows],
            [row.label for row in rows],
            [row.class_id for row in rows],
            [row.verified for row in rows],
        ]

    def write(self, rows: Sequence[ExportedSample]) -> None:
        """Add samples of one split."""
        if not rows:
            return
        split = rows[0].split
        if split != self._split or self._rows >= _SHARD_ROWS or self._bytes >= _SHARD_BYTES:
            self._next(split)
        columns = [*self.columns(rows), *([getattr(row, name) for row in rows] for name in _TEXTS)]
        arrays = [
            self._pa.array(values, field.type)
            for values, field in zip(columns, self._schema, strict=True)
        ]
        if self._writer is not None:
            self._writer.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))
        self._rows += len(rows)
        self._bytes += sum(len(row.payload) for row in rows)

    def close(self) -> None:
        """Finish the last file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _next(self, split: str) -> None:
        self.close()
        self._number = self._number + 1 if split == self._split else 0
        self._split, self._rows, self._bytes = split, 0, 0
        path = self.folder / f"{split}-{self._number:05d}.parquet"
        self._writer = self._pq.ParquetWriter(path, self._schema, compression="zstd")


class HuggingFaceExport(ParquetExport):
    """A folder that `datasets.load_dataset(DIR)` opens, with images and class names.

    Parameters
    ----------
    folder : Path
    names : sequence of str
        Class names; the position is the class id.
    """

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._names = list(names)
        self._splits: list[str] = []
        (folder / "data").mkdir()
        super().__init__(folder / "data")

    def schema(self) -> pa.Schema:
        """Return the columns, with what makes them images and classes."""
        pa = self._pa
        image = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
        text = {"dtype": "string", "_type": "Value"}
        features = {
            "image": {"_type": "Image"},
            "label": {"names": self._names, "_type": "ClassLabel"},
            "verified": {"dtype": "bool", "_type": "Value"},
            **dict.fromkeys(_TEXTS, text),
        }
        return pa.schema(
            [
                pa.field("image", image),
                pa.field("label", pa.int64()),
                pa.field("verified", pa.bool_()),
                *(pa.field(name, pa.string()) for name in _TEXTS),
            ],
            metadata={"huggingface": json.dumps({"info": {"features": features}})},
        )

    def columns(self, rows: Sequence[ExportedSample]) -> list[list[object]]:
        """Return the values of the columns before the texts."""
        return [
            [{"bytes": row.payload, "path": f"{row.uid}.{row.suffix}"} for row in rows],
            [row.class_id for row in rows],
            [row.verified for row in rows],
        ]

    def write(self, rows: Sequence[ExportedSample]) -> None:
        """Add samples of one split."""
        super().write(rows)
        for split in dict.fromkeys(row.split for row in rows):
            if split not in self._splits:
                self._splits.append(split)

    def close(self) -> None:
        """Finish the last file, and say which files are which split."""
        super().close()
        lines = ["---", "configs:", "- config_name: default", "  data_files:"]
        for split in self._splits:
            lines += [f"  - split: {split}", f"    path: data/{split}-*.parquet"]
        (self.folder.parent / "README.md").write_text("\n".join([*lines, "---", ""]))
