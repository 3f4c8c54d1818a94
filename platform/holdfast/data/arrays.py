"""Images in arrays -> offered images: NumPy archives, IDX files."""

from __future__ import annotations

import gzip
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from holdfast.data.offers import OfferedImage, Source, class_name, stamp_of
from holdfast.errors import IngestError
from holdfast.records import Images

IMAGE_NAMES = ("X", "x", "images", "image", "data", "x_train", "x_test", "X_train", "X_test")
LABEL_NAMES = ("y", "Y", "labels", "label", "targets", "y_train", "y_test")
GROUP_NAMES = ("groups", "group", "source")
_PAIRS = {"x_train": "y_train", "x_test": "y_test", "X_train": "y_train", "X_test": "y_test"}
_PNG_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_BLOCK = 65535
# Bytes of an array read at a time.
_PIECE = 4 * 2**20


def encode_png(image: Images) -> bytes:
    """Return an image as PNG, not compressed: the same bytes on every machine.

    A library's compression differs between its releases, and with it the bytes, by which
    an image is known again.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W) or (H, W, C), C of 1 to 4

    Examples
    --------
    >>> import io
    >>> from PIL import Image
    >>> pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    >>> np.asarray(Image.open(io.BytesIO(encode_png(pixels)))).tolist() == pixels.tolist()
    True
    """
    rows = image.reshape(image.shape[0], -1)
    filtered = np.zeros((rows.shape[0], rows.shape[1] + 1), np.uint8)
    filtered[:, 1:] = rows  # each row begins with its filter: none
    raw = filtered.tobytes()
    blocks = [raw[start : start + _BLOCK] for start in range(0, len(raw), _BLOCK)]
    packed = b"".join(
        struct.pack("<BHH", number == len(blocks), len(block), len(block) ^ 0xFFFF) + block
        for number, block in enumerate(blocks, 1)
    )
    channels = image.shape[2] if image.ndim == 3 else 1
    header = struct.pack(
        ">IIBBBBB", image.shape[1], image.shape[0], 8, _PNG_TYPES[channels], 0, 0, 0
    )
    body = b"\x78\x01" + packed + struct.pack(">I", zlib.adler32(raw))
    parts = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )


