import numpy as np
import pytest

from holdfast.errors import ConfigError
from holdfast.query.budget import QueryConfig
from holdfast.query.quotas import Quotas, quotas_of, within_quotas

UNLIMITED = np.iinfo(np.int64).max


def exchange(picks, predicted, least, most, seed=0):
    predicted = np.asarray(predicted)
    scores = np.linspace(1.0, 0.0, len(predicted))
    quotas = Quotas(least_k=np.asarray(least), most_k=np.asarray(most))
    return within_quotas(
        np.asarray(picks), scores, predicted, quotas, np.random.default_rng(seed)
    ).tolist()


def test_within_quotas_that_hold_already_changes_nothing():
    assert exchange([5, 0, 3], [0, 1, 1, 0, 1, 1], [1, 1], [2, 2]) == [5, 0, 3]


def test_within_quotas_surplus_gives_way_to_the_best_of_other_classes():
    assert exchange([0, 1, 2], [0, 0, 0, 0, 1, 1], [0, 0], [2, UNLIMITED]) == [0, 1, 4]


def test_within_quotas_lacking_class_replaces_the_last_picks():
    assert exchange([0, 1, 2], [0, 0, 0, 0, 1, 1], [0, 2], [UNLIMITED] * 2) == [0, 4, 5]


def test_within_quotas_most_yields_where_nothing_else_is_left():
    assert exchange([0, 1, 2], [0, 0, 0, 0], [0], [1]) == [0, 1, 2]


@pytest.mark.parametrize("seed", range(40))
def test_within_quotas_any_pool_keeps_the_number_and_meets_what_can_be_met(seed):
    rng = np.random.default_rng(seed)
    num, num_classes = int(rng.integers(5, 80)), int(rng.integers(1, 6))
    predicted = rng.integers(0, num_classes, num)
    picks = rng.permutation(num)[: rng.integers(1, num)]
    least = rng.integers(0, 3, num_classes)
    most = least + rng.integers(0, 10, num_classes)
    found = exchange(picks, predicted, least, most, seed)
    assert len(set(found)) == len(picks)
    counts = np.bincount(predicted[found], minlength=num_classes)
    there = np.bincount(predicted, minlength=num_classes)
    if least.sum() <= len(picks):
        assert (counts >= np.minimum(least, there)).all()
    if np.minimum(most, there).sum() >= len(picks):
        assert (counts <= most).all()


def test_quotas_of_a_config_are_in_the_order_of_the_columns():
    config = QueryConfig(at_least={"cat": 2}, at_most={"dog": 9})
    quotas = quotas_of(config, ["dog", "bird", "cat"], np.array([2, 0]))
    assert quotas.least_k.tolist() == [2, 0]
    assert quotas.most_k.tolist() == [UNLIMITED, 9]


def test_quotas_of_a_config_without_any_or_without_a_model_are_none():
    assert quotas_of(QueryConfig(), ["cat"], np.array([0])) is None
    assert quotas_of(QueryConfig(at_most={"cat": 2}), ["cat"], np.empty(0, np.int64)) is None


def test_quotas_of_an_unknown_class_suggest_the_name():
    with pytest.raises(
        ConfigError, match=r"query.at_most names 'platelt'.*did you mean 'platelet'"
    ):
        quotas_of(QueryConfig(at_most={"platelt": 2}), ["rbc", "platelet"], np.array([0, 1]))
