"""Whole batches of images changed at random by a policy.

Shape suffixes: n images, c channels, h rows, w columns, k classes.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from holdfast.data.augment_affine import geometric
from holdfast.data.augment_mixing import cut_and_mix, mix
from holdfast.data.augment_random import randaugment
from holdfast.data.augment_settings import AugmentationConfig
from holdfast.data.augment_slight import slight
from holdfast.data.augment_steps import Step
from holdfast.data.augment_visual import visual
from holdfast.data.balance import RARE_SHARE

# Numbers changed at once: on a CPU, what stays in its cache; on a GPU, what keeps it busy.
# 1,024 images of 3x32x32 take 26 us each of a core in `visual` with pieces of 2**16, 35 with
# 2**18 and 51 with 2**20. `randaugment` calls each operation on few images of a piece: of
# 3x32x32 they take 19 us each with pieces of 2**18, 33 with 2**16 and 24 with 2**19.
_PIECE = {"cpu": 1 << 16, "randaugment": 1 << 18, "cuda": 1 << 26}
# Pieces from which on threads of their own pay for being started.
MANY_PIECES = 4
# Most that `rare_more` asks for: a class with a sixteenth of an equal share.
LARGEST_STRENGTH = 2.0


@torch.no_grad()
def change(
    images_nchw: Tensor,
    config: AugmentationConfig,
    generator: torch.Generator,
    strength_n: Tensor | None = None,
) -> Tensor:
    """Return the images changed by a policy, each in its own way; joins are apart, in `join`.

    Parameters
    ----------
    images_nchw : Tensor of uint8 or float, shape (N, C, H, W)
        Floats in [0, 1]. Stays as it is.
    generator : torch.Generator
        On the CPU, whatever the images' device, so that the draws are the same anywhere. The
        same images, policy and state of the generator give the same result, bit for bit, on
        the same kind of device.
    strength_n : Tensor of float, shape (N,), optional
        Factor on the changes of each image, 0 or more, anywhere; all 1 when left out. Images
        with 0 stay as they are, bit for bit.

    Returns
    -------
    Tensor
        As the images: same type, shape, range and device.

    Raises
    ------
    ValueError
        If the images are of another type or shape.
    MissingExtraError
        If the policy needs albumentations, and it is not installed.

    Notes
    -----
    Memory beyond the result: for each thread that of a piece of 2¹⁶ to 2¹⁸ numbers on a CPU
    (2²⁶ on a GPU), or of an image if that is larger, a few times, however many images there are.
    """
    if images_nchw.ndim != 4 or images_nchw.dtype not in (torch.uint8, torch.float32):
        raise ValueError(
            "expected uint8 or float32 images of shape (N, C, H, W), got "
            f"{images_nchw.dtype} of {tuple(images_nchw.shape)}"
        )
    if not len(images_nchw) or not config.changes:
        return images_nchw.clone()
    n = len(images_nchw)
    strengths = torch.ones(n) if strength_n is None else strength_n.float().cpu()
    steps = [_step(name, config, images_nchw, generator, strengths) for name in config.changes]
    changed = torch.empty_like(images_nchw)
    size = max(_piece(config, images_nchw) // images_nchw[0].numel(), 1)

    def change_piece(start: int) -> None:
        rows = slice(start, start + size)
        piece = images_nchw[rows]
        whole = piece.float().mul_(1 / 255) if piece.dtype == torch.uint8 else piece
        for step in steps:
            whole = step(whole, rows)
        changed[rows] = whole.mul_(255).add_(0.5) if piece.dtype == torch.uint8 else whole

    # A pipeline draws as it goes along, image by image.
    in_turn = images_nchw.device.type != "cpu" or "albumentations" in config.changes
    _for_each(change_piece, range(0, n, size), 1 if in_turn else torch.get_num_threads())
    untouched = strengths == 0
    if untouched.any():
        at = untouched.to(images_nchw.device)
        changed[at] = images_nchw[at]
    return changed


def join(
    images_nchw: Tensor,
    targets_nk: Tensor,
    config: AugmentationConfig,
    generator: torch.Generator,
    strength_n: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return images and targets joined in pairs, where the policy names `mixup` or `cutmix`.

    Parameters
    ----------
    images_nchw : Tensor of float, shape (N, C, H, W)
    targets_nk : Tensor of float, shape (N, K)
        Probabilities of classes.
    generator : torch.Generator
        On the CPU.
    strength_n : Tensor of float, shape (N,), optional
        Images with 0 stay as they are, and their targets; others are joined with any image.
    """
    if config.join is None or not len(images_nchw):
        return images_nchw, targets_nk
    blend = mix if config.join == "mixup" else cut_and_mix
    images, targets = blend(images_nchw, targets_nk, config.mixing.strength, generator)
    if strength_n is None:
        return images, targets
    joined = (strength_n > 0).to(images.device)
    return (
        torch.where(joined[:, None, None, None], images, images_nchw),
        torch.where(joined[:, None], targets, targets_nk),
    )


