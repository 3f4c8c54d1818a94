"""How many CPU threads a network uses, settled where the work is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Up to this many pixels an image is too little work to divide. Measured on two busy cores,
# small_residual of width 16, 64 images of 8x8 a batch: 21 ms a step on one thread, 43 ms on
# two (and 280 ms on two without the passive waiting that `holdfast/__init__.py` asks for).
SMALL_IMAGE = 16 * 16


@contextmanager
def threads_for(image_size: int) -> Iterator[None]:
    """Use one CPU thread for small images, and as many as are set for others.

    One thread also makes the result of small images independent of the machine's cores.
    """
    before = torch.get_num_threads()
    if image_size * image_size <= SMALL_IMAGE:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
