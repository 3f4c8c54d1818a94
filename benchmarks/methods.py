"""The contract of a method under test, and the names of all methods.

Shape suffixes: n samples, k classes, c channels, h rows, w columns.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol

from benchmarks.panels import Stream
from holdfast.catalog import suggestion
from holdfast.errors import ConfigError
from holdfast.learning.combinations import parts_of
from holdfast.records import Floats, Ids, Images

METHODS = {
    "holdfast": "benchmarks.contender:HoldfastMethod",
    "avalanche-replay": "benchmarks.peers:ReplayMethod",
    "avalanche-reservoir": "benchmarks.peers:ReservoirMethod",
    "avalanche-er-ace": "benchmarks.peers:ErAceMethod",
    "avalanche-der": "benchmarks.peers:DerMethod",
    "avalanche-gdumb": "benchmarks.peers:GDumbMethod",
    "avalanche-ewc": "benchmarks.peers:SeparateEwcMethod",
    "oracle-drop": "benchmarks.peers:OracleDropMethod",
    "joint": "benchmarks.plain:JointMethod",
}
GROWTH_METHODS = ("holdfast", "avalanche-replay", "avalanche-ewc")
# What panels other than growth run where no method is named: stock EWC without replay holds
# no old class, and is there for its growing state only.
DEFAULT_METHODS = tuple(name for name in METHODS if name != "avalanche-ewc")


class Method(Protocol):
    """One learner that lives through a stream; made with `Method(stream, recipe)`.

    The recipe is Holdfast's TOML file; peers have no use for it.
    """

    def learn(self, number: int) -> None:
        """Learn experience `number`, from 1; called once for each, in order."""
        ...

    def predict(self, images_nchw: Images) -> tuple[Floats, Ids]:
        """Return probabilities, shape (N, K), and the class of each column."""
        ...

    def state_bytes(self) -> int:
        """Return the size of all that must be kept to go on: weights, exemplars, the rest."""
        ...


def find_method(name: str) -> str:
    """Return where a method lives, `module:attribute`.

    `holdfast:STRATEGY` is Holdfast with another strategy than the recipe's.

    Raises
    ------
    ConfigError
        If there is no such method or strategy, with what may have been meant.
    """
    kind, _, strategy = name.partition(":")
    if kind == "holdfast" and strategy:
        parts_of(strategy)
        return METHODS[kind]
    if name not in METHODS:
        raise ConfigError(f"there is no method {name!r}; {suggestion(name, METHODS)}")
    return METHODS[name]


def start_method(name: str, stream: Stream, recipe: Path) -> Method:
    """Return a method that has learned nothing yet."""
    module, _, attribute = find_method(name).partition(":")
    build = getattr(importlib.import_module(module), attribute)
    strategy = name.partition(":")[2]
    method: Method = build(stream, recipe, strategy) if strategy else build(stream, recipe)
    return method
