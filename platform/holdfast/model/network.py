"""An encoder and a linear head that grows with the classes.

Shape suffixes: n images, c channels, h rows, w columns, d embedding dimensions, k classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from holdfast.errors import CheckpointMismatchError, ConfigError
from holdfast.model import heads
from holdfast.model.encoders import Encoder, build_encoder
from holdfast.model.spec import DEFAULT_WIDTHS, NetworkConfig

# Names of weights among the tensors of a learner state.
PREFIX = "network."


class Network(nn.Module):
    """Images in, one logit per known class out.

    Parameters
    ----------
    encoder : Encoder
    class_ids : sequence of int
        What each logit stands for, in order. Classes are only ever appended.
    dropout : float
        Share of each embedding left out in training, in [0, 1).

    Attributes
    ----------
    encoder : Module
        Standardised images to embeddings.
    dropout : Dropout
        Between encoder and head; has no weights.
    head : Linear
        Embeddings to logits, one row per class.
    """

    mean_c: Tensor
    std_c: Tensor

    def __init__(self, encoder: Encoder, class_ids: Sequence[int], *, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = encoder.module
        self.dropout = nn.Dropout(dropout)
        self.head = heads.new_head(encoder.num_features, len(class_ids))
        self.class_ids = tuple(int(class_id) for class_id in class_ids)
        for name, values_c in (("mean_c", encoder.mean_c), ("std_c", encoder.std_c)):
            self.register_buffer(name, torch.tensor(values_c)[:, None, None], persistent=False)

    @property
    def num_features(self) -> int:
        """Embedding dimensions, D."""
        return self.head.in_features

    def embed(self, images_nchw: Tensor) -> Tensor:
        """Return embeddings, shape (N, D), of uint8 images or floats in [0, 1]."""
        pixels = images_nchw
        if not pixels.is_floating_point():
            pixels = pixels.float() / 255
        embeddings: Tensor = self.encoder((pixels - self.mean_c) / self.std_c)
        return embeddings

    def answer(self, images_nchw: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits, shape (N, K), in the order of `class_ids`, and embeddings, (N, D)."""
        embeddings = self.embed(images_nchw)
        return self.head(self.dropout(embeddings)), embeddings

    def forward(self, images_nchw: Tensor) -> Tensor:
        """Return logits, shape (N, K), in the order of `class_ids`."""
        return self.answer(images_nchw)[0]

    def grow(self, class_ids: Sequence[int], generator: torch.Generator) -> None:
        """Append the classes not known yet; the logits of the others stay as they are."""
        fresh = [int(class_id) for class_id in class_ids if class_id not in self.class_ids]
        if fresh:
            self.head = heads.grown(self.head, len(fresh), generator)
            self.class_ids += tuple(fresh)

    def scale_logits(self, wanted: bool) -> None:
        """Give each logit a learned factor, or take it away; the answers stay as they are.

        Notes
        -----
        The weights of the head are new ones where that changes anything.
        """
        self.head = heads.scaled(self.head) if wanted else heads.unscaled(self.head)


def build_network(
    config: NetworkConfig,
    *,
    channels: int,
    image_size: int | Sequence[int],
    class_ids: Sequence[int],
    seed: int,
) -> Network:
    """Return a new network; the same arguments always give the same weights.

    Parameters
    ----------
    channels : int
        Of the images: 1 or 3.
    image_size : int or (int, int)
        Rows and columns of the images the network is for, one number where they are equal;
        8 or more.
    class_ids : sequence of int
        Classes known at the start, in the order of the logits.
    seed : int
        In [0, 2**63).

    Raises
    ------
    ConfigError
        If timm knows no such model, or its pretrained weights are not on this machine.
    """
    height, width = (image_size, image_size) if isinstance(image_size, int) else image_size
    # The global generator is put back, so building draws nothing from anyone else.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = build_encoder(config, channels=channels, height=height, width=width)
        return Network(encoder, class_ids, dropout=config.dropout)


def restore_network(
    tensors: Mapping[str, NDArray[Any]], header: Mapping[str, Any], config: NetworkConfig
) -> Network:
    """Return the network of a learner state, weights bit for bit.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Weights are those whose names start with `network.`; others are ignored.
    header : mapping
        `network` (name and width), `channels`, `image_size` and `class_ids`. Whether logits
        have factors shows in the weights.

    Raises
    ------
    ConfigError
        If the config names another network than the state holds.
    CheckpointMismatchError
        If a weight is missing, left over or of another shape.
    """
    return filled_network(tensors, PREFIX, header, header["class_ids"], config)


def filled_network(
    tensors: Mapping[str, NDArray[Any]],
    prefix: str,
    header: Mapping[str, Any],
    class_ids: Sequence[int],
    config: NetworkConfig,
) -> Network:
    """Return a network of the header's kind with the weights under a prefix.

    Parameters
    ----------
    class_ids : sequence of int
        What its logits stand for; the header's are not read.

    Raises
    ------
    ConfigError, CheckpointMismatchError
        As `restore_network`.
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
        class_ids=class_ids,
        seed=0,
    )
    weights = {
        key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)
    }
    network.scale_logits("head.scale" in weights)
    own = network.state_dict()
    for key in sorted(own.keys() | weights.keys()):
        shape = tuple(own[key].shape) if key in own else "absent"
        found = weights[key].shape if key in weights else "absent"
        if shape != found:
            raise CheckpointMismatchError(Path("learner state"), prefix + key, shape, found)
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
    width = config.first_width if config.name in DEFAULT_WIDTHS else None
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
