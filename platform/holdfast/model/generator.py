"""Draws images of a class: a small diffusion model; the home of diffusers.

Shape suffixes: n images, m images to draw, b images of a batch, c channels, h rows, w columns.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from holdfast.data.synthetic_settings import SyntheticConfig, check_side
from holdfast.errors import MissingExtraError
from holdfast.model.network import resolve_device
from holdfast.model.threads import threads_for
from holdfast.records import Floats, Ids, Images
from holdfast.seeds import integer_seed

Told = Callable[[int, int], None]

# Levels of noise an image is taken through, and those it is drawn back by.
_NOISE_LEVELS = 1000
_DRAWING_STEPS = 40
_BATCH = 32
_DRAWN_AT_ONCE = 256
_HIGHEST_RATE = 1e-3
_WARM_UP = 100
# Decay a step of the moving average of weights that draws; lower in the first steps.
_AVERAGING = 0.995
# Sides below are one convolution's field of view: they are not halved any more.
_SMALLEST_SIDE = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Generator:
    """A taught generator, as plain arrays.

    Attributes
    ----------
    weights : mapping of str to ndarray
        Never changed in place.
    class_ids : tuple of int
        Classes it can draw.
    image_shape : (int, int, int)
        Channels, rows and columns of what it draws.
    width : int
        Channels of its first stage.
    """

    weights: Mapping[str, NDArray[Any]]
    class_ids: tuple[int, ...]
    image_shape: tuple[int, int, int]
    width: int

    @property
    def sha256(self) -> str:
        """Digest of the weights, in hexadecimal."""
        digest = hashlib.sha256()
        for name in sorted(self.weights):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(self.weights[name]).tobytes())
        return digest.hexdigest()


def teach(
    images_nchw: Images,
    class_ids_n: Ids,
    weights_n: Floats,
    *,
    config: SyntheticConfig,
    device: str,
    rng: np.random.Generator,
    told: Told | None = None,
) -> Generator:
    """Return a generator of the classes; equal arguments and generators give equal weights.

    Parameters
    ----------
    images_nchw : ndarray of uint8, shape (N, C, H, W)
        Square, 64 pixels at most. Of common classes too: what they share with rare ones
        (strokes, light, edges) few images cannot teach.
    class_ids_n : ndarray of int64, shape (N,)
    weights_n : ndarray of float32, shape (N,)
        How often each image is drawn, against the others; 0 or more, some above 0.
    device : str
        As `network.device`.
    rng : Generator
        The only source of chance. Bit for bit on one machine.
    told : callable, optional
        Told (steps done, steps in all).

    Raises
    ------
    MissingExtraError
        If diffusers is not installed.
    ConfigError
        If images are too large, or the machine has no such device.

    Notes
    -----
    Cost: `config.steps` batches of 32 images, however many images there are. The network
    learns to predict the velocity of a cosine schedule; an average of its weights draws.

    References
    ----------
    .. [1] Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020.
    .. [2] Nichol and Dhariwal, "Improved Denoising Diffusion Probabilistic Models", ICML 2021
       (cosine schedule).
    .. [3] Salimans and Ho, "Progressive Distillation for Fast Sampling of Diffusion Models",
       ICLR 2022 (velocity).
    """
    check_side(images_nchw.shape[2])
    place, draws = resolve_device(device), torch.Generator().manual_seed(integer_seed(rng))
    known = np.unique(class_ids_n)
    shape: tuple[int, int, int] = images_nchw.shape[1:]  # type: ignore[assignment]  # three of four
    with _reproducible(shape[1], integer_seed(rng)):
        network = _network(config.width, shape, len(known)).to(place)
        averaged = {name: value.detach().clone() for name, value in network.state_dict().items()}
        scheduler = _scheduler()
        pixels = torch.from_numpy(images_nchw)
        classes = torch.from_numpy(np.searchsorted(known, class_ids_n))
        chances = torch.from_numpy(weights_n.astype(np.float64))
        optimizer = torch.optim.AdamW(network.parameters(), lr=_HIGHEST_RATE, weight_decay=0.0)
        network.train()
        for step in range(config.steps):
            rows = torch.multinomial(chances, _BATCH, replacement=True, generator=draws)
            clean = _scaled(pixels[rows])
            noise = torch.randn(clean.shape, generator=draws)
            levels = torch.randint(_NOISE_LEVELS, (_BATCH,), generator=draws)
            noisy = scheduler.add_noise(clean, noise, levels).to(place)
            wanted = scheduler.get_velocity(clean, noise, levels).to(place)
            for group in optimizer.param_groups:
                group["lr"] = _rate(step, config.steps)
            said = network(noisy, levels.to(place), classes[rows].to(place)).sample
            loss = nn.functional.mse_loss(said, wanted)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # torch: no types
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            _follow(averaged, network, min(_AVERAGING, (1 + step) / (10 + step)))
            if told is not None:
                told(step + 1, config.steps)
    return Generator(
        weights={name: value.cpu().numpy() for name, value in averaged.items()},
        class_ids=tuple(known.tolist()),
        image_shape=shape,
        width=config.width,
    )


def draw(
    generator: Generator, class_ids_m: Ids, *, device: str, rng: np.random.Generator
) -> Images:
    """Return an image of each class named, uint8 of shape (M, C, H, W).

    Equal arguments and generators give equal images, bit for bit on one machine.

    Raises
    ------
    ValueError
        If the generator was not taught a class.
    MissingExtraError
        If diffusers is not installed.

    Notes
    -----
    Cost: 40 forward passes an image.

    References
    ----------
    .. [1] Song, Meng and Ermon, "Denoising Diffusion Implicit Models", ICLR 2021.
    """
    unknown = sorted(set(class_ids_m.tolist()) - set(generator.class_ids))
    if unknown:
        raise ValueError(f"the generator was taught {generator.class_ids}, not {unknown}")
    place, draws = resolve_device(device), torch.Generator().manual_seed(integer_seed(rng))
    shape = generator.image_shape
    images = np.empty((len(class_ids_m), *shape), np.uint8)
    classes = torch.from_numpy(np.searchsorted(np.array(generator.class_ids), class_ids_m))
    with _reproducible(shape[1], 0), torch.inference_mode():
        network = _network(generator.width, shape, len(generator.class_ids))
        network.load_state_dict(
            {name: torch.from_numpy(value.copy()) for name, value in generator.weights.items()}
        )
        network = network.to(place).eval()
        scheduler = _scheduler()
        scheduler.set_timesteps(_DRAWING_STEPS)
        for start in range(0, len(class_ids_m), _DRAWN_AT_ONCE):
            part = classes[start : start + _DRAWN_AT_ONCE].to(place)
            noisy = torch.randn((len(part), *shape), generator=draws).to(place)
            for level in scheduler.timesteps:
                said = network(noisy, level.to(place), part).sample
                noisy = scheduler.step(said, level, noisy).prev_sample
            drawn = ((noisy + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
            images[start : start + len(part)] = drawn.cpu().numpy()
    return images


@contextmanager
def _reproducible(side: int, seed: int) -> Iterator[None]:
    """Lend the global generator, which layers are made with, and take no shortcuts on a GPU."""
    with (
        threads_for(side),
        torch.random.fork_rng(devices=[]),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True),
    ):
        torch.manual_seed(seed)
        yield


def _network(width: int, shape: tuple[int, int, int], num_classes: int) -> Any:
    try:
        from diffusers.models.unets.unet_2d import UNet2DModel
    except ImportError as error:
        raise MissingExtraError("diffusers", "generative") from error

    stages = _num_stages(shape[1])
    # No attention: its backward pass is not reproducible on every GPU, and at these sizes the
    # middle of the network sees the whole image all the same.
    return UNet2DModel(
        sample_size=shape[1],
        in_channels=shape[0],
        out_channels=shape[0],
        block_out_channels=tuple(width * min(2**stage, 4) for stage in range(stages)),
        down_block_types=("DownBlock2D",) * stages,
        up_block_types=("UpBlock2D",) * stages,
        layers_per_block=1,
        norm_num_groups=8,
        add_attention=False,
        num_class_embeds=num_classes,
    )


def _num_stages(side: int) -> int:
    """Return how often a side can be halved, and once more: each stage but one halves it."""
    stages = 1
    while side % 2 == 0 and side // 2 >= _SMALLEST_SIDE:
        side, stages = side // 2, stages + 1
    return stages


def _scheduler() -> Any:
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=_NOISE_LEVELS,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
    )


def _scaled(images_bchw: Tensor) -> Tensor:
    """Return bytes as floats in [-1, 1]."""
    return images_bchw.float() / 127.5 - 1


def _rate(step: int, steps: int) -> float:
    warm = min(1.0, (step + 1) / _WARM_UP)
    return _HIGHEST_RATE * warm * (0.05 + 0.95 * (1 + math.cos(math.pi * step / steps)) / 2)


@torch.no_grad()
def _follow(averaged: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    for name, value in network.state_dict().items():
        averaged[name].lerp_(value, 1 - decay)
