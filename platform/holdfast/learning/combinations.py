"""Which strategies there are, and what can be combined with what.

A strategy is one way of rehearsing and any number of ways of holding on, joined by `+`:
`replay`, `ewc` (short for `replay+ewc`), `der+lwf`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.errors import ConfigError

if TYPE_CHECKING:
    from holdfast.learning.settings import LearningConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Trait:
    """What a strategy does and what it goes together with.

    Attributes
    ----------
    summary : str
        One line for people who choose.
    rehearses : bool
        Whether it decides what is trained on; otherwise it holds on to what was learned,
        beside a strategy that rehearses.
    remembers : bool
        Whether it uses the exemplar buffer.
    continues : bool
        Whether it goes on from the champion's weights, rather than from new ones.
    balances : bool
        Whether losses and samplers that balance classes see old classes too.
    """

    summary: str
    rehearses: bool = False
    remembers: bool = True
    continues: bool = True
    balances: bool = True


STRATEGIES: dict[str, Trait] = {
    "naive": Trait(
        summary="new samples only; forgets: the lower bound",
        rehearses=True,
        remembers=False,
        balances=False,
    ),
    "replay": Trait(summary="new samples and exemplars together", rehearses=True),
    "der": Trait(
        summary="replay that also keeps the answers exemplars got when they came (DER++)",
        rehearses=True,
    ),
    "er_ace": Trait(
        summary="replay in which new samples do not push old classes down",
        rehearses=True,
    ),
    "mir": Trait(
        summary="replay of the exemplars that a step would harm most",
        rehearses=True,
    ),
    "agem": Trait(
        summary="new samples only, in directions that do no harm to exemplars",
        rehearses=True,
        balances=False,
    ),
    "gdumb": Trait(
        summary="a new network on the buffer alone",
        rehearses=True,
        continues=False,
    ),
    "joint": Trait(
        summary="a new network on all that ever came; keeps every image: the upper bound",
        rehearses=True,
        continues=False,
    ),
    "scratch": Trait(
        summary="a new network on the new samples alone: what nothing before is worth",
        rehearses=True,
        remembers=False,
        continues=False,
        balances=False,
    ),
    "ewc": Trait(summary="holds weights by their Fisher information"),
    "si": Trait(summary="holds weights by how much they lowered the loss on their way"),
    "mas": Trait(summary="holds weights by how far they move the outputs"),
    "lwf": Trait(summary="holds the champion's answers on what is trained now"),
}
# Named alone, a way of holding on is used beside replay.
DEFAULT_REHEARSAL = "replay"


def parts_of(strategy: str) -> tuple[str, tuple[str, ...]]:
    """Split a strategy into its way of rehearsing and its ways of holding on.

    Raises
    ------
    ConfigError
        If a name is unknown or comes twice, or there are two ways of rehearsing.

    Examples
    --------
    >>> parts_of("ewc")
    ('replay', ('ewc',))
    >>> parts_of("der+lwf+ewc")
    ('der', ('ewc', 'lwf'))
    """
    names = strategy.split("+")
    for name in names:
        if name not in STRATEGIES:
            raise ConfigError(
                f"learning.strategy names {name!r}; choose among {', '.join(STRATEGIES)}, "
                "joined by + (replay+ewc)"
            )
    if len(set(names)) < len(names):
        raise ConfigError(f"learning.strategy {strategy!r} names a strategy twice; name it once")
    ways = [name for name in names if STRATEGIES[name].rehearses] or [DEFAULT_REHEARSAL]
    if len(ways) > 1:
        raise ConfigError(
            f"learning.strategy {strategy!r} names {' and '.join(ways)}, which both decide what "
            "is trained on; keep one of them"
        )
    return ways[0], tuple(sorted(name for name in names if not STRATEGIES[name].rehearses))


def check_strategy(config: LearningConfig) -> None:
    """Raise ConfigError where settings do not work together or would have no effect."""
    way, holds = parts_of(config.strategy)
    trait = STRATEGIES[way]
    buffer = config.buffer.capacity > 0
    if trait.remembers and way != "joint" and not buffer:
        what = " and ".join(holds) if holds else way
        raise ConfigError(
            f"learning.strategy {config.strategy!r} needs exemplars: {what} alone cannot hold old "
            "classes, which no new sample speaks for; set learning.buffer.capacity above 0"
        )
    if holds and not trait.continues:
        raise ConfigError(
            f"learning.strategy {config.strategy!r}: {way} starts from a new network each time, so "
            f"{' and '.join(holds)} would have nothing to hold on to; leave out one of them"
        )
    if holds and not trait.remembers:
        raise ConfigError(
            f"learning.strategy {config.strategy!r}: {' and '.join(holds)} alone cannot hold old "
            "classes, which no new sample speaks for; write "
            f"{'+'.join((DEFAULT_REHEARSAL, *holds))!r}"
        )
    splits = trait.remembers and trait.continues
    if config.replay_share and not splits:
        raise ConfigError(
            f"learning.replay_share has no effect with {way}, which does not mix new samples and "
            "exemplars; set it to 0"
        )
    if config.rehearsal and not splits:
        raise ConfigError(
            f"learning.rehearsal has no effect with {way}, which does not train on new samples "
            "and exemplars; set it to 0"
        )
    if config.rehearsal and config.imbalance.two_stage:
        raise ConfigError(
            "learning.rehearsal and learning.imbalance.two_stage both say how an update ends; "
            "set one of them to 0"
        )
    if config.augmentation.join and way in ("er_ace", "mir", "agem", "der"):
        raise ConfigError(
            f"learning.augmentation.policy {config.augmentation.policy!r} joins new samples and "
            f"exemplars, which {way} has to tell apart; leave out {config.augmentation.join}"
        )
    if way in ("er_ace", "mir", "agem") and not config.replay_share:
        raise ConfigError(
            f"learning.strategy {way} treats new samples and exemplars differently; "
            "set learning.replay_share above 0, 0.5 is usual"
        )
    if config.stream and config.buffer.policy != "class_balanced":
        raise ConfigError(
            f"learning.buffer.policy {config.buffer.policy} has no effect with learning.stream, "
            'which gives every class its share as samples pass; set it to "class_balanced"'
        )
    if config.stream and config.imbalance.early_stopping:
        raise ConfigError(
            "learning.imbalance.early_stopping sets samples aside before they come, which "
            "learning.stream cannot; set one of them to false"
        )
    if way == "joint" and config.buffer.megabytes:
        raise ConfigError(
            "learning.buffer.megabytes has no effect with joint, which keeps every image; "
            "set it to 0"
        )
    if not trait.balances:
        _check_unbalanced(way, config)


def _check_unbalanced(way: str, config: LearningConfig) -> None:
    if config.imbalance.prototypes:
        raise ConfigError(
            f"learning.imbalance.prototypes needs exemplars of old classes, which {way} does not "
            "train on; set it to 0, or choose another learning.strategy"
        )
