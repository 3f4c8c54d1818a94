"""A moving average of the weights, which becomes the candidate."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from holdfast.learning.parts import Part, Update

# Steps between looks at the weights, which cost as much as a tenth of a small network's step;
# neighbors in so long an average are alike.
EVERY = 4


class Averaging(Part):
    """Keeps a moving average of the weights and leaves it in the network at the end.

    Parameters
    ----------
    decay : float
        Share of the average that stays at each step, in (0, 1).

    References
    ----------
    .. [1] Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging",
       SIAM Journal on Control and Optimization, 1992.
    """

    name = "averaging"

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self._average: dict[str, Tensor] = {}

    def begin(self, update: Update) -> None:
        """Start from the weights as they are."""
        own = update.network.state_dict()
        self._average = {key: value.clone() for key, value in own.items()}
        live = [(self._average[key], value) for key, value in own.items()]
        # state_dict returns the tensors the optimizer changes in place, so that asking for
        # them once an update is enough.
        self._floats = [(old, now) for old, now in live if old.is_floating_point()]
        self._counts = [(old, now) for old, now in live if not old.is_floating_point()]

    @torch.no_grad()
    def stepped(self, update: Update) -> None:
        """Move the average a little towards the weights, every few steps."""
        if (update.done + 1) % EVERY and update.done + 1 < update.steps:
            return
        # Short memory at first, or the starting weights would linger in the average.
        decay = min(self._decay, (update.done + 1) / (update.done + 10)) ** EVERY
        torch._foreach_lerp_(
            [old for old, _ in self._floats], [now for _, now in self._floats], 1 - decay
        )
        for old, now in self._counts:
            old.copy_(now)

    def finish(self, update: Update) -> Mapping[str, Tensor]:
        """Leave the average in the network."""
        update.network.load_state_dict(self._average)
        return {}

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the average."""
        return self._average

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the average back."""
        for key, value in tensors.items():
            self._average[key].copy_(value)
