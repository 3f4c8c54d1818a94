import hashlib

import numpy as np

from holdfast.data.versions import compare, digest
from holdfast.store.label_digest import EMPTY, moved


def uids(count: int) -> list[str]:
    return [hashlib.sha256(str(n).encode()).hexdigest() for n in range(count)]


def test_digest_is_the_sum_of_those_of_the_pairs():
    names = ["ä cat", "dog"]
    classes = np.arange(7) % 2
    pairs = [f"{u}\t{names[c]}".encode() for u, c in zip(uids(7), classes, strict=True)]
    total = sum(int(hashlib.sha256(pair).hexdigest(), 16) for pair in pairs) % 2**256
    assert digest(uids(7), classes, names) == f"{total:064x}"


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


def test_digest_of_nothing_is_zero():
    assert digest([], np.zeros(0, dtype=np.int64), []) == EMPTY == "0" * 64


def test_digest_moved_by_a_change_is_that_of_the_changed_set():
    classes = np.arange(9) % 2
    other = classes.copy()
    other[4] = 1 - other[4]
    names = ["a", "b"]
    uid = uids(9)[4]
    after = moved(
        digest(uids(9), classes, names), [(uid, names[other[4]])], [(uid, names[classes[4]])]
    )
    assert after == digest(uids(9), other, names)


def test_compare_counts_per_class():
    found = compare({(None, 2): 2, (0, 1): 1, (3, 1): 4, (0, None): 1, (1, None): 5})
    assert found.added == {2: 2}
    assert found.changed == {1: 5}
    assert found.removed == {0: 1, 1: 5}


def test_compare_of_nothing_is_empty():
    assert not compare({})
