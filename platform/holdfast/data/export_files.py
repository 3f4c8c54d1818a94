"""Versions as files people and loaders open: an image folder, or WebDataset shards."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TextIO

from holdfast.data.export_rows import ExportedSample

# As WebDataset's own tools cut: a few thousand samples, and small enough to move about.
_SHARD_ROWS = 10_000
_SHARD_BYTES = 512 * 2**20


def facts_of(row: ExportedSample) -> dict[str, object]:
    """Return what is known of a sample besides its pixels."""
    return {
        "uid": row.uid,
        "label": row.label,
        "class_id": row.class_id,
        "verified": row.verified,
        "split": row.split,
        "group": row.group,
        "source": row.source,
        "annotations": json.loads(row.annotations),
    }


class FolderExport:
    """`SPLIT/CLASS/UID.png`, `labels.csv` (which `holdfast ingest` takes) and `samples.jsonl`.

    A `/` in a class name is written `%2F` in the folder's name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._labels: TextIO = (folder / "labels.csv").open("w", encoding="utf-8", newline="")
        self._samples: TextIO = (folder / "samples.jsonl").open("w", encoding="utf-8")
        self._table = csv.writer(self._labels, lineterminator="\n")
        self._table.writerow(("path", "label", "group", "split"))
        self._made: set[Path] = set()

    def write(self, rows: Sequence[ExportedSample]) -> None:
        """Add samples of one split."""
        for row in rows:
            place = Path(row.split) / _folder_name(row.label) / f"{row.uid}.{row.suffix}"
            path = self._folder / place
            if path.parent not in self._made:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._made.add(path.parent)
            path.write_bytes(row.payload)
            self._table.writerow((place.as_posix(), row.label, row.group or "", row.split))
            self._samples.write(_line({"path": place.as_posix()} | facts_of(row)))

    def close(self) -> None:
        """Finish the tables."""
        self._labels.close()
        self._samples.close()


class WebDatasetExport:
    """`SPLIT-000000.tar` and so on: for each sample its image, `.cls` and `.json`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shard: tarfile.TarFile | None = None
        self._split, self._number, self._rows, self._bytes = "", 0, 0, 0

    def write(self, rows: Sequence[ExportedSample]) -> None:
        """Add samples of one split."""
        for row in rows:
            full = self._rows >= _SHARD_ROWS or self._bytes >= _SHARD_BYTES
            if row.split != self._split or full:
                self._next(row.split)
            said = json.dumps(facts_of(row), ensure_ascii=False, sort_keys=True).encode()
            self._add(f"{row.uid}.{row.suffix}", row.payload)
            self._add(f"{row.uid}.cls", str(row.class_id).encode())
            self._add(f"{row.uid}.json", said)
            self._rows += 1

    def close(self) -> None:
        """Finish the last shard."""
        if self._shard is not None:
            self._shard.close()

    def _next(self, split: str) -> None:
        self.close()
        self._number = self._number + 1 if split == self._split else 0
        self._split, self._rows, self._bytes = split, 0, 0
        path = self._folder / f"{split}-{self._number:06d}.tar"
        self._shard = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115

    def _add(self, name: str, payload: bytes) -> None:
        # Nothing of this machine or this moment: the same version gives the same bytes.
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(payload), 0o644
        if self._shard is not None:
            self._shard.addfile(member, io.BytesIO(payload))
        self._bytes += len(payload)


def _folder_name(label: str) -> str:
    name = label.replace("%", "%25").replace("/", "%2F")
    return name.replace(".", "%2E") if name in (".", "..") else name


def _line(values: Mapping[str, object]) -> str:
    return json.dumps(values, ensure_ascii=False, sort_keys=True) + "\n"
