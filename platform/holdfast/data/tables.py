"""Tables with images in them: Parquet files, and data sets that Hugging Face saved to disk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.data.offers import OfferedImage, Source, class_name, split_name, stamp_of
from holdfast.errors import IngestError

# pyarrow takes a third of a second to import.
if TYPE_CHECKING:
    import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types

IMAGE_COLUMNS = ("image", "img", "bytes")
LABEL_COLUMNS = ("label", "labels", "class", "fine_label")
# Rows read at a time: images of a few megabytes each must fit.
_ROWS = 64


def holds_images(path: Path) -> bool:
    """Whether a Parquet file has a column of images, besides what a manifest has."""
    return _column(_schema(path), IMAGE_COLUMNS) is not None


def saved_by_hugging_face(folder: Path) -> list[Path]:
    """Return the files of a data set that `save_to_disk` wrote, or of all its splits; else []."""
    splits = folder / "dataset_dict.json"
    if splits.is_file():
        names = json.loads(splits.read_text())["splits"]
        return [file for name in names for file in saved_by_hugging_face(folder / name)]
    state = folder / "state.json"
    if not (state.is_file() and (folder / "dataset_info.json").is_file()):
        return []
    return [folder / one["filename"] for one in json.loads(state.read_text())["_data_files"]]


def open_tables(paths: Sequence[Path], name: str) -> Source:
    """Offer the images in the rows of Parquet or Arrow files.

    Parameters
    ----------
    paths : sequence of Path
        Each has a column of `IMAGE_COLUMNS`: encoded bytes, or what Hugging Face's `Image`
        is, bytes with a path. A column of `LABEL_COLUMNS` holds names or the numbers of
        classes, named where the file says so; `group`, `split` and `annotator` are those
        of a manifest.
    name : str
        Of the source, for messages.

    Raises
    ------
    IngestError
        If a file has no such column, cannot be read, or holds no rows.
    """
    num_images, labels = 0, dict[str, None]()
    for path in paths:
        column = _column(_schema(path), LABEL_COLUMNS)
        names = _class_names(_schema(path), column)
        for batch in _batches(path, [column] if column else []):
            num_images += batch.num_rows
            for value in batch.column(0).unique().to_pylist() if column else []:
                labels[_label(value, names, str(path)) or ""] = None
    labels.pop("", None)
    if not num_images:
        raise IngestError(f"{name} holds no rows; give a file with images in it")
    return Source(
        name=name,
        num_images=num_images,
        labels=tuple(_in_order(list(labels), [_class_names_of(path) for path in paths])),
        images=lambda: (image for path in paths for image in _images(path)),
    )


def rows_of(path: Path) -> Iterator[dict[str, object]]:
    """Yield the rows of a Parquet file."""
    for batch in _batches(path, None):
        yield from batch.to_pylist()


def _images(path: Path) -> Iterator[OfferedImage]:
    schema = _schema(path)
    image, label = _column(schema, IMAGE_COLUMNS), _column(schema, LABEL_COLUMNS)
    if image is None:
        raise IngestError(
            f"{path} has no column of images; name it {', '.join(IMAGE_COLUMNS[:-1])} or "
            f"{IMAGE_COLUMNS[-1]}"
        )
    names = _class_names(schema, label)
    others = [column for column in ("group", "split", "annotator") if column in schema.names]
    stamp, row = stamp_of(path.stat()), 0
    for batch in _batches(path, [image, *([label] if label else []), *others]):
        for values in batch.to_pylist():
            where = f"{path}#{row}"
            row += 1
            value = values[image]
            payload = value.get("bytes") if isinstance(value, dict) else value
            inner = str(value.get("path") or "") if isinstance(value, dict) else ""
            if payload is None and not inner:
                payload = b""  # goes to quarantine as an empty file
            yield OfferedImage(
                name=where if payload is not None else str(path.parent / inner),
                payload=payload,
                label=_label(values.get(label), names, where) if label else None,
                group=_text(values.get("group")),
                split=split_name(_text(values.get("split")) or "", where),
                annotator=_text(values.get("annotator")),
                stamp=stamp,
            )


def _batches(path: Path, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    """Yield a few rows at a time; with no columns at all, all that count is their number."""
    import pyarrow as pa

    try:
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq  # type: ignore[import-untyped]  # as above

            with pq.ParquetFile(path) as file:
                yield from file.iter_batches(batch_size=_ROWS, columns=columns)
            return
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
            for batch in stream:
                chosen = batch if columns is None else batch.select(columns)
                for start in range(0, chosen.num_rows, _ROWS):
                    yield chosen.slice(start, _ROWS)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from error


def _schema(path: Path) -> pa.Schema:
    import pyarrow as pa

    try:
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            return pq.read_schema(path)
        with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as stream:
            return stream.schema
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> IngestError:
    return IngestError(
        f"{path} cannot be read as a table ({str(error).splitlines()[0][:100]}); write it again"
    )


def _column(schema: pa.Schema, wanted: Sequence[str]) -> str | None:
    return next((name for name in wanted if name in schema.names), None)


def _class_names_of(path: Path) -> list[str]:
    schema = _schema(path)
    return _class_names(schema, _column(schema, LABEL_COLUMNS))


def _class_names(schema: pa.Schema, column: str | None) -> list[str]:
    """Return the names that Hugging Face's notes give the classes; [] where there are none."""
    notes = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    feature: Any = notes.get("info", {}).get("features", {}).get(column, {})
    return list(feature.get("names") or []) if isinstance(feature, dict) else []


def _label(value: object, names: list[str], where: str) -> str | None:
    # Hugging Face writes -1 where a label is not known.
    if value is None or (value == -1 and names):
        return None
    if names and isinstance(value, int):
        if not 0 <= value < len(names):
            raise IngestError(
                f"{where}: label {value} but there are {len(names)} class names; correct it"
            )
        return class_name(names[value], where)
    return class_name(str(value), where)


def _text(value: object) -> str | None:
    return None if value is None else str(value) or None


def _in_order(found: list[str], named: Sequence[Sequence[str]]) -> list[str]:
    """Return classes in the order of their own numbering; numbers by size, names by first use."""
    if all(name.isdecimal() for name in found):
        return sorted(found, key=int)
    order = {name: place for names in named for place, name in enumerate(names)}
    return sorted(found, key=lambda name: order.get(name, len(order)))
