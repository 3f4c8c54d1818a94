"""A CSV manifest -> offered images: every line is checked before the first is used."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator
from pathlib import Path

from holdfast.data.offers import OfferedImage, Source, class_name, split_name
from holdfast.errors import IngestError

COLUMNS = ("path", "label", "group", "split", "annotator")


def open_manifest(path: Path) -> Source:
    """Offer the images a manifest names, after a pass over all of its lines.

    Raises
    ------
    IngestError
        If a line names a missing file, the header has an unknown column or no `path`,
        a split is unknown, or the file is not comma-separated UTF-8 text. The message
        names the line.
    """
    num_images, missing, first_missing = 0, 0, ""
    labels: dict[str, None] = {}
    for line, offered in _rows(path):
        num_images += 1
        if offered.label:
            labels[offered.label] = None
        if not Path(offered.name).is_file():
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
    )


def _rows(path: Path) -> Iterator[tuple[int, OfferedImage]]:
    """Yield line number and image of every line of a manifest."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines)
            columns = _header(path, next(reader, []))
            for cells in reader:
                if not cells:
                    continue
                where = f"{path} line {reader.line_num}"
                if len(cells) != len(columns):
                    raise IngestError(
                        f"{where} has {len(cells)} cells but the header has {len(columns)}; "
                        "quote cells that contain a comma"
                    )
                row = dict(zip(columns, (cell.strip() for cell in cells), strict=True))
                yield reader.line_num, _offered(path.parent, row, where)
    except (UnicodeDecodeError, csv.Error) as error:
        raise IngestError(
            f"{path} cannot be read as CSV ({error}); save it as comma-separated UTF-8 text"
        ) from error


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


def _offered(folder: Path, row: dict[str, str], where: str) -> OfferedImage:
    if not row["path"]:
        raise IngestError(f"{where} has an empty path; fill it in or remove the line")
    label = class_name(row.get("label", ""), where)
    annotator = row.get("annotator") or None
    if annotator and not label:
        raise IngestError(
            f"{where} names annotator {annotator!r} but no label; fill in the label or empty "
            "the annotator"
        )
    return OfferedImage(
        name=str(folder / row["path"]),
        label=label,
        group=row.get("group") or None,
        split=split_name(row.get("split", ""), where),
        annotator=annotator,
    )
