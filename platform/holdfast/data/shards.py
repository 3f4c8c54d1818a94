"""Tar files -> offered images: class folders in an archive, and WebDataset's shards."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from holdfast.data.offers import OfferedImage, Source, class_name, split_name, stamp_of
from holdfast.errors import IngestError

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
# What WebDataset keeps beside an image, under the same name.
_BESIDE = ("cls", "json", "txt")
_KEYS = ("label", "group", "split", "annotator")


@dataclass(slots=True)
class _Member:
    """The image and the notes that share a name in an archive."""

    key: str
    image: str = ""
    payload: bytes | None = None
    notes: dict[str, str] = field(default_factory=dict)


def open_shards(paths: Sequence[Path], name: str) -> Source:
    """Offer the images in tar files, which are read from front to back and never unpacked.

    Parameters
    ----------
    paths : sequence of Path
        The label of `0001.jpg` is in `0001.cls` (or under `label` in `0001.json`, beside
        `group`, `split` and `annotator`) right before or behind it, as WebDataset has it;
        else it is the folder in the archive that the image lies in.
    name : str
        Of the source, for messages.

    Raises
    ------
    IngestError
        If an archive cannot be read, or holds no files.
    """
    num_images, labels = 0, dict[str, None]()
    for path in paths:
        for member in _members(path, read_images=False):
            num_images += 1
            label = _label(path, member)
            if label:
                labels[label] = None
    if not num_images:
        raise IngestError(f"{name} holds no files; give an archive of images")
    found = list(labels)
    if all(label.isdecimal() for label in found):
        found.sort(key=int)
    return Source(
        name=name,
        num_images=num_images,
        labels=tuple(found),
        images=lambda: (image for path in paths for image in _images(path)),
    )


def _images(path: Path) -> Iterator[OfferedImage]:
    stamp = stamp_of(path.stat())
    for member in _members(path, read_images=True):
        where = f"{path}#{member.image}"
        yield OfferedImage(
            name=where,
            payload=member.payload,
            label=_label(path, member),
            group=member.notes.get("group") or None,
            split=split_name(member.notes.get("split", ""), where),
            annotator=member.notes.get("annotator") or None,
            stamp=stamp,
        )


def _members(path: Path, *, read_images: bool) -> Iterator[_Member]:
    """Yield each image with its notes; files that share a name follow one another."""
    member: _Member | None = None
    try:
        with tarfile.open(path, "r|*") as archive:
            for entry in archive:
                at = PurePosixPath(entry.name)
                if not entry.isfile() or any(part.startswith(".") for part in at.parts[-1:]):
                    continue
                stem, _, kind = at.name.partition(".")
                key = str(at.parent / stem)
                if member is None or member.key != key:
                    yield from _whole(path, member)
                    member = _Member(key)
                kind = kind.lower()
                if kind in _BESIDE:
                    stream = archive.extractfile(entry)
                    _note(member, kind, b"" if stream is None else stream.read(), path)
                    continue
                if member.image:
                    # Two images of one name, as 1.jpg beside 1.png: two samples.
                    yield from _whole(path, member)
                    member = _Member(key, notes=dict(member.notes))
                member.image = entry.name
                if read_images:
                    stream = archive.extractfile(entry)
                    member.payload = b"" if stream is None else stream.read()
            yield from _whole(path, member)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise IngestError(
            f"{path} cannot be read to its end as a tar file ({error}); copy it again"
        ) from error


def _whole(path: Path, member: _Member | None) -> Iterator[_Member]:
    if member is None:
        return
    if not member.image:
        raise IngestError(
            f"{path} holds a label for {member.key} but no image beside it; files that share a "
            "name must follow one another"
        )
    yield member


def _note(member: _Member, kind: str, content: bytes, path: Path) -> None:
    where = f"{path}#{member.key}.{kind}"
    try:
        text = content.decode()
        if kind == "json":
            notes = json.loads(text)
            if isinstance(notes, dict):
                found = {key: notes[key] for key in _KEYS if notes.get(key) is not None}
                member.notes |= {key: str(value) for key, value in found.items()}
        elif kind == "cls":
            member.notes["label"] = text.strip()
    except ValueError as error:
        raise IngestError(f"{where} cannot be read ({error}); write it again") from error


def _label(path: Path, member: _Member) -> str | None:
    where = f"{path}#{member.image}"
    if "label" in member.notes:
        return class_name(member.notes["label"], where)
    folder = PurePosixPath(member.image).parent.name
    return class_name(folder, where) if folder else None
