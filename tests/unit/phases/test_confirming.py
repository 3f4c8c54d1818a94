import numpy as np

from holdfast.phases.confirming import to_confirm
from holdfast.records import LabelTable

NOBODY = np.zeros(0, np.int64)


def holdout(classes: list[int], verified: list[int] | None = None) -> LabelTable:
    rows = np.arange(len(classes))
    return LabelTable(100 + rows, np.array(classes, np.int64), np.isin(rows, verified or []))


def classes_of(table: LabelTable, ids: np.ndarray) -> list[int]:
    return table.class_ids_n[np.searchsorted(table.sample_ids_n, ids)].tolist()


def test_confirming_takes_rare_classes_first_and_leaves_none_out():
    table = holdout([0] * 9 + [1] * 2 + [2] * 4)
    ids = to_confirm(table, NOBODY, 9, np.random.default_rng(0))
    assert classes_of(table, ids) == [1, 2, 0, 1, 2, 0, 2, 0, 2]
    assert len(set(ids.tolist())) == 9


def test_confirming_counts_what_is_confirmed_already():
    table = holdout([0] * 5 + [1] * 5, verified=[5, 6])
    assert classes_of(table, to_confirm(table, NOBODY, 4, np.random.default_rng(0))) == [0, 0, 0, 1]


def test_confirming_passes_over_confirmed_and_refused_samples():
    table = holdout([0] * 4, verified=[0])
    ids = to_confirm(table, np.array([101]), 10, np.random.default_rng(0))
    assert sorted(ids.tolist()) == [102, 103]


def test_confirming_nothing_is_empty():
    assert not len(to_confirm(holdout([]), NOBODY, 5, np.random.default_rng(0)))
    assert not len(to_confirm(holdout([0, 1]), NOBODY, -3, np.random.default_rng(0)))
