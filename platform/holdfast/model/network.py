"""An encoder and a linear head that grows with the classes.

Shape suffixes: n images, c channels, h rows, w columns, d embedding dimensions, k classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from holdfast.errors import CheckpointMismatchError, ConfigError
from holdfast.model.spec import DEFAULT_WIDTH, SMALL_RESIDUAL, NetworkConfig

# Small, so that a class nobody has trained yet says nothing about any image.
HEAD_DEVIATION = 0.01
# Names of weights among the tensors of a learner state.
PREFIX = "network."


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


class Network(nn.Module):
    """Images in, one logit per known class out.

    Parameters
    ----------
    encoder : Module
        Standardised images to embeddings.
    num_features : int
        Embedding dimensions.
    class_ids : sequence of int
        What each logit stands for, in order. Classes are only ever appended.
    mean_c, std_c : sequence of float
        How to standardise pixels in [0, 1], per channel.
    """

    mean_c: Tensor
    std_c: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        num_features: int,
        class_ids: Sequence[int],
        *,
        mean_c: Sequence[float],
        std_c: Sequence[float],
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(num_features, len(class_ids))
        nn.init.normal_(self.head.weight, std=HEAD_DEVIATION)
        nn.init.zeros_(self.head.bias)
        self.class_ids = tuple(int(class_id) for class_id in class_ids)
        self.register_buffer("mean_c", torch.tensor(mean_c)[:, None, None], persistent=False)
        self.register_buffer("std_c", torch.tensor(std_c)[:, None, None], persistent=False)

    def embed(self, images_nchw: Tensor) -> Tensor:
        """Return embeddings, shape (N, D), of uint8 images or floats in [0, 1]."""
        pixels = images_nchw
        if not pixels.is_floating_point():
            pixels = pixels.float() / 255
        embeddings: Tensor = self.encoder((pixels - self.mean_c) / self.std_c)
        return embeddings

    def forward(self, images_nchw: Tensor) -> Tensor:
        """Return logits, shape (N, K), in the order of `class_ids`."""
        logits: Tensor = self.head(self.embed(images_nchw))
        return logits

    def grow(self, class_ids: Sequence[int], generator: torch.Generator) -> None:
        """Append the classes not known yet; the logits of the others stay as they are."""
        fresh = [int(class_id) for class_id in class_ids if class_id not in self.class_ids]
        if not fresh:
            return
        old = self.head
        head = nn.Linear(old.in_features, old.out_features + len(fresh), device="meta")
        head = head.to_empty(device=old.weight.device)
        with torch.no_grad():
            rows = torch.empty(len(fresh), old.in_features)
            rows.normal_(std=HEAD_DEVIATION, generator=generator)
            head.weight.copy_(torch.cat([old.weight, rows.to(old.weight.device)]))
            head.bias.copy_(torch.cat([old.bias, old.bias.new_zeros(len(fresh))]))
        self.head = head
        self.class_ids += tuple(fresh)


def build_network(
    config: NetworkConfig, *, channels: int, image_size: int, class_ids: Sequence[int], seed: int
) -> Network:
    """Return a new network; the same arguments always give the same weights.

    Parameters
    ----------
    channels : int
        Of the images: 1 or 3.
    image_size : int
        Rows and columns of the images the network is for; 8 or more.
    class_ids : sequence of int
        Classes known at the start, in the order of the logits.
    seed : int
        In [0, 2**63).

    Raises
    ------
    ConfigError
        If timm knows no such model, or its pretrained weights are not on this machine.
    """
    # The global generator is put back, so building draws nothing from anyone else.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if config.name == SMALL_RESIDUAL:
            width = DEFAULT_WIDTH if config.width is None else config.width
            small = SmallResidualEncoder(channels, width, image_size)
            return Network(
                small,
                small.num_features,
                class_ids,
                mean_c=[0.5] * channels,
                std_c=[0.25] * channels,
            )
        return _build_timm(config, channels, image_size, class_ids)


def restore_network(
    tensors: Mapping[str, NDArray[Any]], header: Mapping[str, Any], config: NetworkConfig
) -> Network:
    """Return the network of a learner state, weights bit for bit.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Weights are those whose names start with `network.`; others are ignored.
    header : mapping
        `network` (name and width), `channels`, `image_size` and `class_ids`.

    Raises
    ------
    ConfigError
        If the config names another network than the state holds.
    CheckpointMismatchError
        If a weight is missing, left over or of another shape.
    """
    expected = describe(config)
    for key, value in header["network"].items():
        if expected[key] != value:
            raise ConfigError(
                f"network.{key} is {expected[key]!r} but the model to go on from was trained "
                f"with {value!r}; set it back, or start a new project"
            )
    network = build_network(
        dataclasses.replace(config, pretrained=False),
        channels=header["channels"],
        image_size=header["image_size"],
        class_ids=header["class_ids"],
        seed=0,
    )
    weights = {
        key[len(PREFIX) :]: value for key, value in tensors.items() if key.startswith(PREFIX)
    }
    own = network.state_dict()
    for key in sorted(own.keys() | weights.keys()):
        shape = tuple(own[key].shape) if key in own else "absent"
        found = weights[key].shape if key in weights else "absent"
        if shape != found:
            raise CheckpointMismatchError(Path("learner state"), PREFIX + key, shape, found)
    network.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in weights.items()})
    return network


def weights_of(network: Network) -> dict[str, NDArray[Any]]:
    """Return a copy of the weights under the names that `restore_network` reads."""
    return {
        PREFIX + key: value.detach().cpu().numpy().copy()
        for key, value in network.state_dict().items()
    }


def describe(config: NetworkConfig) -> dict[str, Any]:
    """Return what of a config decides the shapes of the weights."""
    width = config.width
    if config.name == SMALL_RESIDUAL and width is None:
        width = DEFAULT_WIDTH
    return {"name": config.name, "width": width}


def resolve_device(name: str) -> torch.device:
    """Return the device that `network.device` means on this machine.

    Raises
    ------
    ConfigError
        If the machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"network.device {name!r} is not usable here ({reason}); set it to 'auto' or 'cpu'"
        ) from error
    return device


def _build_timm(
    config: NetworkConfig, channels: int, image_size: int, class_ids: Sequence[int]
) -> Network:
    import timm  # 3 s; only those who name a timm model pay for it

    if not timm.is_model(config.name.split(".")[0]):
        close = timm.list_models(f"*{config.name.split('.')[0].split('_')[0]}*")[:3]
        hint = f"; did you mean {', '.join(close)}?" if close else ""
        raise ConfigError(
            f"network.name should be {SMALL_RESIDUAL!r} or a timm model, not {config.name!r}{hint}"
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
    return Network(
        encoder,
        encoder.num_features,
        class_ids,
        mean_c=mean_c,
        std_c=std_c,
    )


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
