"""Which network, and how it is run; light enough for the command line to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from holdfast.errors import ConfigError

SMALL_RESIDUAL = "small_residual"
DEFAULT_WIDTH = 16
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """One encoder and how it is run.

    Attributes
    ----------
    name : str
        `small_residual`, or any model name that timm knows (`timm.list_models()`).
    width : int or None
        Channels of the first stage of `small_residual`, a multiple of 4; None takes 16.
        Cost grows with its square. timm models bring their own.
    pretrained : bool
        Start from the weights timm has for the model, which must be on this machine
        already. `small_residual` has none.
    device : str
        `auto` takes a GPU where there is one; else a torch device such as `cpu`, `cuda:1`.
    precision : str
        `float32`, or `bfloat16` for faster arithmetic on hardware that has it.
    batch_size : int
        Images per batch of inference. Training has its own.

    Raises
    ------
    ConfigError
        If a value is out of range or would have no effect.

    Examples
    --------
    >>> NetworkConfig(width=16).name
    'small_residual'
    """

    name: str = SMALL_RESIDUAL
    width: int | None = None
    pretrained: bool = False
    device: str = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    batch_size: int = 256

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError(f"network.name is empty; set it to {SMALL_RESIDUAL!r}")
        if self.name == SMALL_RESIDUAL:
            if self.pretrained:
                raise ConfigError(
                    "network.pretrained is true but small_residual has no pretrained weights; "
                    "set it to false, or set network.name to a timm model"
                )
            if self.width is not None and (self.width < 4 or self.width % 4):
                raise ConfigError(
                    f"network.width should be a multiple of 4, at least 4, not {self.width}; "
                    f"leave it out for {DEFAULT_WIDTH}"
                )
        elif self.width is not None:
            raise ConfigError(
                f"network.width has no effect on the timm model {self.name!r}; remove it"
            )
        if self.precision not in PRECISIONS:
            raise ConfigError(
                f"network.precision should be one of {', '.join(PRECISIONS)}, "
                f"not {self.precision!r}"
            )
        if self.batch_size < 1:
            raise ConfigError(f"network.batch_size should be 1 or more, not {self.batch_size}")
