"""Settings of synthetic images: how a generator of rare classes is taught, and what may pass."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from holdfast.errors import ConfigError

SECTION = "learning.synthetic"
# Side in pixels of the largest images a generator this small is taught.
LARGEST_SIDE = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticConfig:
    """Images of rare classes that a generator draws for training. Off unless `per_class` is set.

    `holdfast augment --synthetic` shows what these settings make, also while they are off.

    Attributes
    ----------
    per_class : int
        Images drawn for each rare class, 0 or more, never beyond an equal share of all labels;
        0 is off. Needs `pip install 'holdfast[generative]'`, and images of 64 pixels at most.
    share : float
        Of what is drawn of a class while learning, the part that is synthetic, above 0 and
        below 1.
    steps : int
        Steps the generator is taught in each round, 1 or more.
    width : int
        Channels of the generator's first stage, a multiple of 8. Cost grows with its square.
    frechet : float
        A class passes up to this many times the Fréchet distance between halves of its real
        images, above 0; a twentieth of that to the nearest other class is allowed in any case.
    coverage : float
        A class passes from this many times the coverage that halves of its real images have of
        each other, in [0, 1]: the part of them with one of the others nearby.
    """

    per_class: int = 0
    share: float = 0.3
    steps: int = 2000
    width: int = 16
    frechet: float = 3.0
    coverage: float = 0.6

    def __post_init__(self) -> None:
        for holds, name, wanted in (
            (self.per_class >= 0, "per_class", "0 or more"),
            (0 < self.share < 1, "share", "above 0 and below 1"),
            (self.steps >= 1, "steps", "1 or more"),
            (self.width >= 8 and self.width % 8 == 0, "width", "a multiple of 8, at least 8"),
            (self.frechet > 0, "frechet", "above 0"),
            (0 <= self.coverage <= 1, "coverage", "between 0 and 1"),
        ):
            if not holds:
                raise ConfigError(f"{SECTION}.{name} should be {wanted}, not {getattr(self, name)}")

    def as_json(self) -> dict[str, Any]:
        """Return the settings as a version's recipe keeps them."""
        kept: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return kept


def check_side(image_size: int) -> None:
    """Raise ConfigError where images are too large for the generator."""
    if image_size > LARGEST_SIDE:
        raise ConfigError(
            f"{SECTION} draws images of {LARGEST_SIDE} pixels at most, but data.image_size is "
            f"{image_size}; set {SECTION}.per_class to 0, or lower data.image_size"
        )
