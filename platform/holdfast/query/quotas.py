"""How many samples of a query may look like one class.

Shape suffixes: n candidates, p picks, k classes the model knows.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from holdfast.errors import ConfigError
from holdfast.query.budget import QueryConfig
from holdfast.query.strategy import Scores, top_n
from holdfast.records import Ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Quotas:
    """Samples of a query per predicted class; in the order of the probabilities' columns.

    Attributes
    ----------
    least_k, most_k : ndarray of int64, shape (K,)
        Not negative; `least_k` is nowhere above `most_k`.
    """

    least_k: Ids
    most_k: Ids


def quotas_of(config: QueryConfig, class_names: Sequence[str], class_ids_k: Ids) -> Quotas | None:
    """Return the quotas that a config sets, None where it sets none or there is no model.

    Parameters
    ----------
    class_names : sequence of str
        Of all classes, by class id.
    class_ids_k : ndarray of int64, shape (K,)
        Those the model knows, in the order of its columns. A quota of another class waits
        until the model has met it.

    Raises
    ------
    ConfigError
        If a quota names what is no class.
    """
    least = _by_class("at_least", config.at_least, class_names, 0)
    most = _by_class("at_most", config.at_most, class_names, np.iinfo(np.int64).max)
    if not len(class_ids_k) or not (config.at_least or config.at_most):
        return None
    return Quotas(least_k=least[class_ids_k], most_k=most[class_ids_k])


def within_quotas(
    picks_p: Ids,
    scores_n: Scores,
    predicted_n: Ids,
    quotas: Quotas,
    rng: np.random.Generator,
) -> Ids:
    """Exchange picks so that quotas hold, as far as the candidates allow.

    Picks beyond a class's most, the last ones first, give way to what scores highest among
    the others; and so do as many more as classes lack to their least. A most yields only
    where no candidate of another class is left. Time O(n log n).

    Parameters
    ----------
    picks_p : ndarray of int64, shape (P,)
        Positions among the candidates, the best first.
    scores_n : ndarray of float64, shape (N,)
        Higher = ask first.
    predicted_n : ndarray of int64, shape (N,)
        Column of the class the model takes each candidate for.

    Returns
    -------
    ndarray of int64, shape (P,)
        Positions, each once; those picked before in their order, then the others.
    """
    open_n = np.ones(len(scores_n), np.bool_)
    open_n[picks_p] = False
    others = np.flatnonzero(open_n)
    ranked = np.concatenate([picks_p, others[top_n(scores_n[others], len(others), rng)]])
    predicted = predicted_n[ranked]
    place = _place_in_class(predicted)
    least, most = quotas.least_k[predicted], quotas.most_k[predicted]
    tier = np.where(place < least, 0, np.where(place < most, 1, 2))
    chosen = np.argsort(tier, kind="stable")[: len(picks_p)]
    return ranked[np.sort(chosen)]


def _place_in_class(classes_n: Ids) -> Ids:
    """Return how many of the same class come before each."""
    order = np.argsort(classes_n, kind="stable")
    sizes = np.bincount(classes_n)
    starts = np.cumsum(sizes) - sizes
    place = np.empty(len(classes_n), np.int64)
    place[order] = np.arange(len(classes_n)) - starts[classes_n[order]]
    return place


def _by_class(
    setting: str, quotas: Mapping[str, int], class_names: Sequence[str], otherwise: int
) -> Ids:
    for name in quotas:
        if name not in class_names:
            close = difflib.get_close_matches(name, class_names, n=1)
            do = f"did you mean '{close[0]}'?" if close else "correct the name or remove it"
            raise ConfigError(f"query.{setting} names '{name}', which is no class; {do}")
    return np.array([quotas.get(name, otherwise) for name in class_names], np.int64)
