"""The method under test: what the product would ask, and which labels it would hold.

Shape suffixes: u samples nobody was asked about, m labeled samples, a answers, k classes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.selection_methods import Desk, Scene
from benchmarks.selection_trial import Trial
from holdfast import catalog
from holdfast.config import Config, parse
from holdfast.errors import ConfigError
from holdfast.quality import (
    confident_learning,  # noqa: F401  the audit imports both as it starts: no part of its time
    out_of_sample,  # noqa: F401
)
from holdfast.quality.agreement import Decisions, decide
from holdfast.quality.audit import audit
from holdfast.query.relabel import NO_SUSPECTS, Suspects, rank_suspects
from holdfast.query.selection import select
from holdfast.query.strategy import Candidates
from holdfast.records import Floats, Ids, QueryItem


class Holdfast:
    """The product's choice of new samples; no label is asked about again."""

    def __init__(self, trial: Trial, recipe: Path) -> None:
        self._config = read_config(recipe)
        self._strategy = catalog.load_strategy(self._config.query.strategy)
        self._num_classes = trial.num_classes

    def ask(self, scene: Scene, desk: Desk) -> None:
        """Buy a batch of new samples."""
        desk.ask(_rows_of(self._query(scene, NO_SUSPECTS, desk.left, reserve=0)))

    def labels(self, desk: Desk) -> tuple[Ids, Ids]:
        """Return what was asked and what was said."""
        return np.array(desk.rows_a, np.int64), np.array(desk.class_ids_a, np.int64)

    def _query(
        self, scene: Scene, suspects: Suspects, budget: int, *, reserve: int
    ) -> tuple[QueryItem, ...]:
        return select(
            _candidates(scene),
            suspects,
            strategy=self._strategy,
            config=replace(self._config.query, budget=budget),
            rng=scene.rng,
            reserve=reserve,
        )


class HoldfastReasking(Holdfast):
    """The same with labels that look wrong asked about again, inside the same budget.

    Suspects come from the product's audit, labels from its consensus. As in the product a
    surprising answer asks a second time within the round, from the reserve; what is not
    decided at the end of a round is held back from the model.
    """

    def __init__(self, trial: Trial, recipe: Path) -> None:
        super().__init__(trial, recipe)
        self._label_n = np.full(len(trial.true_n), -1, np.int64)

    def ask(self, scene: Scene, desk: Desk) -> None:
        """Buy new samples, second answers about suspects, and second opinions."""
        agreement = self._config.agreement
        reserve = min(math.ceil(agreement.reserve_share * desk.left), desk.left - 1)
        items = self._query(scene, self._suspects(scene), desk.left, reserve=reserve)
        rows = _rows_of(items)
        desk.ask(rows)
        guesses_mk = _believed(items, self._num_classes)
        for _ in range(agreement.max_answers - 1):
            decided = self._decide(rows, guesses_mk, desk, max_answers=agreement.max_answers)
            doubtful = np.flatnonzero(decided.ask_more_m)
            doubtful = doubtful[np.argsort(decided.confidence_m[doubtful], kind="stable")]
            if not len(doubtful) or not desk.left:
                break
            desk.ask(rows[doubtful[: desk.left]])
        self._label_n[rows] = self._decide(rows, guesses_mk, desk, max_answers=1).class_ids_m

    def labels(self, desk: Desk) -> tuple[Ids, Ids]:
        """Return the samples with a consensus, and it."""
        rows_a, class_ids_a = super().labels(desk)
        if not (self._label_n >= 0).any():
            self._label_n[rows_a] = class_ids_a  # the labels at the start
        rows = np.flatnonzero(self._label_n >= 0)
        return rows, self._label_n[rows]

    def _suspects(self, scene: Scene) -> Suspects:
        """Return the labels whose chance of being wrong is worth an answer."""
        found = audit(
            scene.labels_m,
            scene.features_nd[scene.labeled_rows_m],
            config=self._config.audit,
            rng=scene.rng,
        )
        return rank_suspects(
            scene.labeled_rows_m,
            scene.labels_m,
            found.suggested_n,
            found.error_probs_n,
            np.ones(len(scene.labels_m), np.bool_),  # a person gave every one of them
            threshold=self._config.query.suspect_threshold,
        )

    def _decide(
        self, rows_m: Ids, guesses_mk: Floats, desk: Desk, *, max_answers: int
    ) -> Decisions:
        rows_a, class_ids_a = super().labels(desk)
        return decide(
            rows_a,
            np.zeros_like(rows_a),  # one person answers everything
            class_ids_a,
            sample_ids_m=rows_m,
            record_m=self._label_n[rows_m],
            config=replace(self._config.agreement, max_answers=max_answers, reserve_share=0.0),
            pred_probs_mk=guesses_mk,
            class_ids_k=np.arange(self._num_classes),
        )


def read_config(recipe: Path) -> Config:
    """Read a recipe: a `holdfast.toml`.

    Raises
    ------
    ConfigError
        If it cannot be read or would not do as a config.
    """
    try:
        text = recipe.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--recipe {recipe} cannot be read ({error})") from error
    return parse(text, str(recipe))


def _candidates(scene: Scene) -> Candidates:
    """Describe what nobody was asked about as the product's query phase does."""
    features = scene.features_nd[scene.open_rows_u]
    probs: Floats = np.zeros((len(features), 0), np.float32)
    class_ids: Ids = np.zeros(0, np.int64)
    if scene.model is not None:
        probs = scene.model.predict_proba(features).astype(np.float32)
        class_ids = scene.model.classes_
    counts = np.bincount(scene.labels_m, minlength=int(class_ids.max(initial=-1)) + 1)
    return Candidates(
        sample_ids_n=scene.open_rows_u,
        pred_probs_nk=probs,
        class_ids_k=class_ids,
        embeddings_nd=features,
        labeled_counts_k=counts[class_ids],
        labeled_embeddings_md=scene.features_nd[scene.labeled_rows_m],
        labeled_class_ids_m=scene.labels_m,
    )


def _rows_of(items: tuple[QueryItem, ...]) -> Ids:
    return np.array([item.sample_id for item in items], np.int64)


def _believed(items: tuple[QueryItem, ...], num_classes: int) -> Floats:
    """Return probabilities as far as a query keeps them: the guess, the rest spread evenly."""
    probs = np.full((len(items), num_classes), 1.0 / num_classes, np.float32)
    for row, item in enumerate(items):
        if item.guess is not None:
            probs[row] = (1.0 - item.confidence) / max(num_classes - 1, 1)
            probs[row, item.guess] = item.confidence
    return probs
