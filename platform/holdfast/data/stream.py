"""Labeled samples -> what the learner takes: pixels, and what is new since it last learned."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps

from holdfast.data.integrity import decoding_threads, num_threads
from holdfast.errors import IngestError
from holdfast.records import Ids, Images, LabelTable
from holdfast.store.images import ImageStore

# Images per job at most: a job per image costs more than decoding a small one.
CHUNK = 64
# Images read from a store at once: encoded ones are in memory beside the decoded.
_PIECE = 1024


def decode(payloads: Sequence[bytes], image_size: int, channels: int) -> Images:
    """Decode images to one size.

    An image of another size is scaled to the square as a whole (bilinear, averaging
    over what it shrinks): nothing at the border is cut away, at the price of a
    changed aspect ratio. An 8-bit image that already has the size and the channels
    passes untouched, bit for bit. Orientation from the camera is applied,
    transparency becomes white, 16 bits become 8.

    Parameters
    ----------
    payloads : sequence of bytes, length N
        Encoded images.
    image_size : int
        Side in pixels.
    channels : int
        3 (color) or 1 (gray).

    Returns
    -------
    ndarray of uint8, shape (N, channels, image_size, image_size)
        Empty first axis for no payloads. Threads decode; memory is that of the
        result, so ask for a pool in pieces.

    Raises
    ------
    IngestError
        If an image cannot be decoded, although it was checked when it was ingested.
    ValueError
        If `channels` is neither 1 nor 3.
    """
    if channels not in (1, 3):
        raise ValueError(f"expected 1 or 3 channels, got {channels}")
    images = np.empty((len(payloads), channels, image_size, image_size), dtype=np.uint8)

    chunk = min(CHUNK, max(1, -(-len(payloads) // num_threads())))

    def fill(start: int) -> None:
        for row in range(start, min(start + chunk, len(payloads))):
            images[row] = _decode_one(payloads[row], image_size, channels)

    starts = range(0, len(payloads), chunk)
    if len(starts) <= 1:
        for start in starts:
            fill(start)
        return images
    with decoding_threads() as pool:
        list(pool.map(fill, starts))
    return images


class StoredImages:
    """Images of a store as rows, read and decoded whenever they are asked for.

    Parameters
    ----------
    store : ImageStore
    uids : sequence of str, length N
        Which image each row is.
    image_size, channels : int
        As for `decode`.

    Attributes
    ----------
    shape : (int, int, int, int)
        (N, channels, image_size, image_size).

    Notes
    -----
    Memory: 64 bytes a row. Asking for rows costs one read of the store and a decode of each;
    `stored[:]` is all of them, in memory.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> file = BytesIO()
    >>> Image.new("L", (8, 8), 7).save(file, "PNG")
    >>> store = ImageStore(Path(tempfile.mkdtemp()) / "samples.lance")
    >>> added = store.add(["a" * 64], [file.getvalue()])
    >>> StoredImages(store, ["a" * 64], 8, 1)[np.array([0, 0])].shape
    (2, 1, 8, 8)
    """

    def __init__(
        self, store: ImageStore, uids: Sequence[str], image_size: int, channels: int
    ) -> None:
        self._store, self._uids_n = store, np.array(uids, dtype="S64")
        self._image_size, self._channels = image_size, channels
        self.shape = (len(uids), channels, image_size, image_size)

    def __len__(self) -> int:
        return len(self._uids_n)

    def __getitem__(self, rows: Ids | slice) -> Images:
        """Return the images of some rows; see `decode` and `ImageStore.read` for errors."""
        uids = self._uids_n[rows].astype(str).tolist()
        images = np.empty((len(uids), *self.shape[1:]), dtype=np.uint8)
        for start in range(0, len(uids), _PIECE):
            payloads = self._store.read(uids[start : start + _PIECE])
            images[start : start + _PIECE] = decode(payloads, self._image_size, self._channels)
        return images


def changed(before: LabelTable, after: LabelTable) -> tuple[Ids, Ids]:
    """Tell what a learner that knows `before` must learn, and let go of, to know `after`.

    Parameters
    ----------
    before, after : LabelTable
        Labels when it last learned, and now.

    Returns
    -------
    sample_ids_n : ndarray of int64
        Samples that are new or have another label, in the order of `after`.
    withdrawn_ids : ndarray of int64
        Samples that no longer have a label. A verified flag alone changes nothing.

    Examples
    --------
    >>> def table(labels):
    ...     ids = np.array(sorted(labels), dtype=np.int64)
    ...     classes = np.array([labels[i] for i in ids], dtype=np.int64)
    ...     return LabelTable(ids, classes, np.zeros(len(ids), dtype=bool))
    >>> [ids.tolist() for ids in changed(table({1: 0, 2: 0, 3: 1}), table({2: 1, 3: 1, 4: 0}))]
    [[2, 4], [1]]
    """
    _, at_before, at_after = np.intersect1d(
        before.sample_ids_n, after.sample_ids_n, assume_unique=True, return_indices=True
    )
    same = before.class_ids_n[at_before] == after.class_ids_n[at_after]
    return np.delete(after.sample_ids_n, at_after[same]), np.delete(before.sample_ids_n, at_before)


def _decode_one(payload: bytes, image_size: int, channels: int) -> Images:
    """Decode one image to (channels, image_size, image_size)."""
    mode = "RGB" if channels == 3 else "L"
    side = (image_size, image_size)
    try:
        with Image.open(BytesIO(payload)) as opened:
            # Lets JPEG decode at 1/2, 1/4 or 1/8 where that is still large enough.
            opened.draft(mode, side)
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I;16"):
                image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
            if image.has_transparency_data:
                layer = image.convert("RGBA")
                image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
            image = image.convert(mode)
    except Exception as error:
        raise IngestError(
            f"a stored image of {len(payload)} bytes cannot be decoded ({error}); "
            "run `holdfast doctor` and ingest the file again"
        ) from error
    if image.size != side:
        image = image.resize(side, Image.Resampling.BILINEAR)
    pixels = np.asarray(image)
    return pixels[None] if channels == 1 else pixels.transpose(2, 0, 1)
