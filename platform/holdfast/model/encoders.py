"""Encoders by name: standardised images to embeddings.

Shape suffixes: n images, c channels, h rows, w columns, d embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from holdfast.errors import ConfigError
from holdfast.model.spec import MLP, SMALL_RESIDUAL, NetworkConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoder:
    """An encoder and what it expects.

    Attributes
    ----------
    module : Module
        Standardised images to embeddings, shape (N, D).
    num_features : int
        Embedding dimensions, D.
    mean_c, std_c : list of float
        How to standardise pixels in [0, 1], per channel.
    """

    module: nn.Module
    num_features: int
    mean_c: list[float]
    std_c: list[float]


def build_encoder(config: NetworkConfig, *, channels: int, height: int, width: int) -> Encoder:
    """Return a new encoder; weights are drawn from the global generator.

    Raises
    ------
    ConfigError
        If timm knows no such model, or its pretrained weights are not on this machine.
    """
    mean_c, std_c = [0.5] * channels, [0.25] * channels
    if config.name == SMALL_RESIDUAL:
        small = SmallResidualEncoder(channels, config.first_width, max(height, width))
        return Encoder(module=small, num_features=small.num_features, mean_c=mean_c, std_c=std_c)
    if config.name == MLP:
        hidden = config.first_width
        layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * height * width, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        return Encoder(module=layers, num_features=hidden, mean_c=mean_c, std_c=std_c)
    return _build_timm(config, channels, max(height, width))


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions around a shortcut, normalised before each one.

    References
    ----------
    .. [1] He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(channels_in)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, 1, 1, bias=False)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the block's output; rows and columns are divided by the stride."""
        update = self.conv1(functional.relu(self.norm1(hidden)))
        update = self.conv2(functional.relu(self.norm2(update)))
        joined: Tensor = update + self.shortcut(hidden)
        return joined


class SmallResidualEncoder(nn.Module):
    """Three residual stages for images of 8×8 to about 64×64 pixels.

    The stem halves images of 24 pixels and more, and halves again from 80 on, so that
    the first stage, the costly one, never sees more than about 40×40 positions.
    """

    def __init__(self, channels: int, width: int, image_size: int) -> None:
        super().__init__()
        stride = 1 if image_size < 24 else 2 if image_size < 80 else 4
        size = 3 if stride < 4 else 7
        self.stem = nn.Conv2d(channels, width, size, stride, size // 2, bias=False)
        self.stages = nn.Sequential(
            ResidualBlock(width, width, 1),
            ResidualBlock(width, 2 * width, 2),
            ResidualBlock(2 * width, 2 * width, 2),
        )
        self.norm = nn.BatchNorm2d(2 * width)
        self.num_features = 2 * width

    def forward(self, images_nchw: Tensor) -> Tensor:
        """Return embeddings, shape (N, D), of standardised images."""
        hidden = functional.relu(self.norm(self.stages(self.stem(images_nchw))))
        return hidden.mean(dim=(2, 3))


def _build_timm(config: NetworkConfig, channels: int, image_size: int) -> Encoder:
    import timm  # 3 s; only those who name a timm model pay for it

    if not timm.is_model(config.name.split(".")[0]):
        close = timm.list_models(f"*{config.name.split('.')[0].split('_')[0]}*")[:3]
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise ConfigError(
            f"network.name should be {SMALL_RESIDUAL!r}, {MLP!r} or a timm model, "
            f"not {config.name!r}{hint}"
        )
    cfg = timm.get_pretrained_cfg(config.name)
    options: dict[str, Any] = {"img_size": image_size} if cfg and cfg.fixed_input_size else {}
    try:
        with _offline():
            encoder: Any = timm.create_model(
                config.name,
                pretrained=config.pretrained,
                num_classes=0,
                in_chans=channels,
                **options,
            )
    except Exception as error:
        if not config.pretrained:
            raise ConfigError(f"timm cannot build {config.name!r}: {error}") from error
        raise ConfigError(
            f"network.pretrained is true but the weights of {config.name!r} are not on this "
            "machine; put them into its Hugging Face cache "
            f"(huggingface-cli download timm/{config.name}), or set it to false"
        ) from error
    mean_c = list(encoder.pretrained_cfg["mean"])
    std_c = list(encoder.pretrained_cfg["std"])
    if len(mean_c) != channels:
        mean_c = [sum(mean_c) / len(mean_c)] * channels
        std_c = [sum(std_c) / len(std_c)] * channels
    return Encoder(module=encoder, num_features=encoder.num_features, mean_c=mean_c, std_c=std_c)


@contextmanager
def _offline() -> Iterator[None]:
    """Let timm look for weights on this machine only."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
