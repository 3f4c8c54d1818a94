"""How a round's answers are divided between new, doubtful and random samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from holdfast.errors import ConfigError, PoolExhaustedError


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryConfig:
    """What is asked in a round.

    Attributes
    ----------
    budget : int
        Answers a round may cost, second answers included; at least 1.
    pool_limit : int
        Samples looked at in a round; a larger pool gives that many, drawn at random.
    strategy : str
        Name in the catalog: `margin`, `entropy`, `least_confidence`, ...
    share_suspects : float
        Share of the answers for labels on record that look wrong, at most, in [0, 1].
    share_random : float
        Share for samples drawn at random: the only unbiased look at the pool.
    suspect_threshold : float
        Estimated probability of being wrong from which a label is worth an answer, in (0, 1).
    rare_power : float
        How strongly rare classes are favored, 0 (not at all) to 2.
    novelty_weight : float
        Worth of lying far from labeled samples beside being uncertain, in [0, 1].
    candidates_factor : int
        Picks lie apart among this many times as many of the best scores; 1 takes the best
        scores as they are.
    """

    budget: int = 50
    pool_limit: int = 50_000
    strategy: str = "margin"
    share_suspects: float = 0.5
    share_random: float = 0.08
    suspect_threshold: float = 0.2
    rare_power: float = 0.5
    novelty_weight: float = 0.5
    candidates_factor: int = 4

    def __post_init__(self) -> None:
        _between("budget", self.budget, 1, np.inf)
        if self.pool_limit < self.budget:
            raise ConfigError(
                f"query.pool_limit should be at least query.budget ({self.budget}), not "
                f"{self.pool_limit}"
            )
        for name in ("share_suspects", "share_random", "novelty_weight"):
            _between(name, getattr(self, name), 0.0, 1.0)
        _between("suspect_threshold", self.suspect_threshold, 0.01, 0.99)
        _between("rare_power", self.rare_power, 0.0, 2.0)
        _between("candidates_factor", self.candidates_factor, 1, 100)
        shares = self.share_suspects + self.share_random
        if shares > 1.0:
            raise ConfigError(
                "query.share_suspects and query.share_random should not exceed 1 together, but "
                f"are {self.share_suspects} + {self.share_random}; lower one of them"
            )


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
    config: QueryConfig, *, num_pool: int, num_suspects: int, reserve: int = 0
) -> Allocation:
    """Divide the budget; what one purpose cannot use flows to the others.

    Parameters
    ----------
    num_pool : int
        Samples without a label.
    num_suspects : int
        Labels worth asking about again.
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
    suspect = min(round(config.share_suspects * to_ask), num_suspects)
    fresh = min(to_ask - suspect, num_pool)
    # A pool that runs dry leaves more for the suspects.
    suspect = to_ask - fresh
    random = min(round(config.share_random * to_ask), fresh)
    return Allocation(uncertain=fresh - random, suspect=suspect, random=random, reserve=reserve)


def _between(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        limits = f"at least {low}" if high == np.inf else f"between {low} and {high}"
        raise ConfigError(f"query.{name} should be {limits}, not {value}")
