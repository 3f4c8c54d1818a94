from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from holdfast.data import stream
from holdfast.data.stream import StoredImages, changed, decode
from holdfast.errors import IngestError, LedgerError
from holdfast.records import LabelTable
from holdfast.store.images import ImageStore


def png(pixels) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def table(labels: dict[int, int], verified: bool = False) -> LabelTable:
    ids = np.array(sorted(labels), dtype=np.int64)
    classes = np.array([labels[int(i)] for i in ids], dtype=np.int64)
    return LabelTable(ids, classes, np.full(len(ids), verified))


def test_decode_image_at_size_passes_bit_for_bit():
    color = np.random.default_rng(0).integers(0, 256, (150, 9, 9, 3), dtype=np.uint8)
    np.testing.assert_array_equal(
        decode([png(x) for x in color], 9, 3), color.transpose(0, 3, 1, 2)
    )
    gray = color[..., 0]
    np.testing.assert_array_equal(decode([png(x) for x in gray], 9, 1), gray[:, None])


def test_decode_other_size_keeps_the_whole_picture():
    # Left half black, right half white: a crop of the middle would keep half of it too,
    # so mark the outermost columns.
    pixels = np.full((20, 60), 128, dtype=np.uint8)
    pixels[:, :6], pixels[:, -6:] = 0, 255
    row = decode([png(pixels)], 10, 1)[0, 0, 5]
    assert row[0] < 20
    assert row[-1] > 235
    assert (np.abs(row[2:-2].astype(int) - 128) < 3).all()


def test_decode_gray_image_in_color_repeats_the_channel():
    pixels = np.random.default_rng(1).integers(0, 256, (8, 8), dtype=np.uint8)
    assert (decode([png(pixels)], 8, 3)[0] == pixels).all()


def test_decode_sixteen_bits_keeps_the_high_byte():
    pixels = np.random.default_rng(1).integers(0, 2**16, (8, 8), dtype=np.uint16)
    np.testing.assert_array_equal(decode([png(pixels)], 8, 1)[0, 0], pixels >> 8)


def test_decode_transparent_pixels_become_white():
    pixels = np.zeros((8, 8, 4), dtype=np.uint8)
    assert (decode([png(pixels)], 8, 3) == 255).all()


def test_decode_turned_photograph_stands_upright():
    pixels = np.zeros((8, 8, 3), dtype=np.uint8)
    pixels[:4] = 255
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = 3
    buffer = BytesIO()
    image.save(buffer, "PNG", exif=exif)
    np.testing.assert_array_equal(decode([buffer.getvalue()], 8, 1)[0, 0], 255 - pixels[..., 0])


def test_decode_nothing_returns_no_rows():
    assert decode([], 8, 3).shape == (0, 3, 8, 8)


def test_decode_broken_image_says_what_to_do():
    with pytest.raises(IngestError, match="ingest the file again"):
        decode([b"broken"], 8, 3)


def test_decode_two_channels_raises():
    with pytest.raises(ValueError, match="1 or 3 channels, got 2"):
        decode([], 8, 2)


def test_changed_same_labels_returns_nothing():
    ids, withdrawn = changed(table({1: 0, 2: 1}), table({1: 0, 2: 1}, verified=True))
    assert len(ids) == len(withdrawn) == 0


def test_changed_from_nothing_returns_everything():
    after = table({5: 0, 3: 1})
    ids, withdrawn = changed(table({}), after)
    np.testing.assert_array_equal(ids, after.sample_ids_n)
    assert len(withdrawn) == 0


def test_changed_applied_to_before_gives_after():
    rng = np.random.default_rng(0)
    for _ in range(20):
        before = {int(i): int(rng.integers(3)) for i in rng.choice(30, 12, replace=False)}
        after = {int(i): int(rng.integers(3)) for i in rng.choice(30, 12, replace=False)}
        ids, withdrawn = changed(table(before), table(after))
        learned = {i: c for i, c in before.items() if i not in withdrawn.tolist()}
        assert learned | {int(i): after[int(i)] for i in ids} == after
        assert all(before.get(int(i)) != after[int(i)] for i in ids)


def test_stored_images_are_those_of_their_rows_in_any_order(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "_PIECE", 3)
    pixels = np.random.default_rng(3).integers(0, 256, (7, 8, 8), dtype=np.uint8)
    store = ImageStore(tmp_path / "samples.lance")
    uids = [f"{number:064x}" for number in range(7)]
    store.add(uids, [png(one) for one in pixels])
    images = StoredImages(store, uids[::-1], 8, 1)
    assert images.shape == (7, 1, 8, 8)
    assert len(images) == 7
    np.testing.assert_array_equal(images[:], pixels[::-1, None])
    rows = np.array([6, 0, 6, 2])
    np.testing.assert_array_equal(images[rows], pixels[::-1, None][rows])
    assert images[np.zeros(0, np.int64)].shape == (0, 1, 8, 8)


def test_stored_images_that_are_lost_are_an_error_once_they_are_asked_for(tmp_path):
    images = StoredImages(ImageStore(tmp_path / "samples.lance"), ["a" * 64], 8, 1)
    with pytest.raises(LedgerError, match="1 of 1 images are not in"):
        images[:]
