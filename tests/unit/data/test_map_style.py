"""Data sets of torchvision, Avalanche and anybody: each item is asked for once."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from holdfast.data.map_style import from_dataset
from holdfast.errors import IngestError

SHOWN = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)


class Counting:
    """A data set that counts how often each item is asked for."""

    def __init__(self, labels: Sequence[Any], /, **told: Any) -> None:
        self.items = [(Image.fromarray(SHOWN + k), label) for k, label in enumerate(labels)]
        self.asked = [0] * len(labels)
        for name, value in told.items():
            setattr(self, name, value)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> Any:
        self.asked[row] += 1
        return self.items[row]


class Part:
    """As torch's Subset."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, row: int) -> Any:
        return self.dataset[self.indices[row]]


@pytest.mark.parametrize(
    ("told", "labels"),
    [
        ({"targets": [1, 0, 1]}, ("0", "1")),
        ({"targets": np.array([1, 0, 1])}, ("0", "1")),
        ({"labels": [1, 0, 1]}, ("0", "1")),
        ({"targets": [1, 0, 1], "classes": ["cat", "dog"]}, ("cat", "dog")),
        ({"classes": ["cat", "dog"]}, ("cat", "dog")),
    ],
)
def test_dataset_that_tells_its_labels_is_read_once(
    told: dict[str, Any], labels: tuple[str, ...]
) -> None:
    dataset = Counting([1, 0, 1], **told)
    source = from_dataset(dataset, name="set")
    assert (source.labels, source.num_images) == (labels, 3)
    assert dataset.asked == [0, 0, 0]
    offered = list(source.images())
    assert dataset.asked == [1, 1, 1]
    names = told.get("classes", ["0", "1"])
    assert [one.label for one in offered] == [names[1], names[0], names[1]]
    first = np.asarray(Image.open(BytesIO(offered[0].payload or b"")))
    np.testing.assert_array_equal(first, SHOWN)


def test_dataset_that_tells_nothing_is_asked_for_its_labels_first() -> None:
    dataset = Counting([1, 0, 1])
    assert from_dataset(dataset, name="set").labels == ("0", "1")
    assert dataset.asked == [1, 1, 1]


def test_part_of_a_dataset_knows_its_labels_and_classes() -> None:
    whole = Counting([2, 0, 1], targets=[2, 0, 1], classes=["a", "b", "c"])
    source = from_dataset(Part(whole, [2, 0]), name="set")
    assert source.labels == ("b", "c")
    assert whole.asked == [0, 0, 0]
    assert [one.label for one in source.images()] == ["b", "c"]


def test_labels_changed_on_the_way_out_are_the_ones_that_come_out() -> None:
    dataset = Counting(["one", "two"], targets=[1, 2], target_transform=str)
    source = from_dataset(dataset, name="set")
    assert source.labels == ("one", "two")
    assert [one.label for one in source.images()] == ["one", "two"]


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (Counting([]), "set is empty"),
        (Counting([1, 2], targets=[0, 1]), "set#1 has the label 2, which is not among"),
        (Counting([{"box": 1}], classes=["a"]), "set#0: label of type dict is no class"),
        (Counting([[0, 1]], classes=["a"]), "set#0: label of type list is no class"),
        (Counting([[0, 1], [1, 0]]), "a label is list of several values"),
        (Counting([0.5]), "label 0.5 is no class"),
        (Counting([7], classes=["a"]), "label 7 but there are 1 class names"),
    ],
)
def test_labels_that_are_none_are_refused(dataset: Any, message: str) -> None:
    with pytest.raises(IngestError, match=message):
        list(from_dataset(dataset, name="set").images())


class Broken(Counting):
    """One that cannot read its second item."""

    def __getitem__(self, row: int) -> Any:
        if row == 1:
            raise OSError("truncated\nfile")
        return super().__getitem__(row)


def test_item_that_cannot_be_read_is_named() -> None:
    source = from_dataset(Broken([0, 1], targets=[0, 1]), name="set")
    with pytest.raises(IngestError, match=r"set#1 cannot be read: .* OSError: truncated; "):
        list(source.images())
