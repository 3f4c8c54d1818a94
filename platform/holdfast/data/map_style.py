"""Data sets of other libraries, whose items are (image, label, ...) -> offered images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Protocol

import numpy as np

from holdfast.data.arrays import channels_last, encode_png, name_of, source_of
from holdfast.data.offers import OfferedImage, Source
from holdfast.errors import IngestError
from holdfast.records import Images


class MapStyle(Protocol):
    """What torchvision, Avalanche and others call a data set: its items are (image, label, ...)."""

    def __len__(self) -> int: ...

    def __getitem__(self, row: int, /) -> Any: ...


def from_dataset(dataset: MapStyle, *, name: str, classes: Sequence[str] | None = None) -> Source:
    """Offer the items of a map-style data set, as torchvision's and Avalanche's.

    Each item is asked for once. Only where a data set tells neither its labels (`targets`,
    `labels`) nor its classes (`classes`) all of them are asked for once more beforehand.

    Parameters
    ----------
    dataset : sequence of (image, label, ...)
        An image is a Pillow image, an ndarray of uint8 as in `arrays.open_npz`, or a tensor of
        uint8, or of floats in [0, 1], of shape (C, H, W).
    name : str
        Where it comes from, for people.
    classes : sequence of str, optional
        Names of the labels; else those of `dataset.classes`, else their numbers.

    Raises
    ------
    IngestError
        If it is empty, or an item is no pair of an image and a label.
    """
    if not len(dataset):
        raise IngestError(f"{name} is empty; give a data set with images")
    known = classes if classes is not None else _class_names(dataset)
    found = _labels(dataset)
    # What is kept is not what comes out where labels are changed on the way.
    changes = getattr(dataset, "target_transform", None) is not None
    if changes or (found is None and known is None):
        found = [_item(dataset, row, name)[1] for row in range(len(dataset))]
    if found is None:
        announced = dict.fromkeys(map(str, known or ()))
    else:
        announced = dict.fromkeys(name_of(one, known, name) or "" for one in _distinct(found, name))
        if known is not None and announced.keys() <= set(known):
            # Its own order, so that classes keep the numbers they have there.
            announced = dict.fromkeys(one for one in map(str, known) if one in announced)

    def images() -> Iterator[OfferedImage]:
        for row in range(len(dataset)):
            where = f"{name}#{row}"
            item = _item(dataset, row, name)
            label = name_of(item[1], known, where)
            if label is not None and label not in announced:
                raise IngestError(
                    f"{where} has the label {label}, which is not among those that the data set "
                    f"names ({', '.join(islice(announced, 5))}, ...); correct its `targets` or "
                    "`classes`"
                )
            yield OfferedImage(name=where, payload=encode_png(_pixels(item[0], where)), label=label)

    return source_of(name, list(announced), images, len(dataset))


def _item(dataset: MapStyle, row: int, name: str) -> tuple[Any, ...] | list[Any]:
    try:
        item = dataset[row]
    except Exception as error:
        raise IngestError(
            f"{name}#{row} cannot be read: the data set raised {type(error).__name__}: "
            f"{_first_line(error)}; correct it, or leave that item out"
        ) from error
    if not isinstance(item, tuple | list) or len(item) < 2:
        raise IngestError(
            f"{name}#{row} is {type(item).__name__} but must be (image, label); wrap the "
            "data set in one that gives both"
        )
    return item


def _class_names(dataset: Any) -> Sequence[str] | None:
    names: Sequence[str] | None = getattr(dataset, "classes", None)
    if names is None and hasattr(dataset, "indices"):
        return _class_names(getattr(dataset, "dataset", None))
    return names


def _labels(dataset: Any) -> Sequence[Any] | None:
    """Return the label of each item as the data set keeps them; None where it does not tell."""
    for column in ("targets", "labels"):
        labels: Any = getattr(dataset, column, ())
        if hasattr(labels, "__len__") and len(labels) == len(dataset):
            return list(labels)
    inner, rows = getattr(dataset, "dataset", None), getattr(dataset, "indices", None)
    if inner is not None and rows is not None:
        labels = _labels(inner)
        return None if labels is None else [labels[int(row)] for row in rows]
    return None


def _distinct(labels: Sequence[Any], name: str) -> list[Any]:
    """Return each label once, in the order of first mention."""
    try:
        return list(dict.fromkeys(np.asarray(one).item() for one in labels))
    except (TypeError, ValueError) as error:
        raise IngestError(
            f"{name}: a label is {type(labels[0]).__name__} of several values but must be one "
            "class, a number or a name; wrap the data set in one that gives that"
        ) from error


def _pixels(image: Any, where: str) -> Images:
    """Return the pixels of one item as (H, W) or (H, W, C)."""
    pixels = np.asarray(image.convert("RGB") if getattr(image, "mode", "RGB") == "P" else image)
    if pixels.dtype.kind == "f" and pixels.size and 0 <= pixels.min() <= pixels.max() <= 1:
        pixels = np.rint(pixels * 255).astype(np.uint8)
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise IngestError(
            f"{where} is {pixels.dtype} of shape {pixels.shape} but must be uint8, or floats in "
            "[0, 1], of shape (H, W), (H, W, C) or (C, H, W); leave out what normalizes images"
        )
    one: Images = channels_last(pixels[None], where)[0]
    return one


def _first_line(error: Exception) -> str:
    return (str(error).strip() or "no message").splitlines()[0]
