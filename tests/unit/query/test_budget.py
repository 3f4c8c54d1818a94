import pytest

from holdfast.errors import ConfigError, PoolExhaustedError
from holdfast.query.budget import QueryConfig, allocate

CONFIG = QueryConfig(budget=20, share_suspects=0.5, share_random=0.1)


def test_allocate_follows_the_shares():
    shares = allocate(CONFIG, num_pool=100, num_suspects=100)
    assert (shares.suspect, shares.random, shares.uncertain, shares.reserve) == (10, 2, 8, 0)


@pytest.mark.parametrize(
    ("pool", "suspects", "reserve"), [(100, 0, 0), (100, 3, 5), (4, 50, 2), (0, 20, 0), (15, 5, 19)]
)
def test_allocate_spends_the_whole_budget_and_never_more_than_there_is(pool, suspects, reserve):
    shares = allocate(CONFIG, num_pool=pool, num_suspects=suspects, reserve=reserve)
    assert shares.asked + shares.reserve == CONFIG.budget
    assert shares.suspect <= suspects
    assert shares.uncertain + shares.random <= pool
    assert min(shares.uncertain, shares.random, shares.suspect) >= 0


def test_allocate_budget_above_the_pool_says_how_much_there_is():
    with pytest.raises(PoolExhaustedError) as caught:
        allocate(CONFIG, num_pool=10, num_suspects=2)
    assert (caught.value.requested, caught.value.available) == (20, 12)


def test_allocate_reserve_of_the_whole_budget_is_refused():
    with pytest.raises(ValueError, match="reserve"):
        allocate(CONFIG, num_pool=100, num_suspects=0, reserve=20)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("budget", 0),
        ("share_suspects", 1.2),
        ("share_random", -0.1),
        ("suspect_threshold", 0.0),
        ("rare_power", 3.0),
        ("novelty_weight", 2.0),
        ("candidates_factor", 0),
    ],
)
def test_query_config_out_of_range_names_the_setting(key, value):
    with pytest.raises(ConfigError, match=f"query.{key}"):
        QueryConfig(**{key: value})


def test_query_config_shares_above_one_are_refused():
    with pytest.raises(ConfigError, match="lower one of them"):
        QueryConfig(share_suspects=0.7, share_random=0.4)
