"""The contract of a method that chooses what to ask, and the names of all methods.

Shape suffixes: n pool samples, d feature dimensions, k classes the model knows, u samples
nobody was asked about, m labeled samples, a answers.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from benchmarks.selection_trial import Trial
from holdfast.catalog import suggestion
from holdfast.errors import ConfigError, MissingExtraError
from holdfast.records import Floats, Ids

METHODS = {
    "holdfast": "benchmarks.selection_contender:Holdfast",
    "holdfast-reask": "benchmarks.selection_contender:HoldfastReasking",
    "random": "benchmarks.selection_methods:ask_at_random",
    "modal-margin": "benchmarks.selection_uncertainty:ask_modal_margin",
    "modal-entropy": "benchmarks.selection_uncertainty:ask_modal_entropy",
    "modal-ranked": "benchmarks.selection_uncertainty:ask_modal_ranked",
    "coreset": "benchmarks.selection_peers:ask_coreset",
    "badge": "benchmarks.selection_peers:ask_badge",
    "falcun": "benchmarks.selection_peers:ask_falcun",
    "galaxy": "benchmarks.selection_graphs:ask_galaxy",
    "direct": "benchmarks.selection_graphs:ask_direct",
}
OF_EXTRA = ("coreset", "badge", "falcun")
# They see the answer to one question before they choose the next.
SEES_INSIDE_A_BATCH = ("galaxy", "direct")


class Desk:
    """Sells answers, as many as were granted.

    Attributes
    ----------
    left : int
        Answers that can still be bought.
    rows_a, class_ids_a : list of int
        What was asked and what was said, in order.
    """

    def __init__(self, trial: Trial) -> None:
        self.left = 0
        self.rows_a: list[int] = []
        self.class_ids_a: list[int] = []
        self._trial = trial
        self._times_n = np.zeros(len(trial.true_n), np.int64)

    def grant(self, num: int) -> None:
        """Allow that many answers more."""
        self.left += num

    def ask(self, rows: Ids) -> Ids:
        """Return the answer about each row, each row once; asked again it is another answer.

        Raises
        ------
        ValueError
            If this is more than what is left, or a row occurs twice.
        """
        if len(rows) > self.left or len(np.unique(rows)) != len(rows):
            raise ValueError(
                f"{len(rows)} rows were asked about, {self.left} different ones may be"
            )
        said = self._trial.answers(rows, self._times_n[rows])
        self._times_n[rows] += 1
        self.left -= len(rows)
        self.rows_a += rows.tolist()
        self.class_ids_a += said.tolist()
        return said

    @property
    def num_asked_again(self) -> int:
        """Answers about samples that had one already."""
        return int(np.maximum(self._times_n - 1, 0).sum())

    @property
    def asked_rows(self) -> Ids:
        """The samples that somebody was asked about, in the order of the pool."""
        return np.flatnonzero(self._times_n)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What a method knows when it chooses.

    Attributes
    ----------
    features_nd : ndarray of float32, shape (N, D)
        Of the whole pool, labeled samples included.
    open_rows_u : ndarray of int64
        Rows nobody was asked about.
    labeled_rows_m, labels_m : ndarray of int64
        What the model was trained on.
    model : fitted classifier, or None
        The one model of all methods; None while all labels are of one class.
    rng : numpy.random.Generator
        For this method and round alone.
    """

    features_nd: Floats
    open_rows_u: Ids
    labeled_rows_m: Ids
    labels_m: Ids
    model: Any
    rng: np.random.Generator


class Method(Protocol):
    """Chooses what to ask in each round, and says which labels follow from the answers."""

    def ask(self, scene: Scene, desk: Desk) -> None:
        """Buy answers, at most as many as are left; what is left over stays for later."""
        ...

    def labels(self, desk: Desk) -> tuple[Ids, Ids]:
        """Return the rows that have a label, and their labels."""
        ...


@dataclass(frozen=True, slots=True)
class Batches:
    """A method that asks about each sample once and believes what it hears."""

    choose: Callable[[Scene, Desk], None]

    def ask(self, scene: Scene, desk: Desk) -> None:
        """Buy a batch; at random while there is no model to be unsure."""
        if scene.model is None:
            ask_at_random(scene, desk)
        else:
            self.choose(scene, desk)

    def labels(self, desk: Desk) -> tuple[Ids, Ids]:
        """Return what was asked and what was said."""
        return np.array(desk.rows_a, np.int64), np.array(desk.class_ids_a, np.int64)


def find_method(name: str) -> str:
    """Return where a method lives, `module:attribute`.

    Raises
    ------
    ConfigError
        If there is no such method, with what may have been meant.
    MissingExtraError
        If it needs a library that is not installed.
    """
    if name not in METHODS:
        raise ConfigError(f"there is no method {name!r}; {suggestion(name, METHODS)}")
    if name in OF_EXTRA and importlib.util.find_spec("skactiveml") is None:
        raise MissingExtraError("scikit-activeml", "bench")
    return METHODS[name]


def start_method(name: str, trial: Trial, recipe: Path) -> Method:
    """Return a method that has asked nothing yet; the recipe is Holdfast's TOML file."""
    module, _, attribute = find_method(name).partition(":")
    found = getattr(importlib.import_module(module), attribute)
    method: Method = found(trial, recipe) if isinstance(found, type) else Batches(found)
    return method


def ask_at_random(scene: Scene, desk: Desk) -> None:
    """Every sample is as good as any other: the reference for all methods."""
    desk.ask(scene.rng.permutation(scene.open_rows_u)[: desk.left])
