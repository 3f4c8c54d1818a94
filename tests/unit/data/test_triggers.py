import numpy as np
import pytest

from holdfast.data.balance import measure_balance
from holdfast.data.triggers import BalanceConfig, fired, targets
from holdfast.errors import ConfigError


def names(counts, before=(), round_number=1, config=None, in_use=None):
    counts = np.array(counts)
    return fired(
        measure_balance(counts, np.zeros(len(counts), np.int64)),
        config or BalanceConfig(),
        before=before,
        round_number=round_number,
        in_use_k=in_use,
    )


def told(triggers):
    return {(one.name, one.class_id): one.since for one in triggers}


def test_fired_even_classes_fire_nothing():
    assert names([40, 40, 40]) == ()
    assert names([0, 0]) == ()
    assert names([]) == ()


def test_fired_uneven_holds_between_its_lines_only_once_it_has_fired():
    config = BalanceConfig(scarce_fires=0.01, scarce_clears=0.01)
    assert names([45, 10], config=config) == ()
    first = names([51, 10], config=config)
    assert told(first) == {("uneven", None): 1}
    second = names([45, 10], first, 2, config)
    assert told(second) == {("uneven", None): 1}
    third = names([40, 10], second, 3, config)
    assert third == ()
    assert names([45, 10], third, 4, config) == ()


def test_fired_scarce_holds_between_its_lines_only_once_it_has_fired():
    assert told(names([100, 100, 25])) == {}
    first = names([100, 100, 22])
    assert told(first) == {("scarce", 2): 1}
    assert told(names([100, 100, 25], first, 2)) == {("scarce", 2): 1}
    assert names([100, 100, 35], first, 2) == ()


def test_fired_class_without_labels_is_the_scarcest_and_leaves_the_ratio_alone():
    found = names([30, 30, 4, 0])
    assert [(one.name, one.class_id) for one in found] == [
        ("uneven", None),
        ("scarce", 3),
        ("scarce", 2),
    ]
    assert found[0].value == 7.5
    assert found[1].value == 0


def test_fired_class_out_of_use_counts_for_nothing():
    assert names([30, 30, 0], in_use=[True, True, False]) == ()


def test_fired_lacking_is_what_clears_it_while_the_mean_stays():
    (found,) = names([100, 100, 22])
    mean = 222 / 3
    assert (22 + found.lacking) >= 0.4 * mean > (22 + found.lacking - 1)


def test_targets_share_out_what_a_query_has_room_for():
    found = names([1000, 1000, 100, 0])
    lacks = {one.class_id: one.lacking for one in found if one.name == "scarce"}
    assert targets(found, BalanceConfig(), budget=10_000) == lacks
    few = targets(found, BalanceConfig(), budget=50)
    assert sum(few.values()) == 25
    assert few[3] / few[2] == pytest.approx(lacks[3] / lacks[2], rel=0.1)
    assert targets(found, BalanceConfig(target_share=0.0), budget=50) == {}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"ratio_fires": 1.0}, "ratio_fires should be above 1"),
        ({"ratio_clears": 6.0}, "ratio_clears should lie between 1 and balance.ratio_fires"),
        ({"scarce_fires": 0.0}, "scarce_fires should lie above 0"),
        ({"scarce_clears": 0.2}, "scarce_clears should lie between"),
        ({"target_share": 1.5}, "target_share should lie between 0 and 1"),
    ],
)
def test_balance_config_lines_that_cannot_be_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        BalanceConfig(**settings)
