"""Synaptic intelligence: a weight matters by how much it lowered the loss on its way."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from holdfast.learning.consolidation import Pull, accumulate, rows_of
from holdfast.learning.parts import Part, Update
from holdfast.learning.settings import LearningConfig

# Keeps weights that hardly moved from mattering without bound: a way of about 0.03.
DAMPING = 1e-3
# Of the importance, so that a strength of 1 suits it as it does elastic weight consolidation:
# digits in five experiences, accuracy .86 at all of it and .91 at a tenth (3 seeds).
SHARE = 0.1


class SynapticIntelligence(Part):
    """Pulls weights back by the share they had in lowering the loss, per way travelled.

    Parameters
    ----------
    past : mapping of str to Tensor
        The running importance so far; empty for a first update.

    Notes
    -----
    While an update runs, minus gradient times movement is summed for each weight: what it
    took off the loss. Divided by the square of the way from start to end it is the curvature
    of a bowl as deep; at a strength of 1, going all the way back costs `SHARE` of what was
    gained. As in the paper, the gradient is that of the loss without the pull itself; the
    penalties of other parts count, they are part of what is learned. The paper's sum over
    updates is a running mean here, as for the other importances, so that the pull does not
    grow forever.
    What comes out below 0 (weights carried uphill by others) is taken for 0: it would push
    away.

    Cost: O(weights) a step; memory: five times the weights, however many updates came before.

    References
    ----------
    .. [1] Zenke, Poole and Ganguli, "Continual Learning Through Synaptic Intelligence",
       ICML 2017.
    """

    name = "si"

    def __init__(self, past: Mapping[str, Tensor], config: LearningConfig) -> None:
        self._past, self._strength = past, config.consolidation.strength

    def begin(self, update: Update) -> None:
        """Remember where the weights are; nothing is travelled yet."""
        weights = update.weights()
        self._pull = Pull(weights, self._past, self._strength)
        self._weights = weights
        self._start = {key: weight.detach().clone() for key, weight in weights.items()}
        self._before = {key: torch.empty_like(value) for key, value in self._start.items()}
        self._gained = {key: torch.zeros_like(value) for key, value in self._start.items()}
        self._slopes: dict[str, Tensor] = {}

    @torch.no_grad()
    def correct(self, update: Update) -> None:  # noqa: ARG002  contract
        """Remember where the step starts, and pull the weights back."""
        torch._foreach_copy_(list(self._before.values()), list(self._weights.values()))
        self._slopes = self._pull.add_to_gradients()

    @torch.no_grad()
    def stepped(self, update: Update) -> None:  # noqa: ARG002  contract
        """Credit each weight with what its movement took off the loss."""
        moving = [key for key, weight in self._weights.items() if weight.grad is not None]
        if not moving:
            return
        now: list[Tensor] = [self._weights[key] for key in moving]
        moved = torch._foreach_sub(now, [self._before[key] for key in moving])
        gained = [self._gained[key] for key in moving]
        slopes = [weight.grad for weight in now if weight.grad is not None]
        torch._foreach_addcmul_(gained, moved, slopes, value=-1.0)
        for key, way in zip(moving, moved, strict=True):
            if key in self._slopes:
                slope = self._slopes[key]
                rows_of(self._gained[key], slope).addcmul_(rows_of(way, slope), slope)

    @torch.no_grad()
    def finish(self, update: Update) -> Mapping[str, Tensor]:  # noqa: ARG002  contract
        """Return the running importance."""
        latest = {
            # Twice, because the pull takes half the importance.
            key: SHARE * 2 * gained.clamp(min=0) / ((self._weights[key] - start).square() + DAMPING)
            for (key, gained), start in zip(self._gained.items(), self._start.values(), strict=True)
        }
        return accumulate(self._past, latest)

    def tensors(self) -> Mapping[str, Tensor]:
        """Return what each weight has gained so far."""
        return self._gained

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the gains back."""
        for key, value in tensors.items():
            self._gained[key].copy_(value)
