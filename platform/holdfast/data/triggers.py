"""When labels are so uneven that something should be done, what, and when no longer.

Shape suffixes: k classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from holdfast.data.balance import Balance
from holdfast.errors import ConfigError

TriggerName = Literal["uneven", "scarce"]
ActionName = Literal["acquisition_target", "balanced_sampling", "stronger_augmentation"]

ACTIONS: dict[TriggerName, tuple[ActionName, ...]] = {
    "uneven": ("balanced_sampling",),
    "scarce": ("acquisition_target", "stronger_augmentation"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class BalanceConfig:
    """When labels count as uneven, and what is done about it.

    A trigger fires beyond one line and stays until a second one, further in, is reached: one
    label more or less does not turn its action on and off.

    Attributes
    ----------
    act : bool
        Whether triggers start their actions; if not, they are only reported.
    ratio_fires : float
        Labels of the largest class for one of the smallest, above 1, beyond which `uneven`
        fires: an update draws classes equally often if `learning.imbalance.class_balance` is
        left open.
    ratio_clears : float
        Ratio at which it is over, at least 1 and at most `ratio_fires`.
    scarce_fires : float
        Share of the mean number of labels of a class, in (0, 1), below which `scarce` fires
        for a class: a query asks for more of it, and its images are augmented more strongly.
    scarce_clears : float
        Share at which it is over, at least `scarce_fires` and at most 1.
    target_share : float
        Largest share of a query, in [0, 1], that scarce classes are promised together.
    """

    act: bool = False
    ratio_fires: float = 5.0
    ratio_clears: float = 4.0
    scarce_fires: float = 0.3
    scarce_clears: float = 0.4
    target_share: float = 0.5

    def __post_init__(self) -> None:
        if not self.ratio_fires > 1:
            raise ConfigError(f"balance.ratio_fires should be above 1, not {self.ratio_fires}")
        if not 1 <= self.ratio_clears <= self.ratio_fires:
            raise ConfigError(
                "balance.ratio_clears should lie between 1 and balance.ratio_fires "
                f"({self.ratio_fires}), not {self.ratio_clears}"
            )
        if not 0 < self.scarce_fires < 1:
            raise ConfigError(
                f"balance.scarce_fires should lie above 0 and below 1, not {self.scarce_fires}"
            )
        if not self.scarce_fires <= self.scarce_clears <= 1:
            raise ConfigError(
                "balance.scarce_clears should lie between balance.scarce_fires "
                f"({self.scarce_fires}) and 1, not {self.scarce_clears}"
            )
        if not 0 <= self.target_share <= 1:
            raise ConfigError(
                f"balance.target_share should lie between 0 and 1, not {self.target_share}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Trigger:
    """One trigger that has fired.

    Attributes
    ----------
    name : str
        `uneven`, of all classes together, or `scarce`, of one class.
    class_id : int or None
        None for `uneven`.
    value : float
        What was measured: the ratio, or the share of the mean.
    lacking : int
        Labels the class needs for `scarce` to be over, as many as there are now of the
        others; 0 for `uneven`.
    since : int
        Round that found it first.
    """

    name: TriggerName
    class_id: int | None
    value: float
    lacking: int
    since: int

    @property
    def actions(self) -> tuple[ActionName, ...]:
        """What it starts."""
        return ACTIONS[self.name]


def fired(
    balance: Balance,
    config: BalanceConfig,
    *,
    before: Sequence[Trigger] = (),
    round_number: int,
    in_use_k: Sequence[bool] | None = None,
) -> tuple[Trigger, ...]:
    """Return the triggers that hold now: those that fire, and those that are not over yet.

    Parameters
    ----------
    before : sequence of Trigger
        What held in the round before.
    in_use_k : sequence of bool, optional
        Whether each class is still in use; others count for nothing. All by default.

    Returns
    -------
    tuple of Trigger
        `uneven` first, then scarce classes, the scarcest first. Empty without labels.

    Examples
    --------
    >>> from holdfast.data.balance import measure_balance
    >>> found = measure_balance(np.array([60, 50, 10]), np.zeros(3, np.int64))
    >>> holds = fired(found, BalanceConfig(), round_number=1)
    >>> [(one.name, one.class_id, round(one.value, 2)) for one in holds]
    [('uneven', None, 6.0), ('scarce', 2, 0.25)]
    """
    used = np.ones(len(balance.counts_k), bool) if in_use_k is None else np.array(in_use_k, bool)
    counts = balance.counts_k[used]
    if not counts.any():
        return ()
    since = {(one.name, one.class_id): one.since for one in before}
    found = []
    ratio = float(counts.max() / counts[counts > 0].min())
    began = since.get(("uneven", None))
    if ratio > (config.ratio_fires if began is None else config.ratio_clears):
        began = round_number if began is None else began
        found.append(Trigger(name="uneven", class_id=None, value=ratio, lacking=0, since=began))
    mean, scarce = float(counts.mean()), []
    for k in np.flatnonzero(used).tolist():
        count, began = int(balance.counts_k[k]), since.get(("scarce", k))
        if count < mean * (config.scarce_fires if began is None else config.scarce_clears):
            scarce.append(
                Trigger(
                    name="scarce",
                    class_id=k,
                    value=count / mean,
                    # A class of few labels moves the mean hardly, so its own move is left out.
                    lacking=max(math.ceil(mean * config.scarce_clears - 1e-9) - count, 1),
                    since=round_number if began is None else began,
                )
            )
    return (*found, *sorted(scarce, key=lambda one: one.value))


def targets(triggers: Sequence[Trigger], config: BalanceConfig, *, budget: int) -> dict[int, int]:
    """Return how many samples of each scarce class a query should ask for, by class id.

    As many as the class lacks; where a query has no room for all, each class gets the same
    part of what it lacks.

    Parameters
    ----------
    budget : int
        Samples of the query, 0 or more.

    Returns
    -------
    dict of int to int
        Together at most `target_share` of the budget; classes that get none are left out.

    Examples
    --------
    >>> from holdfast.data.balance import measure_balance
    >>> found = measure_balance(np.array([60, 50, 10]), np.zeros(3, np.int64))
    >>> targets(fired(found, BalanceConfig(), round_number=1), BalanceConfig(), budget=20)
    {2: 6}
    """
    scarce = [one for one in triggers if one.name == "scarce"]
    lacks = {one.class_id: one.lacking for one in scarce if one.class_id is not None}
    return _within(lacks, int(config.target_share * budget))


def _within(lacks: dict[int, int], room: int) -> dict[int, int]:
    """Return what fits: all, or of each the same part, the largest remainders rounded up."""
    total = sum(lacks.values())
    if total <= room:
        return lacks
    exact = {k: room * lacking / total for k, lacking in lacks.items()}
    given = {k: int(part) for k, part in exact.items()}
    left = room - sum(given.values())
    for k in sorted(exact, key=lambda k: (given[k] - exact[k], k))[:left]:
        given[k] += 1
    return {k: number for k, number in given.items() if number}
