"""How evenly training labels are spread now, and what the triggers of it start in a round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from sqlalchemy.engine import Connection

from holdfast.config import Config
from holdfast.data.balance import Balance, measure_balance
from holdfast.data.triggers import Trigger, fired, targets
from holdfast.learning.settings import LearningConfig
from holdfast.phases.turn import Turn
from holdfast.query.budget import QueryConfig
from holdfast.store import labels, rounds


@dataclass(frozen=True, kw_only=True, slots=True)
class BalanceFound:
    """What was measured, and the triggers that hold.

    Attributes
    ----------
    names : tuple of str
        Classes, by id.
    balance : Balance
        Of training labels: those that are held out are nobody's to draw from.
    triggers : tuple of Trigger
    """

    names: tuple[str, ...]
    balance: Balance
    triggers: tuple[Trigger, ...]


def look(connection: Connection, config: Config, round_number: int) -> BalanceFound:
    """Measure the labels that hold now, and see what fires in a round.

    What held in the round before is in its audit's outcome; a round that recorded none counts
    as one in which nothing held. Cost: linear in the number of labels.
    """
    names = tuple(labels.class_names(connection))
    table = labels.resolve(connection, labels.open_scope(connection), "train")
    classes, verified = table.class_ids_n, table.class_ids_n[table.verified_n]
    balance = measure_balance(
        np.bincount(classes, minlength=len(names)), np.bincount(verified, minlength=len(names))
    )
    before = rounds.outcome_before(connection, round_number, "audit")
    triggers = fired(
        balance,
        config.balance,
        before=_recorded(before),
        round_number=round_number,
        in_use_k=[name not in config.data.retired for name in names],
    )
    return BalanceFound(names=names, balance=balance, triggers=triggers)


def holding(turn: Turn) -> tuple[Trigger, ...]:
    """Return the triggers that hold in a round: those its audit recorded, or would record."""
    audited = turn.outcome("audit")
    if "balance" in audited:
        return _recorded(audited)
    with turn.project.ledger.read() as connection:
        return look(connection, turn.project.config, turn.round_number).triggers


def as_json(found: BalanceFound) -> dict[str, Any]:
    """Return what an audit records: the measures, nothing of them per sample, and the triggers."""
    balance = found.balance
    return {
        "ratio": balance.ratio,
        "entropy": balance.entropy,
        "gini": balance.gini,
        "effective_number": float(balance.effective_k.sum()),
        "classes_without_labels": balance.num_missing,
        "triggers": [
            asdict(one)
            | {
                "class": None if one.class_id is None else found.names[one.class_id],
                "actions": list(one.actions),
            }
            for one in found.triggers
        ],
    }


def with_targets(
    config: QueryConfig, wanted: Mapping[int, int], names: Sequence[str]
) -> QueryConfig:
    """Return what to ask in a round with `at_least` raised to the targets, where they are higher.

    A target never goes beyond `at_most`, and all floors together not beyond the budget: what a
    recipe sets comes first.

    Parameters
    ----------
    wanted : mapping of int to int
        Samples of each class, by class id; see `triggers.targets`.
    """
    least, room = dict(config.at_least), config.budget - sum(config.at_least.values())
    for class_id, number in wanted.items():
        name = names[class_id]
        number = min(number, config.at_most.get(name, number))
        more = min(number - least.get(name, 0), room)
        if more > 0:
            least[name] = least.get(name, 0) + more
            room -= more
    return replace(config, at_least=least)


def raised(turn: Turn, config: QueryConfig, names: Sequence[str]) -> QueryConfig:
    """Return what to ask in a round with the targets of scarce classes, where triggers act."""
    settings = turn.project.config.balance
    if not settings.act:
        return config
    return with_targets(config, targets(holding(turn), settings, budget=config.budget), names)


def settled(config: LearningConfig, triggers: Sequence[Trigger]) -> LearningConfig:
    """Return how to learn in a round: what a recipe leaves open is as its triggers say.

    Classes are drawn equally often where `uneven` holds, otherwise as frequent as they are,
    unless the recipe names a `class_balance` or a way of sampling that needs one; and where a
    class is scarce, images of rare classes are changed more, unless the recipe says which are.
    """
    imbalance, names = config.imbalance, {one.name for one in triggers}
    if imbalance.class_balance is None and imbalance.sampling != "progressive":
        imbalance = replace(imbalance, class_balance=float("uneven" in names))
    augmentation = config.augmentation
    # What knows more and less: an albumentations pipeline does not.
    graded = set(augmentation.changes) - {"albumentations"}
    if "scarce" in names and augmentation.classes == "all" and graded:
        augmentation = replace(augmentation, classes="rare_more")
    return replace(config, imbalance=imbalance, augmentation=augmentation)


def _recorded(audited: Mapping[str, Any]) -> tuple[Trigger, ...]:
    """Return the triggers that an audit's outcome names."""
    recorded = audited.get("balance", {}).get("triggers", ())
    fields = ("name", "class_id", "value", "lacking", "since")
    return tuple(Trigger(**{name: one[name] for name in fields}) for one in recorded)
