import gzip
import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from holdfast.data.arrays import encode_png
from holdfast.data.integrity import inspect
from holdfast.data.map_style import from_dataset
from holdfast.data.sources import open_source
from holdfast.errors import IngestError


def decoded(payload):
    return np.asarray(Image.open(BytesIO(payload)))


def write_idx(path, array):
    content = b"\x00\x00\x08" + bytes([array.ndim])
    content += struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.mark.parametrize(
    "shape", [(8, 9), (8, 9, 1), (8, 9, 2), (8, 9, 3), (8, 9, 4), (200, 200, 3)]
)
def test_png_holds_the_pixels_and_passes_the_inspection(pixels, shape):
    payload = encode_png(pixels(0, shape))
    np.testing.assert_array_equal(decoded(payload), pixels(0, shape).squeeze())
    assert inspect(payload).reason is None


@pytest.mark.parametrize(
    ("images", "labels"),
    [("X", "y"), ("images", "labels"), ("data", "targets"), ("x_train", "y_train")],
)
def test_npz_offers_images_and_labels_of_every_known_name(tmp_path, pixels, images, labels):
    shown = pixels(1, (5, 8, 9, 3))
    np.savez(tmp_path / "a.npz", **{images: shown, labels: np.array([10, 2, 2, 10, 2])})
    source = open_source(tmp_path / "a.npz")
    assert (source.num_images, source.labels) == (5, ("2", "10"))
    offered = list(source.images())
    assert [one.label for one in offered] == ["10", "2", "2", "10", "2"]
    np.testing.assert_array_equal([decoded(one.payload) for one in offered], shown)


def test_npz_compressed_with_channels_first_names_and_groups(tmp_path, pixels):
    shown = pixels(2, (4, 3, 8, 9))
    np.savez_compressed(
        tmp_path / "a.npz",
        X=shown,
        y=np.array([1, 0, 1, 0]),
        class_names=np.array(["cat", "dog"]),
        source=np.array([7, 7, 8, 8]),
    )
    offered = list(open_source(tmp_path / "a.npz").images())
    assert [(one.label, one.group) for one in offered] == [
        ("dog", "7"),
        ("cat", "7"),
        ("dog", "8"),
        ("cat", "8"),
    ]
    np.testing.assert_array_equal(decoded(offered[3].payload), shown[3].transpose(1, 2, 0))


def test_npz_is_read_in_pieces_with_the_same_images(tmp_path, pixels, monkeypatch):
    shown = pixels(3, (7, 8, 8))
    np.savez(tmp_path / "a.npz", X=shown)
    monkeypatch.setattr("holdfast.data.arrays._PIECE", 130)
    offered = [decoded(one.payload) for one in open_source(tmp_path / "a.npz").images()]
    np.testing.assert_array_equal(offered, shown)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((2, 8, 8), np.uint8)}, "holds pictures but no images; name"),
        ({"X": np.zeros((2, 8, 8), np.float32)}, "is float32 of shape .* must be uint8"),
        ({"X": np.zeros((2, 8), np.uint8)}, "must be uint8 of shape"),
        ({"X": np.zeros((2, 8, 8, 7), np.uint8)}, "1 to 4 channels"),
        ({"X": np.zeros((2, 8, 8), np.uint8), "y": np.zeros(3, int)}, "there are 2 images"),
        ({"X": np.zeros((1, 8, 8), np.uint8), "y": np.array([0.5])}, "label 0.5 is no class"),
        (
            {"X": np.zeros((1, 8, 8), np.uint8), "y": np.array([2]), "class_names": ["a", "b"]},
            "label 2 but there are 2 class names",
        ),
    ],
)
def test_npz_that_cannot_be_used_says_what_to_do(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(IngestError, match=message):
        list(open_source(tmp_path / "a.npz").images())


def test_npz_that_is_none_raises(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK nothing")
    with pytest.raises(IngestError, match="cannot be read as a NumPy archive"):
        open_source(tmp_path / "a.npz")


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_offers_images_with_the_labels_beside_them(tmp_path, pixels, suffix):
    shown = pixels(4, (3, 28, 28))
    write_idx(tmp_path / f"t10k-images-idx3-ubyte{suffix}", shown)
    write_idx(tmp_path / f"t10k-labels-idx1-ubyte{suffix}", np.array([7, 2, 7], np.uint8))
    source = open_source(tmp_path / f"t10k-images-idx3-ubyte{suffix}")
    assert source.labels == ("2", "7")
    offered = list(source.images())
    assert [one.label for one in offered] == ["7", "2", "7"]
    np.testing.assert_array_equal([decoded(one.payload) for one in offered], shown)


def test_idx_without_labels_offers_unlabeled_images(tmp_path, pixels):
    write_idx(tmp_path / "train-images-idx3-ubyte", pixels(5, (2, 8, 8)))
    source = open_source(tmp_path / "train-images-idx3-ubyte")
    assert [one.label for one in source.images()] == [None, None]


def test_idx_truncated_or_foreign_raises(tmp_path, pixels):
    path = tmp_path / "train-images-idx3-ubyte"
    write_idx(path, pixels(5, (4, 8, 8)))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(IngestError, match="ends within image 0"):
        list(open_source(path).images())
    path.write_bytes(b"hello, this is text")
    with pytest.raises(IngestError, match="is no IDX file"):
        open_source(path)


class Pairs(list):
    classes = ("cat", "dog")


def test_dataset_of_pictures_arrays_and_tensors_offers_their_pixels(pixels):
    shown = pixels(6, (8, 9, 3))
    scaled = shown.transpose(2, 0, 1).astype(np.float32) / 255
    source = from_dataset(
        Pairs([(Image.fromarray(shown), 1), (shown, 0), (scaled, np.int64(1), "more")]), name="set"
    )
    assert (source.num_images, source.labels) == (3, ("cat", "dog"))
    for one in source.images():
        np.testing.assert_array_equal(decoded(one.payload), shown)
    assert [one.label for one in source.images()] == ["dog", "cat", "dog"]


def test_dataset_that_normalizes_its_images_raises(pixels):
    source = from_dataset([(pixels(0).astype(np.float32) - 100, 1)], name="set")
    with pytest.raises(IngestError, match=r"set#0 is float32 .* leave out what normalizes"):
        list(source.images())
