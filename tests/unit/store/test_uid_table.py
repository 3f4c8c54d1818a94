from datetime import timedelta

import lance
import pytest

from holdfast.store.images import ImageStore


def uid(number):
    return f"{number:064x}"


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr("holdfast.store.uid_table.MANY_FRAGMENTS", 6)
    return ImageStore(tmp_path / "samples.lance")


def test_compact_joins_small_additions_and_loses_nothing(store):
    for number in range(8):
        store.add([uid(number)], [b"%d" % number])
    reader = ImageStore(store.path)
    assert reader.read([uid(3)]) == [b"3"]
    assert store.compact() == 7
    assert len(lance.dataset(str(store.path)).get_fragments()) == 1
    store.add([uid(8)], [b"8"])
    assert store.read([uid(n) for n in range(9)]) == [b"%d" % n for n in range(9)]
    assert reader.read([uid(8), uid(0)]) == [b"8", b"0"]


def test_compact_leaves_few_fragments_alone(store):
    for number in range(5):
        store.add([uid(number)], [b"x"])
    assert store.compact() == 0


def test_read_of_a_version_that_was_removed_reopens_the_table(store):
    for number in range(8):
        store.add([uid(number)], [b"%d" % number])
    reader = ImageStore(store.path)
    reader.missing([uid(0)])
    store.compact()
    lance.dataset(str(store.path)).cleanup_old_versions(
        older_than=timedelta(0), delete_unverified=True
    )
    assert reader.read([uid(5), uid(2)]) == [b"5", b"2"]