def open_npz(path: Path) -> Source:
    """Offer the images of a NumPy archive, read piece by piece.

    Parameters
    ----------
    path : Path
        Holds uint8 images under a name of `IMAGE_NAMES`, of shape (N, H, W), (N, H, W, C)
        or (N, C, H, W), and labels (N,) under one of `LABEL_NAMES`: numbers or texts.
        `class_names` names the numbers; `GROUP_NAMES` keep images on one side of the split.

    Raises
    ------
    IngestError
        If there are no such arrays, or they do not fit together.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = [name for name in IMAGE_NAMES if name in archive.files]
            if not found:
                raise IngestError(
                    f"{path} holds {', '.join(archive.files) or 'nothing'} but no images; name "
                    "the array X, images or data, and its labels y or labels"
                )
            class_names = archive["class_names"] if "class_names" in archive.files else None
            columns = [
                (name, _first(archive, (_PAIRS[name],) if name in _PAIRS else LABEL_NAMES))
                for name in found
            ]
            groups = _first(archive, GROUP_NAMES) if len(found) == 1 else None
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        raise IngestError(
            f"{path} cannot be read as a NumPy archive without pickled objects ({error}); save "
            "plain arrays with numpy.savez"
        ) from error
    stamp = stamp_of(path.stat())
    offers = []
    for name, labels in columns:
        with zipfile.ZipFile(path) as archive_file, archive_file.open(f"{name}.npy") as stream:
            shape = _npy_header(stream, f"{path} {name}")
        where = f"{path}#{name}" if len(columns) > 1 else str(path)
        texts = _texts(labels, class_names, shape[0], where)
        offers.append((name, where, texts))
    if groups is not None:
        _require_length(groups, len(offers[0][2]), f"{path} groups")

    def images() -> Iterator[OfferedImage]:
        for name, where, texts in offers:
            with zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
                shape = _npy_header(stream, f"{path} {name}")
                for row, image in enumerate(_read_images(stream, shape, where)):
                    yield OfferedImage(
                        name=f"{where}#{row}",
                        payload=encode_png(image),
                        label=texts[row],
                        group=str(groups[row]) if groups is not None else None,
                        stamp=stamp,
                    )

    return source_of(str(path), [text for _, _, texts in offers for text in texts], images)


def open_idx(path: Path) -> Source:
    """Offer the images of an IDX file, MNIST's format; also compressed by gzip.

    Parameters
    ----------
    path : Path
        As `train-images-idx3-ubyte.gz`; labels are taken from `train-labels-idx1-ubyte.gz`
        beside it, where that is.

    Raises
    ------
    IngestError
        If it holds no images of unsigned bytes, or another number than its labels.
    """
    if "labels-idx1" in path.name:
        raise IngestError(f"{path} holds labels; give the file of images beside it")
    beside = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
    with _open_idx(path) as stream:
        shape = _idx_header(stream, path, 3)
    labels = None
    if beside != path and beside.is_file():
        with _open_idx(beside) as stream:
            count = _idx_header(stream, beside, 1)[0]
            labels = np.frombuffer(stream.read(count), np.uint8)
    texts = _texts(labels, None, shape[0], str(path))
    stamp = stamp_of(path.stat())

    def images() -> Iterator[OfferedImage]:
        with _open_idx(path) as stream:
            shape = _idx_header(stream, path, 3)
            for row, image in enumerate(_read_images(stream, shape, str(path))):
                yield OfferedImage(
                    name=f"{path}#{row}", payload=encode_png(image), label=texts[row], stamp=stamp
                )

    return source_of(str(path), texts, images)


def source_of(
    name: str, labels: Sequence[str | None], images: Any, num_images: int | None = None
) -> Source:
    """Return a source with its classes in order: of numbers the smallest first."""
    found = list(dict.fromkeys(label for label in labels if label))
    if all(label.isdecimal() for label in found):
        found.sort(key=int)
    return Source(
        name=name,
        num_images=len(labels) if num_images is None else num_images,
        labels=tuple(found),
        images=images,
    )


def channels_last(images: Images, where: str) -> Images:
    """Return (N, H, W) or (N, H, W, C) of images that may have their channels first."""
    if images.ndim == 4 and images.shape[-1] not in _PNG_TYPES and images.shape[1] in _PNG_TYPES:
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] not in _PNG_TYPES):
        raise IngestError(
            f"{where} has shape {images.shape} but images are (N, H, W), (N, H, W, C) or "
            "(N, C, H, W) with 1 to 4 channels; reshape it"
        )
    return images


def _read_images(stream: IO[bytes], shape: Sequence[int], where: str) -> Iterator[Images]:
    """Yield images of an array in a stream, a few megabytes in memory."""
    size = math.prod(shape[1:])
    step = max(1, _PIECE // max(1, size))
    for start in range(0, shape[0], step):
        count = min(step, shape[0] - start)
        content = stream.read(count * size)
        if len(content) < count * size:
            raise IngestError(f"{where} ends within image {start}; copy or export it again")
        rows = np.frombuffer(content, np.uint8).reshape(count, *shape[1:])
        yield from channels_last(rows, where)


def _npy_header(stream: IO[bytes], where: str) -> tuple[int, ...]:
    version = np.lib.format.read_magic(stream)  # type: ignore[no-untyped-call]  # numpy: no types
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, by_column, kind = read(stream)  # type: ignore[no-untyped-call]  # as above
    if kind != np.uint8 or by_column or len(shape) not in (3, 4):
        raise IngestError(
            f"{where} is {kind} of shape {shape} but images must be uint8 of shape (N, H, W), "
            "(N, H, W, C) or (N, C, H, W), in C order; convert them"
        )
    return tuple(shape)


def _open_idx(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.open(path))
    return path.open("rb")


def _idx_header(stream: IO[bytes], path: Path, dimensions: int) -> tuple[int, ...]:
    try:
        start = stream.read(4)
        sizes = stream.read(4 * start[3]) if len(start) == 4 else b""
    except (OSError, EOFError) as error:
        raise IngestError(f"{path} cannot be read ({error}); copy it again") from error
    if start[:3] != b"\x00\x00\x08" or start[3] != dimensions or len(sizes) < 4 * dimensions:
        raise IngestError(
            f"{path} is no IDX file of unsigned bytes with {dimensions} dimensions; "
            "download it again"
        )
    return struct.unpack(f">{dimensions}I", sizes)


def _first(archive: Any, names: Sequence[str]) -> NDArray[Any] | None:
    found: NDArray[Any] | None = next(
        (archive[name] for name in names if name in archive.files), None
    )
    return found


def _texts(
    labels: NDArray[Any] | None, names: Any, num_images: int, where: str
) -> list[str | None]:
    if labels is None:
        return [None] * num_images
    labels = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    _require_length(labels, num_images, f"{where} labels")
    values, inverse = np.unique(labels, return_inverse=True)
    texts = [name_of(value, names, where) for value in values]
    return [texts[place] for place in inverse.tolist()]


def _require_length(column: NDArray[Any], num_images: int, what: str) -> None:
    if column.shape != (num_images,):
        raise IngestError(
            f"{what} have shape {column.shape} but there are {num_images} images; give one each"
        )


def name_of(label: Any, names: Any, where: str) -> str | None:
    """Return the class that a label names, itself or by its number; None for an empty one."""
    value = np.asarray(label).item() if np.asarray(label).size == 1 else label
    if isinstance(value, bytes):
        value = value.decode()
    if names is not None and isinstance(value, int):
        if not 0 <= value < len(names):
            raise IngestError(
                f"{where}: label {value} but there are {len(names)} class names; correct it"
            )
        value = names[value]
    if not isinstance(value, str | int):
        said = str(value) if isinstance(value, float) else f"of type {type(label).__name__}"
        raise IngestError(f"{where}: label {said} is no class; give whole numbers or names")
    return class_name(str(value), where)
