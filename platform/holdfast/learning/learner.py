"""The contract of learners: a state and an experience in, a new state out.

The tensors of a state are weights (`network.*`), exemplars (`buffer.*`), and what each part of
the strategy remembers (`ewc.*`, `si.*`). Everything a learner needs to go on is in the state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Experience
from holdfast.store.snapshots import Snapshots

Progress = Callable[[int, int], None]


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
        `network` (what of its settings decides its shapes), `channels`, `image_size`,
        `buffer` (fill, share per class and trust), `learning_rate` (highest of the last
        update; half of the recipe's where it diverged once).
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
        progress: Progress | None = None,
        snapshots: Snapshots | None = None,
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
            Called with (samples done, samples in all).
        snapshots : Snapshots, optional
            Where the update puts itself down as it goes. Called again with the same
            arguments after a crash it goes on from there, to the same state bit for bit.

        Raises
        ------
        ConfigError
            If the images or the network do not fit the state.
        DivergedError
            If the loss stops being a number, twice, the second time at half the rate.
        ValueError
            If there is nothing to learn from, or the experience's number does not follow
            the state's.
        """
        ...
