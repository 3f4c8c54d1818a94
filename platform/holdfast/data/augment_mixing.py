"""Batches whose images are joined in pairs, and their targets with them.

Shape suffixes: n images, c channels, h rows, w columns, k classes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def mix(
    images_nchw: Tensor, targets_nk: Tensor, strength: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Blend every image, and its target, with another one of the batch.

    Parameters
    ----------
    strength : float
        Above 0: both parameters of the beta distribution of the blend.
    generator : torch.Generator
        On the CPU.

    References
    ----------
    .. [1] Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018.
    """
    share, other = _partners(images_nchw, strength, generator)
    images = torch.lerp(images_nchw[other], images_nchw, share)
    return images, torch.lerp(targets_nk[other], targets_nk, share)


def cut_and_mix(
    images_nchw: Tensor, targets_nk: Tensor, strength: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Replace a box of every image by that of another one, and as much of its target.

    The box lies at the same place in all images of the batch. The target counts pixels, so
    it is right where a box is cut off by the border.

    Parameters
    ----------
    strength : float
        Above 0: both parameters of the beta distribution of the share that stays.
    generator : torch.Generator
        On the CPU.

    References
    ----------
    .. [1] Yun et al., "CutMix: Regularization Strategy to Train Strong Classifiers with
       Localizable Features", ICCV 2019.
    """
    share, other = _partners(images_nchw, strength, generator)
    height, width = images_nchw.shape[2:]
    side = math.sqrt(1 - share)
    middle = torch.rand(2, generator=generator).tolist()
    (top, bottom), (left, right) = (
        (max(round((at - side / 2) * length), 0), min(round((at + side / 2) * length), length))
        for at, length in zip(middle, (height, width), strict=True)
    )
    images = images_nchw.clone()
    images[..., top:bottom, left:right] = images_nchw[other][..., top:bottom, left:right]
    stays = 1 - (bottom - top) * (right - left) / (height * width)
    return images, torch.lerp(targets_nk[other], targets_nk, stays)


def _partners(
    images_nchw: Tensor, strength: float, generator: torch.Generator
) -> tuple[float, Tensor]:
    # A Dirichlet over two is a beta; the private sampler alone takes a generator.
    share = torch._sample_dirichlet(torch.full((2,), strength), generator=generator)[0]
    other = torch.randperm(len(images_nchw), generator=generator)
    return float(share), other.to(images_nchw.device)
