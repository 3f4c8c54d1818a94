"""Batches of images in other colors and light, blurred, with noise.

Shape suffixes: n images of a batch, b images of a piece of it, c channels, h rows, w columns.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.data.augment_settings import VisualConfig
from holdfast.data.augment_steps import Step, uniform

# To luminance and two axes of color, and back: the turn of the color circle is a turn there.
_TO_YIQ = torch.tensor(
    [[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]]
)
_FROM_YIQ = torch.linalg.inv(_TO_YIQ)
# Normals that all images of a batch read from, each from a place of its own: drawing one for
# every pixel would take longer than all other changes together.
_NOISE_SPARE = 1 << 16
_REACH = 2.5  # deviations that a blur reaches; beyond lies a hundredth of it


def visual(
    config: VisualConfig, shape: torch.Size, generator: torch.Generator, strength_n: Tensor
) -> Step:
    """Draw how hue, saturation, brightness and sharpness change, and how much noise there is.

    Parameters
    ----------
    shape : torch.Size
        (N, C, H, W). Hue and saturation need 3 channels; others keep them.
    strength_n : Tensor of float, shape (N,)
        Factor on all changes of each image.

    Notes
    -----
    Hue, saturation and brightness are one 3×3 matrix for each image [1]_, which keeps the
    luminance of colors where a turn in HSV would not, and costs one product. A blur is two
    passes over the pixels; noise is read from one row of normals, so that two images of a
    batch may hold parts of the same noise at other places.

    References
    ----------
    .. [1] Haeberli, "Matrix Operations for Image Processing", 1993.
    """
    n, channels = shape[:2]
    hue, saturation, brightness = (uniform(generator, 3, n) * 2 - 1) * strength_n
    noise, blur = uniform(generator, 2, n) * strength_n
    factor = (1 + brightness * config.brightness).clamp(min=0)
    colors = color_matrices(
        hue * config.hue * 2 * math.pi, (1 + saturation * config.saturation).clamp(min=0)
    )
    colors *= factor[:, None, None]
    taps = gaussian_taps(blur * config.blur, math.ceil(_REACH * config.blur))
    pixels = math.prod(shape[1:])
    normals = torch.randn(pixels + _NOISE_SPARE, generator=generator) if config.noise else None
    starts = (uniform(generator, n) * _NOISE_SPARE).long()
    deviations = noise * config.noise

    def step(images_bchw: Tensor, rows: slice) -> Tensor:
        device = images_bchw.device
        if channels == 3:
            images_bchw = recolored(images_bchw, colors[rows].to(device))
        else:
            images_bchw = images_bchw * factor[rows].to(device)[:, None, None, None]
        images_bchw = blurred(images_bchw, taps[rows].to(device))
        if normals is not None:
            windows = normals.unfold(0, pixels, 1)[starts[rows]].view_as(images_bchw).to(device)
            images_bchw.addcmul_(windows, deviations[rows].to(device)[:, None, None, None])
        return images_bchw.clamp_(0, 1)

    return step


def color_matrices(turn_n: Tensor, saturation_n: Tensor) -> Tensor:
    """Return matrices of red, green and blue, shape (N, 3, 3).

    Parameters
    ----------
    turn_n : Tensor
        Turn of the color circle in radians.
    saturation_n : Tensor
        Factor on saturation, 0 or more; 0 is gray.
    """
    cosine, sine = turn_n.cos() * saturation_n, turn_n.sin() * saturation_n
    one, zero = torch.ones_like(turn_n), torch.zeros_like(turn_n)
    rows = [[one, zero, zero], [zero, cosine, -sine], [zero, sine, cosine]]
    turned = torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
    matrices: Tensor = _FROM_YIQ @ turned @ _TO_YIQ
    return matrices


def recolored(images_bchw: Tensor, matrices_b33: Tensor) -> Tensor:
    """Return images of 3 channels whose pixels went through the matrices."""
    return torch.bmm(matrices_b33, images_bchw.flatten(2)).view_as(images_bchw)


def gaussian_taps(deviations_n: Tensor, radius: int) -> Tensor:
    """Return one side of Gaussian kernels, the middle first, shape (N, radius + 1).

    Deviations are in pixels; 0 does not blur.
    """
    at = torch.arange(radius + 1, dtype=torch.float32, device=deviations_n.device)
    taps = torch.exp(-0.5 * (at / deviations_n.clamp(min=1e-3)[:, None]) ** 2)
    return taps / (2 * taps.sum(dim=1, keepdim=True) - taps[:, :1])


def blurred(images_bchw: Tensor, taps_bt: Tensor) -> Tensor:
    """Return images blurred along both sides; the border pixel stands for what lies outside."""
    radius = taps_bt.shape[1] - 1
    taps = taps_bt[..., None, None, None].unbind(dim=1)
    for dim, border in ((2, (0, 0, radius, radius)), (3, (radius, radius, 0, 0))):
        length = images_bchw.shape[dim]
        wide = functional.pad(images_bchw, border, mode="replicate")
        images_bchw = images_bchw * taps[0]
        for tap in range(1, radius + 1):
            pair = wide.narrow(dim, radius - tap, length) + wide.narrow(dim, radius + tap, length)
            images_bchw.addcmul_(pair, taps[tap])
    return images_bchw
