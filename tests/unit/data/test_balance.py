import numpy as np
import pytest

from holdfast.data.balance import measure_balance, rare_classes, rare_line


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


def test_measure_balance_equal_classes_are_even() -> None:
    found = measure_balance(np.full(7, 12), np.zeros(7, np.int64))
    assert (found.ratio, found.gini, found.num_missing) == (1.0, 0.0, 0)
    assert found.entropy == pytest.approx(1.0)
    assert found.entropy <= 1.0


def test_measure_balance_everything_in_one_class_is_as_uneven_as_can_be() -> None:
    found = measure_balance(np.array([50, 0, 0, 0]), np.array([5, 0, 0, 0]))
    assert found.entropy == 0.0
    assert found.gini == pytest.approx(3 / 4)
    assert found.num_missing == 3
    assert found.shares_k.tolist() == [1, 0, 0, 0]


def test_measure_balance_order_of_classes_changes_nothing() -> None:
    counts, order = np.array([40, 7, 0, 19, 3]), np.array([3, 0, 4, 2, 1])
    none = np.zeros(5, np.int64)
    first, second = measure_balance(counts, none), measure_balance(counts[order], none)
    assert first.ratio == second.ratio
    assert first.entropy == pytest.approx(second.entropy)
    assert first.gini == pytest.approx(second.gini)
    assert np.array_equal(first.effective_k[order], second.effective_k)


def test_measure_balance_gini_is_the_mean_difference_of_pairs() -> None:
    counts = np.array([40, 7, 0, 19, 3])
    pairs = np.abs(counts[:, None] - counts).mean() / (2 * counts.mean())
    assert measure_balance(counts, counts).gini == pytest.approx(pairs)


def test_measure_balance_effective_number_is_that_of_the_paper() -> None:
    counts = np.array([100, 30, 1, 0])
    beta = 1 - 1 / 100
    wanted = (1 - beta**counts) / (1 - beta)
    assert np.allclose(measure_balance(counts, counts).effective_k, wanted)


def test_measure_balance_without_labels_says_nothing() -> None:
    for num in (0, 1, 3):
        found = measure_balance(np.zeros(num, np.int64), np.zeros(num, np.int64))
        assert (found.ratio, found.entropy, found.gini) == (None, None, None)
        assert found.num_missing == num


def test_measure_balance_more_confirmed_than_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="confirmed"):
        measure_balance(np.array([3]), np.array([4]))
