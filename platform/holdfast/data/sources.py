"""What a path or URL offers: folders, manifests, tables, arrays or archives."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from holdfast.data import arrays, manifest, shards, tables
from holdfast.data.offers import OfferedImage, Source, class_name, stamp_of
from holdfast.data.remote import open_remote
from holdfast.errors import IngestError

IDX = re.compile(r"[.-]idx\d-ubyte(\.gz)?$")


def open_source(location: Path | str) -> Source:
    """Look at what lies at a location, without decoding an image.

    Parameters
    ----------
    location : Path, or str for a URL
        A folder of class-named folders, or of unlabeled images (files beside class-named
        folders are unlabeled; names that start with a dot are passed over); a manifest
        (.csv, .jsonl, .parquet) with the columns `path,label[,group,split,annotator]`
        whose paths start at its own folder; a Parquet file with images in it, or a folder
        of such; a Hugging Face data set saved to disk; a NumPy archive (.npz); an IDX file
        (MNIST's, also .gz) with its labels beside it; a tar file or a folder of them, also
        in the form of WebDataset. Or the URL of a folder or of one of these files.

    Raises
    ------
    IngestError
        If there is nothing to ingest or the source contradicts itself.
    """
    if isinstance(location, str):
        return open_remote(location, _open_file)
    if location.is_dir():
        return _open_folder(location)
    if not location.exists():
        raise IngestError(f"{location} does not exist; give a folder of images or a CSV manifest")
    return _open_file(location)


def _open_file(path: Path) -> Source:
    name = path.name.lower()
    if name.endswith(manifest.SUFFIXES):
        return manifest.open_manifest(path)
    if name.endswith(".parquet"):
        if tables.holds_images(path):
            return tables.open_tables([path], str(path))
        return manifest.open_manifest(path)
    if name.endswith(".npz"):
        return arrays.open_npz(path)
    if IDX.search(name):
        return arrays.open_idx(path)
    if name.endswith(shards.SUFFIXES):
        return shards.open_shards([path], str(path))
    raise IngestError(
        f"{path} is a single file; give the folder it lies in, a manifest that names it (.csv, "
        ".jsonl or .parquet), or a file that holds images (.parquet, .npz, .tar or IDX)"
    )


def _open_folder(path: Path) -> Source:
    """Tell a folder of files that hold images from a folder of images."""
    arrow_files = tables.saved_by_hugging_face(path)
    if arrow_files:
        return tables.open_tables(arrow_files, str(path))
    files = [Path(name) for name, _ in _files(path)]
    if files and not _folders(path):
        names = [file.name.lower() for file in files]
        if all(name.endswith(shards.SUFFIXES) for name in names):
            return shards.open_shards(files, str(path))
        if all(name.endswith(".parquet") for name in names) and tables.holds_images(files[0]):
            return tables.open_tables(files, str(path))
    return _folder(path)


def _folder(path: Path) -> Source:
    """Offer class-named folders, and the files beside them as unlabeled."""
    folders, num_images = [], _num_files(path)
    labels = []
    for folder in _folders(path):
        inner = _folders(folder)
        if inner:
            raise IngestError(
                f"{folder} holds folders of its own ({inner[0].name}/), so it is not clear what "
                "the classes are; give the folder whose direct folders are the classes, or a "
                "CSV manifest"
            )
        count = _num_files(folder)
        if count:
            num_images += count
            folders.append(folder)
            labels.append(class_name(folder.name, f"folder {folder}"))
    if not num_images:
        raise IngestError(
            f"{path} holds no files; give a folder of images, a folder of class-named folders, "
            "or a CSV manifest"
        )

    def images() -> Iterator[OfferedImage]:
        for name, stamp in _files(path):
            yield OfferedImage(name=name, stamp=stamp)
        for folder, label in zip(folders, labels, strict=True):
            for name, stamp in _files(folder):
                yield OfferedImage(name=name, label=label, stamp=stamp)

    found = tuple(label for label in labels if label)
    return Source(name=str(path), num_images=num_images, labels=found, images=images, by_name=True)


def _files(folder: Path) -> list[tuple[str, str]]:
    with os.scandir(folder) as entries:
        return sorted(
            (entry.path, stamp_of(entry.stat()))
            for entry in entries
            if entry.name[0] != "." and entry.is_file()
        )


def _num_files(folder: Path) -> int:
    with os.scandir(folder) as entries:
        return sum(entry.name[0] != "." and entry.is_file() for entry in entries)


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = (entry.path for entry in entries if entry.name[0] != "." and entry.is_dir())
        return [Path(name) for name in sorted(names)]
