import numpy as np

from holdfast.data.balance import rare_classes, rare_line


def test_rare_classes_balanced_set_has_none() -> None:
    assert not rare_classes(np.full(7, 12)).any()


def test_rare_classes_scaled_counts_stay_the_same() -> None:
    counts = np.array([400, 90, 41, 0, 200])
    assert np.array_equal(rare_classes(counts), rare_classes(counts * 1000))
    assert rare_classes(counts).tolist() == [False, False, True, True, False]


def test_rare_classes_without_classes_or_samples_are_none() -> None:
    assert rare_classes(np.array([], np.int64)).tolist() == []
    assert rare_line(np.array([], np.int64)) == 0.0
    assert not rare_classes(np.zeros(3, np.int64)).any()
