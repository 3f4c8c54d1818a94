import os
import subprocess
import sys

import numpy as np
import pytest

from holdfast.errors import LedgerError
from holdfast.store.images import EmbeddingStore, ImageStore


def uid(number: int) -> str:
    return f"{number:064x}"


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "samples.lance")


def test_add_same_images_twice_adds_nothing(store):
    uids = [uid(n) for n in range(20)]
    payloads = [bytes([n]) * (n + 1) for n in range(20)]
    assert store.add(uids, payloads) == 20
    assert store.add(uids[5:], payloads[5:]) == 0
    assert store.read(uids) == payloads


def test_add_repeated_uid_in_one_call_keeps_one_row(store):
    assert store.add([uid(1), uid(1), uid(2)], [b"x", b"x", b"y"]) == 2
    assert store.read([uid(1), uid(2)]) == [b"x", b"y"]


def test_add_fewer_payloads_than_uids_raises(store):
    with pytest.raises(ValueError, match="one payload per uid, got 2 and 1"):
        store.add([uid(1), uid(2)], [b"x"])


def test_add_beyond_one_batch_keeps_every_image(store, monkeypatch):
    monkeypatch.setattr("holdfast.store.images.BATCH_ROWS", 3)
    uids = [uid(n) for n in range(8)]
    payloads = [bytes([n]) for n in range(8)]
    assert store.add(uids, payloads) == 8
    assert store.read(uids[::-1]) == payloads[::-1]


def test_read_any_order_with_repeats_returns_that_order(store):
    payloads = [bytes([n]) for n in range(50)]
    store.add([uid(n) for n in range(50)], payloads)
    order = np.random.default_rng(0).integers(0, 50, 200)
    assert store.read([uid(n) for n in order]) == [payloads[n] for n in order]


def test_read_after_another_store_added_sees_the_new_image(store):
    store.add([uid(1)], [b"one"])
    reader = ImageStore(store.path)
    assert reader.read([uid(1)]) == [b"one"]
    store.add([uid(2)], [b"two"])
    assert reader.read([uid(2), uid(1)]) == [b"two", b"one"]


@pytest.mark.parametrize("filled", [True, False])
def test_read_missing_uid_raises_and_says_what_to_do(store, filled):
    if filled:
        store.add([uid(1)], [b"one"])
    with pytest.raises(LedgerError, match=r"of 2 images are not in .*ingest the same files again"):
        store.read([uid(1), uid(7)])


def test_read_nothing_returns_nothing(store):
    assert store.read([]) == []


def test_embeddings_missing_ones_are_zero_and_not_found(tmp_path):
    embeddings = EmbeddingStore(tmp_path)
    rows = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    assert embeddings.add("m", [uid(n) for n in range(5)], rows) == 5
    read, found = embeddings.read("m", [uid(4), uid(9), uid(0), uid(4)])
    assert found.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(read, rows[[4, 0, 0, 4]] * found[:, None])


def test_embeddings_of_another_model_are_not_found(tmp_path):
    embeddings = EmbeddingStore(tmp_path)
    embeddings.add("m", [uid(1)], np.ones((1, 3), dtype=np.float32))
    read, found = embeddings.read("other", [uid(1)])
    assert read.shape == (1, 0)
    assert not found.any()


def test_embeddings_added_twice_keep_the_first(tmp_path):
    embeddings = EmbeddingStore(tmp_path)
    first = np.ones((2, 3), dtype=np.float32)
    assert embeddings.add("m", [uid(1), uid(1)], first) == 1
    assert embeddings.add("m", [uid(1), uid(2)], first * 2) == 1
    read, _ = embeddings.read("m", [uid(1), uid(2)])
    assert read[:, 0].tolist() == [1.0, 2.0]


def test_embeddings_wrong_shape_raises(tmp_path):
    with pytest.raises(ValueError, match=r"shape \(1, D\)"):
        EmbeddingStore(tmp_path).add("m", [uid(1)], np.ones((2, 3), dtype=np.float32))


WRITER = """
import sys
from holdfast.store.images import ImageStore
from pathlib import Path
ImageStore(Path(sys.argv[1])).add([f"{n:064x}" for n in range(300)], [b"x" * 50] * 300)
"""


def test_add_two_processes_at_once_keep_one_row_each(store):
    run = [sys.executable, "-c", WRITER, str(store.path)]
    writers = [subprocess.Popen(run, env=os.environ, stderr=subprocess.PIPE) for _ in range(2)]
    errors = [writer.communicate()[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], errors
    assert store.add([uid(n) for n in range(300)], [b"x" * 50] * 300) == 0
    import lance

    assert lance.dataset(str(store.path)).count_rows() == 300
