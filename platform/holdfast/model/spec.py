"""Which network, and how it is run; light enough for the command line to read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from holdfast.errors import ConfigError

SMALL_RESIDUAL = "small_residual"
MLP = "mlp"
# Of the networks built in: what the first layer has where nothing is said.
DEFAULT_WIDTHS = {SMALL_RESIDUAL: 16, MLP: 400}
# Highest learning rates of AdamW that suit them: settled on digits of 8x8 pixels, and on MNIST (at
# .006 the flat network ends .015 lower). Convolutions with norms bear more.
SUITED_RATES = {SMALL_RESIDUAL: 6e-3, MLP: 2e-3}
# The rate most pretrained networks are fine-tuned with, or less.
OTHER_RATE = 1e-3
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """One encoder and how it is run.

    Attributes
    ----------
    name : str
        `small_residual`; `mlp`, two hidden layers on flat pixels; or any model name that
        timm knows (`timm.list_models()`).
    width : int or None
        Channels of the first stage of `small_residual`, a multiple of 4, None takes 16; or
        units of each hidden layer of `mlp`, None takes 400. Cost grows with its square.
        timm models bring their own.
    pretrained : bool
        Start from the weights timm has for the model, which must be on this machine
        already. The networks built in have none.
    dropout : float
        Share of the embedding's numbers left out while the head learns, in [0, 0.9]. Above 0
        the network can also be asked as a committee (query strategies such as `bald`).
    device : str
        `auto` takes a GPU where there is one; else a torch device such as `cpu`, `cuda:1`.
    precision : str
        `float32`, or `bfloat16` for faster arithmetic on hardware that has it.
    compile : bool
        Whether torch compiles the network before it is used: minutes once, faster steps
        then. Pays on a GPU and many steps.
    channels_last : bool
        Whether weights of convolutions lie in memory with channels last, which most GPUs
        prefer.
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
    dropout: float = 0.0
    device: str = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    channels_last: bool = False
    batch_size: int = 256

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigError(f"network.name is empty; set it to {SMALL_RESIDUAL!r}")
        if self.pretrained and self.name in DEFAULT_WIDTHS:
            raise ConfigError(
                f"network.pretrained is true but {self.name} has no pretrained weights; "
                "set it to false, or set network.name to a timm model"
            )
        self._check_width()
        if not 0.0 <= self.dropout <= 0.9:
            raise ConfigError(f"network.dropout should be between 0 and 0.9, not {self.dropout}")
        if self.precision not in PRECISIONS:
            raise ConfigError(
                f"network.precision should be one of {', '.join(PRECISIONS)}, "
                f"not {self.precision!r}"
            )
        if self.channels_last and self.name == MLP:
            raise ConfigError(
                "network.channels_last has no effect on mlp, which has no convolutions; "
                "set it to false"
            )
        if self.batch_size < 1:
            raise ConfigError(f"network.batch_size should be 1 or more, not {self.batch_size}")

    @property
    def first_width(self) -> int:
        """Width of the first layer of a network built in."""
        return DEFAULT_WIDTHS[self.name] if self.width is None else self.width

    @property
    def suited_rate(self) -> float:
        """Highest learning rate of AdamW that suits the network."""
        return SUITED_RATES.get(self.name, OTHER_RATE)

    def _check_width(self) -> None:
        if self.width is None:
            return
        if self.name not in DEFAULT_WIDTHS:
            raise ConfigError(
                f"network.width has no effect on the timm model {self.name!r}; remove it"
            )
        step = 4 if self.name == SMALL_RESIDUAL else 1
        if self.width < step or self.width % step:
            wanted = "a multiple of 4, at least 4" if step == 4 else "1 or more"
            raise ConfigError(
                f"network.width should be {wanted}, not {self.width}; "
                f"leave it out for {DEFAULT_WIDTHS[self.name]}"
            )
