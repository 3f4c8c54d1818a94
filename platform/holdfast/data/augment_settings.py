"""Policies that change images at random, as frozen settings with a JSON form."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from holdfast.errors import ConfigError

SECTION = "learning.augmentation"
NONE = "none"
GEOMETRIC = "geometric"
# Changes of images, in the order in which they are made, and what each does.
CHANGES: dict[str, str] = {
    "slight": "turned, sheared, scaled, shifted a little and lit differently; no flips",
    GEOMETRIC: "turned, shifted, scaled and flipped",
    "visual": "hue, saturation and brightness jittered, blurred, with noise",
    "randaugment": "some operations of RandAugment, drawn for each image",
    "albumentations": "an albumentations pipeline from a file",
}
# Joins of images with one another; their targets are joined as well.
JOINS: dict[str, str] = {
    "mixup": "blended with another image, and its target",
    "cutmix": "a box replaced by that of another image, and as much of its target",
}


def _between(owner: object, section: str, name: str, least: float, most: float) -> None:
    value = getattr(owner, name)
    if not least <= value <= most:
        wanted = f"{least:g} or more" if most == float("inf") else f"between {least:g} and {most:g}"
        raise ConfigError(f"{SECTION}.{section}.{name} should be {wanted}, not {value!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class GeometricConfig:
    """How far `geometric` moves an image; one resampling does all of it.

    Attributes
    ----------
    turn : float
        Largest turn either way in degrees, 0 to 180.
    shift : float
        Largest shift either way along each side, as a share of the side, 0 to 1.
    smallest, largest : float
        Scale is drawn between them; above 0 and at most 10, 1 keeps the size.
    flip_sideways : float
        Probability of a mirrored image, 0 to 1. Set 0 where a mirrored thing is another.
    flip_upside_down : float
        Probability of an image upside down, 0 to 1.
    """

    turn: float = 30.0
    shift: float = 0.1
    smallest: float = 0.8
    largest: float = 1.2
    flip_sideways: float = 0.5
    flip_upside_down: float = 0.0

    def __post_init__(self) -> None:
        _between(self, "geometric", "turn", 0, 180)
        for name in ("shift", "flip_sideways", "flip_upside_down"):
            _between(self, "geometric", name, 0, 1)
        for name in ("smallest", "largest"):
            _between(self, "geometric", name, 0.01, 10)
        if self.smallest > self.largest:
            raise ConfigError(
                f"{SECTION}.geometric.smallest is {self.smallest:g}, above largest "
                f"({self.largest:g}); swap them"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class VisualConfig:
    """How far `visual` changes colors and sharpness. Gray images have neither hue nor saturation.

    Attributes
    ----------
    hue : float
        Largest turn of the color circle either way, as a share of it, 0 to 0.5.
    saturation, brightness : float
        Largest change of the factor on each, 0 to 1.
    noise : float
        Largest standard deviation of Gaussian noise, as a share of the range of pixels, 0 to 1.
    blur : float
        Largest standard deviation of a Gaussian blur in pixels, 0 to 2.
    """

    hue: float = 0.04
    saturation: float = 0.4
    brightness: float = 0.25
    noise: float = 0.04
    blur: float = 0.8

    def __post_init__(self) -> None:
        for name, most in (("hue", 0.5), ("saturation", 1), ("brightness", 1), ("noise", 1)):
            _between(self, "visual", name, 0, most)
        _between(self, "visual", "blur", 0, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class RandAugmentConfig:
    """How much `randaugment` does.

    Attributes
    ----------
    operations : int
        Operations drawn for each image, 1 to 14.
    magnitude : float
        Strength of each, 0 to 30.
    """

    operations: int = 2
    magnitude: float = 9.0

    def __post_init__(self) -> None:
        _between(self, "randaugment", "operations", 1, 14)
        _between(self, "randaugment", "magnitude", 0, 30)


@dataclass(frozen=True, kw_only=True, slots=True)
class MixingConfig:
    """How `mixup` and `cutmix` share out a pair of images.

    Attributes
    ----------
    strength : float
        Both parameters of the beta distribution of the mix, above 0.
    """

    strength: float = 0.3

    def __post_init__(self) -> None:
        _between(self, "mixing", "strength", 1e-3, float("inf"))


@dataclass(frozen=True, kw_only=True, slots=True)
class AlbumentationsConfig:
    """Which pipeline `albumentations` runs.

    Attributes
    ----------
    pipeline : str
        What `json.dumps(albumentations.to_dict(pipeline))` gives, as text, so that a recipe and
        the versions made with it need no other file.
    """

    pipeline: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentationConfig:
    """How training images are changed at random.

    Attributes
    ----------
    policy : str
        Changes joined by `+`, made in this order whatever their order here: `slight` (turned,
        sheared, scaled, shifted a little and lit differently; no flips), `geometric`, `visual`,
        `randaugment`, `albumentations`; and one of `mixup` and `cutmix`. `none` alone changes
        nothing.
    classes : str
        Which images are changed: those of `all` classes alike; `rare_more`, those of classes
        below an equal share up to twice as far; `rare_only`, those of classes with less than
        half of an equal share, and no others.
    """

    policy: str = "slight"
    classes: Literal["all", "rare_more", "rare_only"] = "all"
    geometric: GeometricConfig = field(default_factory=GeometricConfig)
    visual: VisualConfig = field(default_factory=VisualConfig)
    randaugment: RandAugmentConfig = field(default_factory=RandAugmentConfig)
    mixing: MixingConfig = field(default_factory=MixingConfig)
    albumentations: AlbumentationsConfig = field(default_factory=AlbumentationsConfig)

    def __post_init__(self) -> None:
        used = self._sections()
        for name, default in _SECTIONS.items():
            if name not in used and getattr(self, name) != default():
                raise ConfigError(
                    f"{SECTION}.{name} has no effect with the policy {self.policy!r}; name "
                    f"{'mixup or cutmix' if name == 'mixing' else name} in it, or leave the "
                    "section out"
                )
        if "albumentations" in used and not self.albumentations.pipeline:
            raise ConfigError(
                f"{SECTION}.albumentations.pipeline is empty; write a pipeline there as "
                "json.dumps(albumentations.to_dict(pipeline)) gives it"
            )
        if self.classes != "all" and self.policy == NONE:
            raise ConfigError(
                f"{SECTION}.classes has no effect with the policy 'none'; choose another policy"
            )
        if self.classes == "rare_more" and not set(self.changes) - {"albumentations"}:
            raise ConfigError(
                f"{SECTION}.classes rare_more has no effect with the policy {self.policy!r}, "
                "which knows no more or less; use rare_only, or add another change"
            )

    @property
    def changes(self) -> tuple[str, ...]:
        """Names of changes of single images, in the order they are made."""
        names = policy_parts(self.policy)
        return tuple(name for name in CHANGES if name in names)

    @property
    def join(self) -> str | None:
        """`mixup`, `cutmix`, or None."""
        return next((name for name in policy_parts(self.policy) if name in JOINS), None)

    def with_policy(self, policy: str) -> AugmentationConfig:
        """Return another policy with those of these settings that it uses.

        Raises
        ------
        ConfigError
            If there is no such policy, or it needs a setting that is not there.
        """
        names = policy_parts(policy)
        kept = {name: getattr(self, name) for name in _SECTIONS if name in names}
        if set(names) & set(JOINS):
            kept["mixing"] = self.mixing
        # More or less is for changes that know it; only some is for all that change anything.
        graded = set(names) - set(JOINS) - {"albumentations"}
        if graded or (names and self.classes == "rare_only"):
            kept["classes"] = self.classes
        return AugmentationConfig(policy=policy, **kept)

    def as_json(self) -> str:
        """Return the policy with the parameters it uses, as one line of JSON."""
        said: dict[str, Any] = {"policy": self.policy, "classes": self.classes}
        said |= {name: dataclasses.asdict(getattr(self, name)) for name in self._sections()}
        return json.dumps(said, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> AugmentationConfig:
        """Return the policy that `as_json` described.

        Raises
        ------
        ConfigError
            If the text is no such JSON, or holds a key or value that no policy has.
        """
        try:
            said = json.loads(text)
            sections = {
                name: make(**said.pop(name)) for name, make in _SECTIONS.items() if name in said
            }
            return cls(**said, **sections)
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigError(
                f"a policy in JSON was expected, as `as_json` writes it, but {text[:80]!r} is not "
                f"one ({error}); take it from the version that recorded it"
            ) from error

    def _sections(self) -> tuple[str, ...]:
        """Return the names of the sections whose settings the policy uses."""
        used = {name for name in self.changes if name in _SECTIONS}
        return tuple(sorted(used | ({"mixing"} if self.join else set())))


_SECTIONS: Mapping[str, Any] = {
    GEOMETRIC: GeometricConfig,
    "visual": VisualConfig,
    "randaugment": RandAugmentConfig,
    "mixing": MixingConfig,
    "albumentations": AlbumentationsConfig,
}


def policy_parts(policy: str) -> tuple[str, ...]:
    """Split a policy into its names; empty for `none`.

    Raises
    ------
    ConfigError
        If a name is unknown or comes twice, or both joins are named.

    Examples
    --------
    >>> policy_parts("geometric+visual+cutmix")
    ('geometric', 'visual', 'cutmix')
    >>> policy_parts("none")
    ()
    """
    if policy == NONE:
        return ()
    names = tuple(policy.split("+"))
    for name in names:
        if name not in CHANGES and name not in JOINS:
            raise ConfigError(
                f"{SECTION}.policy names {name!r}; choose among {', '.join((*CHANGES, *JOINS))}, "
                'joined by + (geometric+visual), or "none"'
            )
    if len(set(names)) < len(names):
        raise ConfigError(f"{SECTION}.policy {policy!r} names a change twice; name it once")
    if len(set(names) & set(JOINS)) > 1:
        raise ConfigError(
            f"{SECTION}.policy {policy!r} names mixup and cutmix, which both join images; keep one"
        )
    return names
