"""Batches of images moved: any turn, shift, scale, shear and flip in one resampling.

Shape suffixes: n images of a batch, b images of a piece of it, c channels, h rows, w columns;
2 the coordinates across and down.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.data.augment_settings import GeometricConfig
from holdfast.data.augment_steps import Step, uniform

# A step that also takes the rows as numbers.
Move = Callable[[Tensor, slice | Tensor], Tensor]

# A scale below this would ask for an image that is all border.
_LEAST_SCALE = 0.05


def geometric(
    config: GeometricConfig,
    shape: torch.Size,
    device: torch.device,
    generator: torch.Generator,
    strength_n: Tensor,
) -> Step:
    """Draw how each image is turned, shifted, scaled and flipped.

    Parameters
    ----------
    shape : torch.Size
        (N, C, H, W).
    strength_n : Tensor of float, shape (N,)
        Factor on turn, shift and change of scale; flips are as likely at any.

    Returns
    -------
    Step
        What moves in from outside is the image mirrored at its border.
    """
    n, _, height, width = shape
    turn, right, down = uniform(generator, 3, n) * 2 - 1
    size, sideways, upside_down = uniform(generator, 3, n)
    scale = config.smallest + (config.largest - config.smallest) * size
    scale = (1 + (scale - 1) * strength_n).clamp(min=_LEAST_SCALE)
    matrices = placed(
        turn=turn * strength_n * math.radians(config.turn),
        scale=scale,
        right=right * strength_n * config.shift,
        down=down * strength_n * config.shift,
    )
    matrices[..., 0] *= 1 - 2 * (sideways < config.flip_sideways)[:, None].float()
    matrices[..., 1] *= 1 - 2 * (upside_down < config.flip_upside_down)[:, None].float()
    return moves(matrices, height, width, device)


def placed(
    *,
    turn: Tensor | None = None,
    scale: Tensor | None = None,
    right: Tensor,
    down: Tensor,
    shear_right: Tensor | None = None,
    shear_down: Tensor | None = None,
) -> Tensor:
    """Return what takes places of the result to places of the image, shape (N, 2, 3).

    Places are in pixels from the middle; the last column, shifts, is in sides. Turns are in
    radians, shears are tangents, a scale above 1 enlarges; what is left out changes nothing.
    """
    zero = torch.zeros_like(right)
    turn = zero if turn is None else turn
    across = zero if shear_right is None else shear_right
    along = zero if shear_down is None else shear_down
    inverse = torch.ones_like(right) if scale is None else 1 / scale
    cosine, sine = turn.cos() * inverse, turn.sin() * inverse
    rows = [
        [cosine + sine * along, sine + cosine * across, -right],
        [along * cosine - sine, cosine - sine * across, -down],
    ]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)


def moves(matrices_n23: Tensor, height: int, width: int, device: torch.device) -> Move:
    """Return the step that reads each image, bilinearly, at the places its matrix says.

    Time O(N C H W). Every pixel is computed alone: threads and the size of a piece make no
    difference.

    Parameters
    ----------
    matrices_n23 : Tensor of float, shape (N, 2, 3)
        As `placed` gives them, on the CPU.
    """
    # From twice the pixels to the coordinates of `grid_sample`, -1 to 1.
    across = torch.arange(width, device=device) * 2 + (1 - width)
    down = torch.arange(height, device=device) * 2 + (1 - height)
    sides = torch.tensor([width, height], dtype=torch.float32)
    turns, shifts = matrices_n23[..., :2] / sides[:, None], matrices_n23[..., 2] * 2
    by_column_nw2 = _outer(across, turns[..., 0].to(device)) + shifts.to(device)[:, None]
    by_row_nh2 = _outer(down, turns[..., 1].to(device))

    def step(images_bchw: Tensor, rows: slice | Tensor) -> Tensor:
        columns, lines = by_column_nw2[rows], by_row_nh2[rows]
        grid_bhw2 = torch.empty((len(columns), height, width, 2), device=device)
        torch.add(columns[:, None], lines[:, :, None], out=grid_bhw2)
        return functional.grid_sample(
            images_bchw, grid_bhw2, padding_mode="reflection", align_corners=False
        )

    return step


def _outer(places: Tensor, factors_n2: Tensor) -> Tensor:
    return places[None, :, None] * factors_n2[:, None]
