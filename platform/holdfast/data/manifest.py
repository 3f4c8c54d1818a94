"""A manifest -> offered images: every line is checked before the first is used."""

from __future__ import annotations

import csv
import difflib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from holdfast.data import tables
from holdfast.data.offers import OfferedImage, Source, class_name, split_name, stamp_of
from holdfast.errors import IngestError
from holdfast.store.locations import is_url

COLUMNS = ("path", "label", "group", "split", "annotator")
SUFFIXES = (".csv", ".jsonl", ".ndjson")


def open_manifest(path: Path) -> Source:
    """Offer the images a manifest names, after a pass over all of its lines.

    Parameters
    ----------
    path : Path
        Comma-separated text with a header; JSON Lines, an object a line; or a Parquet file.
        The columns or keys are `COLUMNS`; `path` may be a URL.

    Raises
    ------
    IngestError
        If a line names a missing file, the header has an unknown column or no `path`,
        a split is unknown, or the file is not what its name says. The message
        names the line.
    """
    num_images, missing, first_missing, remote = 0, 0, "", False
    labels: dict[str, None] = {}
    for line, offered in _rows(path):
        num_images += 1
        if offered.label:
            labels[offered.label] = None
        if is_url(offered.name):
            remote = True
        elif offered.stamp is None:
            missing += 1
            first_missing = first_missing or f"line {line}: {offered.name} does not exist"
    if not num_images:
        raise IngestError(f"{path} names no images; add a line per image below the header")
    if missing:
        raise IngestError(
            f"{path} {first_missing} ({missing} of {num_images} lines name missing files); "
            f"correct the paths, which start at {path.parent}, or remove the lines"
        )
    return Source(
        name=str(path),
        num_images=num_images,
        labels=tuple(labels),
        images=lambda: (offered for _, offered in _rows(path)),
        by_name=True,
        remote=remote,
    )


def _rows(path: Path) -> Iterator[tuple[int, OfferedImage]]:
    """Yield line number and image of every line of a manifest."""
    suffix = path.suffix.lower()
    if suffix == ".csv":
        lines: Iterable[tuple[int, dict[str, str]]] = _csv_lines(path)
    elif suffix == ".parquet":
        lines = _parquet_lines(path)
    else:
        lines = _json_lines(path)
    folder = str(path.parent)
    for number, row in lines:
        yield number, _offered(folder, row, f"{path} line {number}")


def _csv_lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines)
            columns = _header(path, next(reader, []))
            for cells in reader:
                if not cells:
                    continue
                if len(cells) != len(columns):
                    raise IngestError(
                        f"{path} line {reader.line_num} has {len(cells)} cells but the header "
                        f"has {len(columns)}; quote cells that contain a comma"
                    )
                yield reader.line_num, dict(zip(columns, map(str.strip, cells), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise IngestError(
            f"{path} cannot be read as CSV ({error}); save it as comma-separated UTF-8 text"
        ) from error


def _json_lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    known: tuple[str, ...] = ()
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise IngestError(
                        f"{path} line {number} is not an object; write one like "
                        '{"path": "cats/1.jpg", "label": "cat"}'
                    )
                if tuple(row) != known:
                    known = tuple(row)
                    _header(path, list(known))
                yield number, _texts(row, f"{path} line {number}")
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise IngestError(
            f"{path} cannot be read as JSON Lines ({error}); write one object a line in UTF-8"
        ) from error


def _parquet_lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    for number, row in enumerate(tables.rows_of(path), 1):
        if number == 1:
            _header(path, list(row))
        yield number, _texts(row, f"{path} line {number}")


def _texts(row: dict[str, object], where: str) -> dict[str, str]:
    for column, value in row.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
            raise IngestError(
                f"{where}: {column} is {value!r} but must be a text or a whole number; correct it"
            )
    return {
        column.strip().lower(): "" if value is None else str(value).strip()
        for column, value in row.items()
    }


def _header(path: Path, header: list[str]) -> list[str]:
    columns = [column.strip().lower() for column in header]
    expected = "path,label[,group,split,annotator]"
    for column in columns:
        if column not in COLUMNS:
            close = difflib.get_close_matches(column, COLUMNS, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise IngestError(
                f"{path} has an unknown column {column!r}; {hint}the header is {expected}"
            )
    if "path" not in columns or len(set(columns)) < len(columns):
        problem = "no column 'path'" if "path" not in columns else "a column twice"
        raise IngestError(f"{path} has {problem}; the header is {expected}")
    return columns


def _offered(folder: str, row: dict[str, str], where: str) -> OfferedImage:
    path = row["path"]
    if not path:
        raise IngestError(f"{where} has an empty path; fill it in or remove the line")
    label = class_name(row.get("label", ""), where)
    annotator = row.get("annotator") or None
    if annotator and not label:
        raise IngestError(
            f"{where} names annotator {annotator!r} but no label; fill in the label or empty "
            "the annotator"
        )
    # A Path for each of a million lines takes longer than reading the lines.
    name = path if is_url(path) else os.path.join(folder, path)  # noqa: PTH118
    return OfferedImage(
        name=name,
        label=label,
        group=row.get("group") or None,
        split=split_name(row.get("split", ""), where),
        annotator=annotator,
        stamp=None if is_url(name) else _stamp(name),
    )


def _stamp(name: str) -> str | None:
    """Return the stamp of a file, None where there is none."""
    try:
        status = os.stat(name)  # noqa: PTH116
    except OSError:
        return None
    return stamp_of(status) if stat.S_ISREG(status.st_mode) else None