def class_strength(counts_k: Tensor, config: AugmentationConfig) -> Tensor | None:
    """Return the factor on the changes of images of each class, None where all are alike.

    Parameters
    ----------
    counts_k : Tensor of float, shape (K,)
        Samples of each class, 0 or more.

    Returns
    -------
    Tensor of float, shape (K,), or None
        `rare_more`: the fourth root of how often the class fits into an equal share, in
        [1, 2]; 1 for a class without samples. `rare_only`: 1 below half of an equal share,
        0 for all others.

    Examples
    --------
    >>> counts = torch.tensor([3000.0, 750.0, 0.0, 1.0])
    >>> more = class_strength(counts, AugmentationConfig(classes="rare_more"))
    >>> [round(one, 2) for one in more.tolist()]
    [1.0, 1.14, 1.0, 2.0]
    >>> class_strength(counts, AugmentationConfig(classes="rare_only")).tolist()
    [0.0, 1.0, 1.0, 1.0]
    """
    if config.classes == "all":
        return None
    equal = counts_k.sum() / (counts_k > 0).sum().clamp(min=1)
    if config.classes == "rare_only":
        return (counts_k < RARE_SHARE * equal).float()
    wanted_k = (equal / counts_k.clamp(min=1e-6)) ** 0.25
    return torch.where(counts_k > 0, wanted_k.clamp(1, LARGEST_STRENGTH), 1.0)


def _for_each(work: Callable[[int], None], starts: range, num_threads: int) -> None:
    """Do a piece of work for each start, by some threads where there are enough pieces.

    Torch divides every operation among its threads, which on pieces that fit in the cache
    costs as much as it gains: twice the images a second come of a thread for each piece.
    """
    if num_threads == 1 or len(starts) < MANY_PIECES:
        for start in starts:
            work(start)
        return
    # Threads that begin now take this over. It is the process's, so it is set back.
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(num_threads, thread_name_prefix="augment") as pool:
            list(pool.map(work, starts))
    finally:
        torch.set_num_threads(num_threads)


def _piece(config: AugmentationConfig, images_nchw: Tensor) -> int:
    if images_nchw.device.type != "cpu":
        return _PIECE["cuda"]
    return _PIECE["randaugment" if "randaugment" in config.changes else "cpu"]


def _step(
    name: str,
    config: AugmentationConfig,
    images_nchw: Tensor,
    generator: torch.Generator,
    strength_n: Tensor,
) -> Step:
    shape, device = images_nchw.shape, images_nchw.device
    if name == "slight":
        return slight(len(images_nchw), generator, strength_n)
    if name == "geometric":
        return geometric(config.geometric, shape, device, generator, strength_n)
    if name == "visual":
        return visual(config.visual, shape, generator, strength_n)
    if name == "randaugment":
        return randaugment(config.randaugment, shape, device, generator, strength_n)
    # Deferred: the extra is heavy, and may be absent.
    from holdfast.data.augment_pipeline import pipeline

    return pipeline(config.albumentations, generator, strength_n)
