"""The contract of learners: a state and an experience in, a new state out.

The tensors of a state are weights (`network.*`), exemplars (`buffer.*`) and importances
of weights (`importance.*`). Everything a learner needs to go on is in the state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import ConfigError
from holdfast.records import Experience

LOSSES = ("cross_entropy", "balanced_softmax")


@dataclass(frozen=True, kw_only=True, slots=True)
class LearningConfig:
    """How the champion is taught an experience.

    The defaults were settled on long-tailed handwritten digits with a fifth of the labels
    wrong (8×8 pixels, about 70 to 450 labels).

    Attributes
    ----------
    strategy : str
        Learner, by its name in the catalog.
    steps : int
        Optimisation steps per update, however small the experience: a few new labels
        must not mean a few steps, or nothing old would be rehearsed.
    batch_size : int
        Samples per step, 2 or more, drawn from the experience and the buffer together.
    learning_rate : float
        Highest rate of AdamW, above 0; it warms up over the first tenth of the steps and
        falls to nearly 0 along a cosine.
    weight_decay : float
        Of AdamW, 0 or more.
    loss : str
        `cross_entropy`, or `balanced_softmax`, which corrects the logits for class
        frequency.
    class_balance : float
        In [0, 1]: 0 draws classes as frequent as they are, 1 all equally often.
    label_smoothing : float
        Share of each target spread over all classes, in [0, 1).
    augment : bool
        Whether training images are shifted, turned, scaled, sheared and lit differently.
    mixup : float
        Strength of blending pairs of images and their targets, 0 or more; 0 is off.
    averaging : float
        Decay per step of the moving average of weights, in [0, 1), that becomes the
        candidate; 0 keeps the last weights.
    buffer_capacity : int
        Exemplars kept for replay, 0 or more. Each costs the bytes of its pixels.
    ewc_strength : float
        Pull towards the champion's weights, by their importance, 0 or more; 0 is off.
    fisher_samples : int
        Samples from which the importance is estimated after each update, 1 or more.

    Raises
    ------
    ConfigError
        If a value is out of range or would have no effect.
    """

    strategy: str = "ewc_replay"
    steps: int = 200
    batch_size: int = 64
    learning_rate: float = 6e-3
    weight_decay: float = 0.05
    loss: Literal["cross_entropy", "balanced_softmax"] = "cross_entropy"
    class_balance: float = 1.0
    label_smoothing: float = 0.1
    augment: bool = True
    mixup: float = 0.0
    averaging: float = 0.99
    buffer_capacity: int = 2000
    ewc_strength: float = 1.0
    fisher_samples: int = 64

    def __post_init__(self) -> None:
        for name, least in (
            ("steps", 1),
            ("batch_size", 2),  # a batch of one has no variance to normalise by
            ("weight_decay", 0),
            ("mixup", 0),
            ("buffer_capacity", 0),
            ("ewc_strength", 0),
            ("fisher_samples", 1),
        ):
            if getattr(self, name) < least:
                raise ConfigError(
                    f"learning.{name} should be {least} or more, not {getattr(self, name)}"
                )
        for name in ("label_smoothing", "averaging"):
            if not 0 <= getattr(self, name) < 1:
                raise ConfigError(
                    f"learning.{name} should be at least 0 and below 1, not {getattr(self, name)}"
                )
        if not 0 <= self.class_balance <= 1:
            raise ConfigError(
                f"learning.class_balance should lie in [0, 1], not {self.class_balance}"
            )
        if not self.learning_rate > 0:
            raise ConfigError(
                f"learning.learning_rate should be above 0, not {self.learning_rate}; 0.001 is safe"
            )
        if self.loss not in LOSSES:
            raise ConfigError(
                f"learning.loss should be one of {', '.join(LOSSES)}, not {self.loss!r}"
            )
        if self.loss == "balanced_softmax" and self.class_balance == 1:
            raise ConfigError(
                "learning.loss balanced_softmax has no effect where class_balance is 1 (every "
                "class is drawn equally often already); set learning.class_balance below 1"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LearnerState:
    """All that a learner needs to go on, as plain arrays and JSON.

    Attributes
    ----------
    tensors : mapping of str to ndarray
        Never changed in place, by anybody.
    header : mapping of str to JSON
        `strategy`, `class_ids` (what each logit stands for, append-only), `experience`
        (number of the last one learned), `updates`, `steps` and `samples_seen` (totals),
        `network` (name and width), `channels`, `image_size`, `buffer` (exemplars per
        class id).
    """

    tensors: Mapping[str, NDArray[Any]]
    header: Mapping[str, Any]


class Learner(Protocol):
    """Anything that can be taught."""

    def learn(
        self,
        state: LearnerState | None,
        experience: Experience,
        rng: np.random.Generator,
        progress: Callable[[int, int], None] | None = None,
    ) -> LearnerState:
        """Return the state after the experience; the state given is left as it is.

        Parameters
        ----------
        state : LearnerState or None
            What was learned so far; None for a first experience.
        experience : Experience
            May be empty where the buffer is not, to forget what was withdrawn.
        rng : Generator
            The only source of chance: equal arguments and equal generators give equal
            states, bit for bit on one CPU.
        progress : callable, optional
            Called with (steps done, steps in all).

        Raises
        ------
        ConfigError
            If the images or the network do not fit the state.
        ValueError
            If there is nothing to learn from, or the experience's number does not follow
            the state's.
        """
        ...
