import hashlib

import numpy as np

from holdfast.data.versions import diff, digest
from holdfast.records import LabelTable


def table(labels: dict[int, int]) -> LabelTable:
    ids = np.array(sorted(labels), dtype=np.int64)
    classes = np.array([labels[int(i)] for i in ids], dtype=np.int64)
    return LabelTable(ids, classes, np.zeros(len(ids), dtype=bool))


def uids(count: int) -> list[str]:
    return [hashlib.sha256(str(n).encode()).hexdigest() for n in range(count)]


def test_digest_is_that_of_the_sorted_pairs():
    names = ["ä cat", "dog"]
    classes = np.arange(7) % 2
    pairs = sorted(f"{u}\t{names[c]}".encode() for u, c in zip(uids(7), classes, strict=True))
    assert digest(uids(7), classes, names) == hashlib.sha256(b"\n".join(pairs)).hexdigest()


def test_digest_ignores_row_order_and_class_numbering():
    order = np.random.default_rng(0).permutation(50)
    classes = np.arange(50) % 3
    same = digest([uids(50)[n] for n in order], 2 - classes[order], ["c", "b", "a"])
    assert digest(uids(50), classes, ["a", "b", "c"]) == same


def test_digest_changes_with_one_label():
    classes = np.zeros(10, dtype=np.int64)
    other = classes.copy()
    other[3] = 1
    assert digest(uids(10), classes, ["a", "b"]) != digest(uids(10), other, ["a", "b"])


def test_digest_of_nothing_is_that_of_no_bytes():
    empty = np.zeros(0, dtype=np.int64)
    assert digest([], empty, []) == hashlib.sha256(b"").hexdigest()


def test_diff_of_a_table_with_itself_is_empty():
    assert not diff(table({1: 0, 2: 1}), table({1: 0, 2: 1}))


def test_diff_counts_per_class():
    found = diff(table({1: 0, 2: 0, 3: 1}), table({2: 1, 3: 1, 4: 2, 5: 2}))
    assert found.added == {2: 2}
    assert found.changed == {1: 1}
    assert found.removed == {0: 1}


def test_diff_turned_around_swaps_added_and_removed():
    before, after = table({1: 0, 2: 0, 3: 1}), table({2: 1, 3: 1, 4: 2})
    there, back = diff(before, after), diff(after, before)
    assert (there.added, there.removed) == (back.removed, back.added)
    assert sum(there.changed.values()) == sum(back.changed.values())
