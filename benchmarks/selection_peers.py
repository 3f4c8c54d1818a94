"""The strategies of scikit-activeml, as they come.

Each scores the pool itself with the one model of all methods, which is never fitted again.

Shape suffixes: n pool samples.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from benchmarks.selection_methods import Desk, Scene
from holdfast.records import Floats, Ids
from holdfast.seeds import integer_seed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports parts of others that announce their end
    from skactiveml.base import SkactivemlClassifier
    from skactiveml.pool import Badge, CoreSet, Falcun

UNASKED = -1  # in place of a label


class Fitted(SkactivemlClassifier):
    """A model that scikit-activeml can ask and has no need to fit."""

    def __init__(self, model: Any = None) -> None:
        super().__init__(missing_label=UNASKED)
        self.model = model

    def fit(self, X: Floats, y: Ids) -> Fitted:  # noqa: N803, ARG002  scikit-learn's names
        """Refuse: every method has the same model."""
        raise TypeError("the model is fitted already")

    def predict_proba(self, X: Floats) -> Floats:  # noqa: N803  scikit-learn's name
        """Return the model's probabilities."""
        return np.asarray(self.model.predict_proba(X))


def ask_coreset(scene: Scene, desk: Desk) -> None:
    """Greedy k-center over the features; the model has no say.

    References
    ----------
    .. [1] Sener and Savarese, "Active Learning for Convolutional Neural Networks: A
       Core-Set Approach", ICLR 2018.
    """
    strategy = CoreSet(missing_label=UNASKED, random_state=_random_state(scene))
    desk.ask(strategy.query(scene.features_nd, _labels_or_unasked(scene), batch_size=desk.left))


def ask_badge(scene: Scene, desk: Desk) -> None:
    """k-means++ over the gradients that the model's own guesses would cause.

    References
    ----------
    .. [1] Ash et al., "Deep Batch Active Learning by Diverse, Uncertain Gradient Lower
       Bounds", ICLR 2020.
    """
    _ask_with_model(Badge(missing_label=UNASKED, random_state=_random_state(scene)), scene, desk)


def ask_falcun(scene: Scene, desk: Desk) -> None:
    """Uncertain, and unlike each other in probabilities.

    References
    ----------
    .. [1] Gilhuber et al., "FALCUN: A Simple and Efficient Deep Active Learning Strategy",
       ECML PKDD 2024.
    """
    _ask_with_model(Falcun(missing_label=UNASKED, random_state=_random_state(scene)), scene, desk)


def _ask_with_model(strategy: Any, scene: Scene, desk: Desk) -> None:
    rows = strategy.query(
        scene.features_nd,
        _labels_or_unasked(scene),
        clf=Fitted(scene.model),
        fit_clf=False,
        batch_size=desk.left,
    )
    desk.ask(np.asarray(rows, np.int64))


def _labels_or_unasked(scene: Scene) -> Ids:
    labels_n = np.full(len(scene.features_nd), UNASKED, np.int64)
    labels_n[scene.labeled_rows_m] = scene.labels_m
    return labels_n


def _random_state(scene: Scene) -> int:
    return integer_seed(scene.rng) % 2**32  # all that scikit-learn takes
