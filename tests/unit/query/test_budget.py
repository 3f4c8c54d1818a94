import numpy as np
import pytest

from holdfast.config import parse
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


def _random_config(rng):
    """Any settings that do not contradict each other."""
    suspects, random, _ = rng.dirichlet(np.ones(3))
    floors = rng.random(3) * [suspects, random, 1.0] * rng.integers(0, 2, 3)
    floors[2] = min(floors[2], 1.0 - floors[0] - floors[1])
    return QueryConfig(
        budget=int(rng.integers(1, 60)),
        share_suspects=suspects,
        share_random=random,
        floor_suspects=floors[0],
        floor_random=floors[1],
        floor_new=max(floors[2], 0.0),
    )


@pytest.mark.parametrize("seed", range(300))
def test_allocate_any_settings_conserve_the_budget_and_hold_what_is_promised(seed):
    rng = np.random.default_rng(seed)
    config = _random_config(rng)
    pool, suspects = (int(n) for n in rng.integers(0, 120, 2))
    pool = max(pool, config.budget - suspects)
    worth = int(rng.integers(0, suspects + 1))
    reserve = int(rng.integers(0, config.budget))
    shares = allocate(
        config, num_pool=pool, num_suspects=suspects, num_worth=worth, reserve=reserve
    )
    to_ask = config.budget - reserve
    assert shares.asked + shares.reserve == config.budget
    assert min(shares.uncertain, shares.suspect, shares.random) >= 0
    assert shares.suspect <= suspects
    assert shares.uncertain + shares.random <= pool
    # Three floors may each be rounded up by less than one answer.
    assert shares.suspect >= min(config.floor_suspects * to_ask, suspects)
    assert shares.random >= min(config.floor_random * to_ask, pool) - 1
    assert shares.uncertain >= min(config.floor_new * to_ask, pool - shares.random) - 2
    if shares.uncertain + shares.random < pool:
        most = max(
            min(round(config.share_suspects * to_ask), worth), config.floor_suspects * to_ask
        )
        assert shares.suspect < most + 1
    assert shares.random < config.share_random * to_ask + 1


@pytest.mark.parametrize("worth", [0, 3, 8, 40])
def test_allocate_suspects_lie_between_their_floor_and_their_share(worth):
    config = QueryConfig(budget=20, share_suspects=0.5, floor_suspects=0.2)
    shares = allocate(config, num_pool=100, num_suspects=40, num_worth=worth)
    assert shares.suspect == {0: 4, 3: 4, 8: 8, 40: 10}[worth]


def test_allocate_floor_of_new_samples_is_taken_from_suspects_then_from_random_ones():
    config = QueryConfig(budget=20, share_suspects=0.5, share_random=0.4, floor_new=0.3)
    shares = allocate(config, num_pool=100, num_suspects=100)
    assert (shares.uncertain, shares.suspect, shares.random) == (6, 10, 4)


def test_allocate_small_floor_is_at_least_one_answer():
    config = QueryConfig(budget=5, share_random=0.08, floor_random=0.02)
    assert allocate(config, num_pool=50, num_suspects=0).random == 1


@pytest.mark.parametrize(("asked", "left"), [(0, 50), (40, 20), (60, 0), (75, 0)])
def test_left_today_is_what_the_day_allows_of_the_budget(asked, left):
    assert QueryConfig(budget=50, per_day=60).left_today(asked) == left


def test_left_today_without_a_limit_is_the_budget():
    assert QueryConfig(budget=50).left_today(10_000) == 50


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
        ("share_explore", 2.0),
        ("candidates_factor", 0),
        ("per_day", -1),
        ("floor_suspects", 0.6),
        ("floor_random", 0.1),
        ("floor_new", 1.1),
        ("at_least", {"cat": -1}),
        ("at_most", {"cat": -1}),
    ],
)
def test_query_config_out_of_range_names_the_setting(key, value):
    with pytest.raises(ConfigError, match=f"query.{key}"):
        QueryConfig(**{key: value})


def test_query_config_shares_above_one_are_refused():
    with pytest.raises(ConfigError, match="lower one of them"):
        QueryConfig(share_suspects=0.7, share_random=0.4)


def test_query_config_floors_above_one_are_refused():
    with pytest.raises(ConfigError, match=r"floor_new.*lower one of them"):
        QueryConfig(share_suspects=0.5, floor_suspects=0.4, floor_new=0.7)


def test_query_config_quota_with_a_least_above_its_most_is_refused():
    with pytest.raises(ConfigError, match=r"query.at_least.cat is 5 but query.at_most.cat is 3"):
        QueryConfig(at_least={"cat": 5}, at_most={"cat": 3, "dog": 1})


def test_config_quotas_above_the_budget_are_refused():
    with pytest.raises(ConfigError, match=r"at_least wants 60 samples but query.budget is 50"):
        parse("[query.at_least]\ncat = 40\ndog = 20")
