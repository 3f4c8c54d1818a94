"""What a change of images is made of: draws for a batch, then a step on each piece of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# Changes a piece of a batch, floats in [0, 1] of shape (B, C, H, W), whose rows in the batch are
# given. It leaves what it gets as it is.
Step = Callable[[Tensor, slice], Tensor]


def uniform(generator: torch.Generator, *shape: int) -> Tensor:
    """Return draws from [0, 1) on the CPU, whatever the images' device: the same anywhere."""
    return torch.rand(shape, generator=generator)
