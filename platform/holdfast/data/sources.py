"""What a path offers: class-named folders, unlabeled images, or a manifest."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from holdfast.data.manifest import open_manifest
from holdfast.data.offers import OfferedImage, Source, class_name
from holdfast.errors import IngestError


def open_source(path: Path) -> Source:
    """Look at a path without reading an image.

    Parameters
    ----------
    path : Path
        A folder of class-named folders, a folder of unlabeled images, or a CSV
        manifest with the columns `path,label[,group,split,annotator]` whose paths
        start at its own folder. Files beside class-named folders are unlabeled.
        Names that start with a dot are passed over.

    Raises
    ------
    IngestError
        If there is nothing to ingest or the manifest contradicts itself.
    """
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise IngestError(f"{path} does not exist; give a folder of images or a CSV manifest")
    if path.suffix.lower() != ".csv":
        raise IngestError(
            f"{path} is a single file; give the folder it lies in, or a CSV manifest "
            "(path,label) that names it"
        )
    return open_manifest(path)


def _folder(path: Path) -> Source:
    """Offer class-named folders, and the files beside them as unlabeled."""
    folders, num_images = [], len(_files(path))
    labels = []
    for folder in _folders(path):
        inner = _folders(folder)
        if inner:
            raise IngestError(
                f"{folder} holds folders of its own ({inner[0].name}/), so it is not clear what "
                "the classes are; give the folder whose direct folders are the classes, or a "
                "CSV manifest"
            )
        count = len(_files(folder))
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
        for name in _files(path):
            yield OfferedImage(name=name)
        for folder, label in zip(folders, labels, strict=True):
            for name in _files(folder):
                yield OfferedImage(name=name, label=label)

    found = tuple(label for label in labels if label)
    return Source(name=str(path), num_images=num_images, labels=found, images=images)


def _files(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        names = (entry.path for entry in entries if entry.name[0] != "." and entry.is_file())
        return sorted(names)


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        names = (entry.path for entry in entries if entry.name[0] != "." and entry.is_dir())
        return [Path(name) for name in sorted(names)]
