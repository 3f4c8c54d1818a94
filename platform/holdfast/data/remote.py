"""Images behind a URL: a folder there is listed, a single file is copied here first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from holdfast.data.offers import OfferedImage, Source, class_name
from holdfast.errors import IngestError
from holdfast.store.locations import list_files, local_copy


def open_remote(url: str, open_file: Callable[[Path], Source]) -> Source:
    """Offer what a URL holds, as its path on this machine would be.

    Parameters
    ----------
    url : str
        Of a folder of class-named folders, of a folder of images, or of a file.
    open_file : callable
        Opens the copy of a single file.

    Raises
    ------
    IngestError
        If there is nothing, or the listing cannot be had.
    """
    url = url.rstrip("/")
    files = list_files(url)
    if files == [(url, "")]:
        return open_file(local_copy(url))
    # A list of a million URLs takes a few hundred megabytes: object stores list in pages, so
    # a second listing for the second pass would not be sure to be the same.
    labeled: list[tuple[str, str | None]] = []
    for file, below in files:
        *folders, name = below.split("/")
        if any(part.startswith(".") for part in (*folders, name)):
            continue
        if len(folders) > 1:
            raise IngestError(
                f"{url} holds {'/'.join(folders)}/, two folders deep, so it is not clear what the "
                "classes are; give the folder whose direct folders are the classes"
            )
        labeled.append((file, folders[0] if folders else None))
    if not labeled:
        raise IngestError(f"{url} holds no files; give a folder of images or a manifest")
    labeled.sort(key=lambda pair: (pair[1] or "", pair[0]))
    names = dict.fromkeys(label for _, label in labeled if label)
    classes = {label: class_name(label, f"folder {url}/{label}") for label in names}

    def images() -> Iterator[OfferedImage]:
        for file, label in labeled:
            yield OfferedImage(name=file, label=classes[label] if label else None)

    return Source(
        name=url,
        num_images=len(labeled),
        labels=tuple(name for name in classes.values() if name),
        images=images,
        by_name=True,
        remote=True,
    )
