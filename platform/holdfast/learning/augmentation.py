"""Whole batches of images changed at random, as new pictures of the same thing.

Shape suffixes: n images, c channels, h rows, w columns.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

# Largest changes: as large as keep an 8x8 handwritten digit readable.
TURN = math.radians(15)
SCALE = 0.15  # of the natural logarithm
SHEAR = 0.15
SHIFT = 0.12  # of the side
LIGHT = 0.15  # of the range of pixels
CONTRAST = 0.3


def perturb(images_nchw: Tensor, generator: torch.Generator) -> Tensor:
    """Return the images moved and lit differently, each in its own way.

    Parameters
    ----------
    images_nchw : Tensor of float, shape (N, C, H, W)
        In [0, 1]. No flips: a mirrored digit is another digit.
    generator : torch.Generator
        On the CPU, whatever the images' device, so that the draws are the same anywhere.

    Returns
    -------
    Tensor of float, shape (N, C, H, W)
        In [0, 1].
    """
    return _light(_move(images_nchw, generator), generator)


def mix(
    images_nchw: Tensor, targets_nk: Tensor, strength: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Blend every image, and its target, with another one of the batch.

    Parameters
    ----------
    strength : float
        Above 0: both parameters of the beta distribution of the blend.

    References
    ----------
    .. [1] Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018.
    """
    concentration = torch.full((2,), strength)
    # A Dirichlet over two is a beta; the private sampler alone takes a generator.
    share = torch._sample_dirichlet(concentration, generator=generator)[0]
    other = torch.randperm(len(images_nchw), generator=generator).to(images_nchw.device)
    share = share.to(images_nchw.device)
    images = share * images_nchw + (1 - share) * images_nchw[other]
    return images, share * targets_nk + (1 - share) * targets_nk[other]


def _move(images_nchw: Tensor, generator: torch.Generator) -> Tensor:
    n = len(images_nchw)

    def draw(largest: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * largest

    turn, shear = draw(TURN), draw(SHEAR)
    wide, high = torch.exp(draw(SCALE)), torch.exp(draw(SCALE))
    cosine, sine = torch.cos(turn), torch.sin(turn)
    # Coordinates run from -1 to 1, so a shift of the whole side is 2.
    rows = [
        torch.stack([cosine * wide, (shear - sine) * high, draw(2 * SHIFT)], dim=1),
        torch.stack([sine * wide, cosine * high, draw(2 * SHIFT)], dim=1),
    ]
    transform = torch.stack(rows, dim=1).to(images_nchw.device)
    grid = functional.affine_grid(transform, list(images_nchw.shape), align_corners=False)
    # What moves in from outside looks like the image's own border.
    edges = torch.cat(
        [
            images_nchw[..., 0, :],
            images_nchw[..., -1, :],
            images_nchw[..., 0],
            images_nchw[..., -1],
        ],
        dim=2,
    )
    backdrop = edges.median(dim=2).values[..., None, None]
    return functional.grid_sample(images_nchw - backdrop, grid, align_corners=False) + backdrop


def _light(images_nchw: Tensor, generator: torch.Generator) -> Tensor:
    shape = (len(images_nchw), 1, 1, 1)
    light = ((torch.rand(shape, generator=generator) * 2 - 1) * LIGHT).to(images_nchw.device)
    contrast = ((torch.rand(shape, generator=generator) * 2 - 1) * CONTRAST).to(images_nchw.device)
    mean = images_nchw.mean(dim=(1, 2, 3), keepdim=True)
    return ((images_nchw - mean) * (1 + contrast) + mean + light).clamp(0, 1)
