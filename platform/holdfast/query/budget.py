"""How a round's answers are divided between new, doubtful and random samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from holdfast.errors import ConfigError, PoolExhaustedError


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryConfig:
    """What is asked in a round.

    Each use of the answers has a floor and a share. A floor holds while there is something
    left to ask for that use, and is rounded up; a share is what the use gets at most while
    the others can spend the rest. New samples get what the other two leave.

    Attributes
    ----------
    budget : int
        Answers a round may cost, second answers included; at least 1.
    pool_limit : int
        Samples looked at in a round; of a larger pool, neighbors of rare labels and a random
        half.
    per_day : int
        Answers that may be asked for within 24 hours, 0 or more; 0 sets no limit.
    strategy : str
        A measure: `margin`, `entropy`, `least_confidence`, ...; or a formula of measures:
        `margin * minority^0.5 * density^0.2`, `0.7 * margin + 0.3 * novelty`.
    share_suspects : float
        Share of the answers for labels on record that look wrong, at most, in [0, 1].
    share_random : float
        Share for samples drawn at random: the only unbiased look at the pool.
    share_holdout : float
        Share of the answers that confirm labels of held-out samples, in [0, 0.5], until 100 are
        confirmed; the class with the fewest confirmed first. The others divide the rest.
    floor_suspects : float
        Share for the most suspect labels even if they are hardly suspect, at least; at most
        `share_suspects`.
    floor_random : float
        Share of the random samples that the floors of the others leave alone, at most
        `share_random`.
    floor_new : float
        Share for new samples that are not drawn at random, at least, in [0, 1].
    at_least, at_most : mapping of str to int
        New samples of a query, those drawn at random aside, that the model takes for a
        class, by class name: `{ cat = 20 }`.
    suspect_threshold : float
        Estimated probability of being wrong from which a label is worth an answer, in (0, 1).
    rare_power : float
        How strongly rare classes are favored, 0 (not at all) to 2.
    share_explore : float
        Share of the new samples for what lies farthest from all labels, in [0, 1], while a
        query is as large as all labels before it; falls as labels become many.
    least_gain : float
        Macro-F1 that 100 answers should bring, in [0, 1]; where less is to be expected, a
        round is advised against. 0 asks for nothing.
    candidates_factor : int
        Picks are shared out between classes and kept apart among this many times as many of
        the best scores, and at least 2,048; 1 takes the best scores as they are.
    """

    budget: int = 50
    pool_limit: int = 10_000_000
    per_day: int = 0
    strategy: str = "margin"
    share_suspects: float = 0.5
    share_random: float = 0.08
    share_holdout: float = 0.1
    floor_suspects: float = 0.0
    floor_random: float = 0.0
    floor_new: float = 0.0
    at_least: Mapping[str, int] = field(default_factory=dict)
    at_most: Mapping[str, int] = field(default_factory=dict)
    suspect_threshold: float = 0.2
    rare_power: float = 0.5
    share_explore: float = 0.5
    least_gain: float = 0.0
    candidates_factor: int = 4

    def __post_init__(self) -> None:
        _between("budget", self.budget, 1, np.inf)
        if self.pool_limit < self.budget:
            raise ConfigError(
                f"query.pool_limit should be at least query.budget ({self.budget}), not "
                f"{self.pool_limit}"
            )
        for name in ("share_suspects", "share_random", "share_explore"):
            _between(name, getattr(self, name), 0.0, 1.0)
        _between("share_holdout", self.share_holdout, 0.0, 0.5)
        _between("suspect_threshold", self.suspect_threshold, 0.01, 0.99)
        _between("rare_power", self.rare_power, 0.0, 2.0)
        _between("candidates_factor", self.candidates_factor, 1, 100)
        _between("least_gain", self.least_gain, 0.0, 1.0)
        _between("per_day", self.per_day, 0, np.inf)
        self._check_shares()
        self._check_quotas()

    def _check_shares(self) -> None:
        shares = self.share_suspects + self.share_random
        if shares > 1.0:
            raise ConfigError(
                "query.share_suspects and query.share_random should not exceed 1 together, but "
                f"are {self.share_suspects} + {self.share_random}; lower one of them"
            )
        _between("floor_suspects", self.floor_suspects, 0.0, self.share_suspects)
        _between("floor_random", self.floor_random, 0.0, self.share_random)
        _between("floor_new", self.floor_new, 0.0, 1.0)
        if self.floor_new + self.floor_suspects + self.floor_random > 1.0:
            raise ConfigError(
                "query.floor_new, query.floor_suspects and query.floor_random should not exceed 1 "
                f"together, but are {self.floor_new} + {self.floor_suspects} + "
                f"{self.floor_random}; lower one of them"
            )

    def _check_quotas(self) -> None:
        for setting, quotas in (("at_least", self.at_least), ("at_most", self.at_most)):
            for name, num in quotas.items():
                _between(f"{setting}.{name}", num, 0, np.inf)
        for name, num in self.at_least.items():
            if num > self.at_most.get(name, num):
                raise ConfigError(
                    f"query.at_least.{name} is {num} but query.at_most.{name} is "
                    f"{self.at_most[name]}; lower the first or raise the second"
                )

    def left_today(self, asked: int) -> int:
        """Return the answers a round may ask for now, at most the budget.

        Parameters
        ----------
        asked : int
            Answers asked for within the last 24 hours, 0 or more.

        Examples
        --------
        >>> QueryConfig(budget=50, per_day=60).left_today(asked=45)
        15
        """
        return max(min(self.budget, self.per_day - asked), 0) if self.per_day else self.budget


@dataclass(frozen=True, kw_only=True, slots=True)
class Allocation:
    """Samples to ask about for each reason, and answers kept back."""

    uncertain: int
    suspect: int
    random: int
    reserve: int

    @property
    def asked(self) -> int:
        """Samples in the first batch."""
        return self.uncertain + self.suspect + self.random


def allocate(
    config: QueryConfig,
    *,
    num_pool: int,
    num_suspects: int,
    num_worth: int | None = None,
    reserve: int = 0,
) -> Allocation:
    """Divide the budget; what one purpose cannot use flows to the others.

    The parts sum to the budget, always: a share may be exceeded where nothing else is left
    to ask about. Where rounding leaves no room for all floors, suspects come first and new
    samples last. Time O(1).

    Parameters
    ----------
    num_pool : int
        Samples without a label.
    num_suspects : int
        Labels that can be asked about again.
    num_worth : int or None
        Those of them that are worth it; None: all. More are asked about only for
        `floor_suspects`, or where the pool is used up.
    reserve : int
        Answers kept for second opinions, less than the budget.

    Raises
    ------
    PoolExhaustedError
        If the budget exceeds what can be asked about.

    Examples
    --------
    >>> config = QueryConfig(budget=20, share_suspects=0.5, share_random=0.1)
    >>> allocate(config, num_pool=100, num_suspects=4)
    Allocation(uncertain=14, suspect=4, random=2, reserve=0)
    """
    if not 0 <= reserve < config.budget:
        raise ValueError(f"reserve should lie between 0 and {config.budget - 1}, not {reserve}")
    if config.budget > num_pool + num_suspects:
        raise PoolExhaustedError(config.budget, num_pool + num_suspects)
    to_ask = config.budget - reserve
    least_suspect = min(_least(config.floor_suspects, to_ask), num_suspects)
    least_random = min(_least(config.floor_random, to_ask), to_ask - least_suspect, num_pool)
    least_new = min(
        _least(config.floor_new, to_ask),
        to_ask - least_suspect - least_random,
        num_pool - least_random,
    )
    worth = num_suspects if num_worth is None else min(num_worth, num_suspects)
    suspect = min(round(config.share_suspects * to_ask), worth, to_ask - least_new - least_random)
    # A pool that runs dry leaves more for the suspects.
    fresh = min(to_ask - max(suspect, least_suspect), num_pool)
    random = min(round(config.share_random * to_ask), fresh - least_new)
    random = max(random, min(least_random, fresh))
    return Allocation(
        uncertain=fresh - random, suspect=to_ask - fresh, random=random, reserve=reserve
    )


def _least(floor: float, num: int) -> int:
    # 0.1 * 30 is a little above 3, which is no reason for a fourth.
    return math.ceil(floor * num - 1e-9)


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        limits = f"at least {low}" if high == np.inf else f"between {low} and {high}"
        raise ConfigError(f"query.{name} should be {limits}, not {value}")
