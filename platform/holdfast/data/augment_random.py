"""Batches of images changed by RandAugment: some of fourteen operations, drawn for each.

Shape suffixes: n images of a batch, b images of a piece of it, c channels, h rows, w columns.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from holdfast.data.augment_affine import moves, placed
from holdfast.data.augment_settings import RandAugmentConfig
from holdfast.data.augment_steps import Step, uniform
from holdfast.data.augment_visual import blurred, gaussian_taps

OPERATIONS = (
    "identity",
    "shear_right",
    "shear_down",
    "shift_right",
    "shift_down",
    "turn",
    "brightness",
    "saturation",
    "contrast",
    "sharpness",
    "posterize",
    "solarize",
    "stretch",
    "equalize",
)
_MOVES = slice(1, 6)
MOST = 30.0  # magnitude of the strongest
_LUMINANCE = torch.tensor([0.299, 0.587, 0.114])
_LEVELS = 256


def randaugment(
    config: RandAugmentConfig,
    shape: torch.Size,
    device: torch.device,
    generator: torch.Generator,
    strength_n: Tensor,
) -> Step:
    """Draw the operations of each image, all alike in strength, and the way each goes.

    Parameters
    ----------
    shape : torch.Size
        (N, C, H, W).
    strength_n : Tensor of float, shape (N,)
        Factor on the magnitude of each image.

    Notes
    -----
    The ranges are those of the paper as torchvision has them. Two things differ, so that a
    batch is changed as a whole: the operations of an image are made in one order whatever
    they were drawn in (first all that moves, in one resampling), and one drawn twice is made
    once, by the sum of both.

    References
    ----------
    .. [1] Cubuk et al., "RandAugment: Practical Automated Data Augmentation with a Reduced
       Search Space", NeurIPS 2020.
    """
    n, _, height, width = shape
    drawn = torch.randint(len(OPERATIONS), (n, config.operations), generator=generator)
    signs = (uniform(generator, n, config.operations) < 0.5).float() * 2 - 1
    share_n = (strength_n * config.magnitude / MOST).clamp(max=1)
    signed = torch.zeros(n, len(OPERATIONS)).scatter_add_(1, drawn, signs) * share_n[:, None]
    chosen = torch.zeros(n, len(OPERATIONS), dtype=torch.bool)
    chosen = chosen.scatter_(1, drawn, value=True) & (share_n > 0)[:, None]
    by_name = dict(zip(OPERATIONS, signed.unbind(dim=1), strict=True))
    matrices = placed(
        turn=by_name["turn"] * math.radians(30),
        right=by_name["shift_right"] * 150 / 331,
        down=by_name["shift_down"] * 150 / 331,
        shear_right=by_name["shear_right"] * 0.3,
        shear_down=by_name["shear_down"] * 0.3,
    )
    move = moves(matrices, height, width, device)
    moving = chosen[:, _MOVES].any(dim=1)
    factors = (1 + 0.9 * signed[:, 6:10]).clamp(min=0)

    def step(images_bchw: Tensor, rows: slice) -> Tensor:
        images_bchw = images_bchw.clone()
        where = moving[rows].nonzero()[:, 0]
        if len(where):
            at = where.to(images_bchw.device)
            images_bchw[at] = move(images_bchw[at], (where + rows.start).to(images_bchw.device))
        for operation in range(6, len(OPERATIONS)):
            where = chosen[rows, operation].nonzero()[:, 0]
            if len(where):
                at = where.to(images_bchw.device)
                name, part = OPERATIONS[operation], images_bchw[at]
                if operation < 10:
                    factor = factors[rows, operation - 6][where]
                    part = _blended(name, part, factor.to(part.device)[:, None, None, None])
                else:
                    part = _remapped(name, part, share_n[rows][where].to(part.device))
                images_bchw[at] = part.clamp_(0, 1)
        return images_bchw

    return step


def _blended(name: str, images: Tensor, factor: Tensor) -> Tensor:
    """Return images between what lacks a quality (factor 0) and what has twice of it (2)."""
    if name == "brightness":
        return images * factor
    if name == "contrast":
        without = _gray(images).mean(dim=(2, 3), keepdim=True)
    elif name == "sharpness":
        without = blurred(images, gaussian_taps(torch.ones_like(factor[:, 0, 0, 0]), 1))
    else:
        without = _gray(images)
    return without + (images - without) * factor


def _gray(images: Tensor) -> Tensor:
    if images.shape[1] != 3:
        return images.mean(dim=1, keepdim=True)
    return (images * _LUMINANCE.to(images.device)[:, None, None]).sum(dim=1, keepdim=True)


def _remapped(name: str, images: Tensor, share: Tensor) -> Tensor:
    """Return images whose levels were exchanged, by a share in [0, 1] of the strongest."""
    share = share[:, None, None, None]
    if name == "posterize":
        # From 8 bits down to 4.
        step = 2.0 ** (4 * share).round()
        return (images * (_LEVELS - 1) / step).floor() * step / (_LEVELS - 1)
    if name == "solarize":
        return torch.where(images >= 1 - share, 1 - images, images)
    if name == "stretch":
        low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
        return torch.where(high > low, (images - low) / (high - low).clamp(min=1e-6), images)
    return _equalized(images)


def _equalized(images: Tensor) -> Tensor:
    """Return images whose levels are used equally often, each channel by itself."""
    planes = (images.flatten(2) * (_LEVELS - 1)).round().long().flatten(0, 1)
    counts = torch.zeros(len(planes), _LEVELS, dtype=torch.long, device=planes.device)
    counts.scatter_add_(1, planes, torch.ones_like(planes))
    below = counts.cumsum(dim=1) - counts
    # The lowest level in use becomes black, the highest white.
    span = below.gather(1, planes.amax(dim=1, keepdim=True))
    table = below / span.clamp(min=1)
    levels = torch.where(span > 0, table.gather(1, planes), planes / (_LEVELS - 1))
    return levels.view_as(images).to(images.dtype)
