"""The last steps of an update train the head alone, on classes drawn equally often."""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

from holdfast.learning.parts import Part, Update
from holdfast.learning.settings import ImbalanceConfig

# Must not move the border between stages: 1 - 0.9 is less than 0.1.
_ROUNDING = 1e-9


def in_second_stage(config: ImbalanceConfig, share_done: float) -> bool:
    """Whether the encoder rests, and classes are drawn equally often.

    Parameters
    ----------
    share_done : float
        In [0, 1): share of the update that is done.

    Examples
    --------
    >>> [in_second_stage(ImbalanceConfig(two_stage=0.25), done) for done in (0.7, 0.75)]
    [False, True]
    """
    return config.two_stage > 0 and share_done >= 1 - config.two_stage - _ROUNDING


def stage_of(config: ImbalanceConfig, step: int, steps: int) -> tuple[int, int]:
    """Return a step counted from the start of its stage, and the steps of that stage.

    Each stage has a schedule of its own: at the end of the first one the rate is too low for
    the head to leave where it is.

    Parameters
    ----------
    step, steps : int
        Steps of the update before this one, in [0, `steps`), and in all.

    Examples
    --------
    >>> half = ImbalanceConfig(two_stage=0.5)
    >>> [stage_of(half, step, 5) for step in range(5)]
    [(0, 3), (1, 3), (2, 3), (0, 2), (1, 2)]
    """
    # The same border as in `in_second_stage`, in steps.
    border = math.ceil(steps * (1 - config.two_stage - _ROUNDING)) if config.two_stage else steps
    return (step, border) if step < border else (step - border, steps - border)


class TwoStage(Part):
    """Lets the encoder rest in the second stage, the statistics of its norms included.

    Features are best learned from classes as frequent as they are, the borders between
    classes from all classes alike. The head goes on from its rows rather than from new ones:
    some of them hold what earlier updates have learned.

    References
    ----------
    .. [1] Kang et al., "Decoupling Representation and Classifier for Long-Tailed
       Recognition", ICLR 2020 (classifier re-training).
    """

    name = "two_stage"

    def __init__(self) -> None:
        self._resting = False

    def prepare(self, update: Update) -> None:
        """Put the encoder to rest where the second stage begins."""
        self._set(update, in_second_stage(update.config.imbalance, update.share_done))

    def finish(self, update: Update) -> Mapping[str, Tensor]:
        """Wake the encoder."""
        self._set(update, False)
        return {}

    def _set(self, update: Update, resting: bool) -> None:
        # Not only forwards: an update may be taken back to an earlier step.
        if resting == self._resting:
            return
        self._resting = resting
        update.network.encoder.train(not resting).requires_grad_(not resting)
        for weight in update.network.encoder.parameters():
            # The optimizer would go on with the gradient of the last step.
            weight.grad = None
