"""How unsure the model is about each candidate; the home of modAL.

modAL asks an estimator for probabilities each time. Ours holds those the network has
already computed, is never fitted, and so modAL measures without retraining anything.

Shape suffixes: n candidates, k classes the model knows.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from holdfast.query.strategy import Candidates, Scores
from holdfast.records import Floats, Ids

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # modAL imports parts of torch that announce their end
    from modAL.models import ActiveLearner  # type: ignore[import-untyped]  # ships no types
    from modAL.uncertainty import (  # type: ignore[import-untyped]  # ships no types
        classifier_entropy,
        classifier_margin,
        classifier_uncertainty,
    )
from sklearn.base import BaseEstimator  # type: ignore[import-untyped]  # ships no types


class CachedEstimator(BaseEstimator):  # type: ignore[misc]  # its base ships no types
    """An estimator that answers with probabilities computed beforehand.

    `X` is the rows asked for, not features.
    """

    def __init__(self, pred_probs_nk: Floats, class_ids_k: Ids) -> None:
        self.pred_probs_nk = pred_probs_nk
        self.class_ids_k = class_ids_k
        self.classes_ = class_ids_k

    def fit(self, X: Ids, y: Ids, **_: Any) -> CachedEstimator:  # noqa: N803, ARG002  scikit-learn's names
        """Refuse: Avalanche trains, modAL only measures."""
        raise TypeError("the estimator holds finished probabilities and cannot be fitted")

    def predict_proba(self, X: Ids) -> Floats:  # noqa: N803  scikit-learn's name
        """Return the probabilities of the given rows."""
        return self.pred_probs_nk[X]

    def predict(self, X: Ids) -> Ids:  # noqa: N803  scikit-learn's name
        """Return the most probable class ids of the given rows."""
        return np.asarray(self.class_ids_k[np.argmax(self.pred_probs_nk[X], axis=1)])


@dataclass(frozen=True, slots=True)
class LeastConfidenceStrategy:
    """One minus the largest probability, scaled to [0, 1]; time O(n k).

    References
    ----------
    .. [1] Lewis and Gale, "A Sequential Algorithm for Training Text Classifiers", SIGIR 1994.
    """

    def scores(self, candidates: Candidates, rng: np.random.Generator) -> Scores:  # noqa: ARG002  contract
        """Return 0 where the model is certain, 1 where all classes are equal."""
        if candidates.pred_probs_nk.shape[1] < 2:
            return np.zeros(len(candidates))
        largest = 1.0 - 1.0 / candidates.pred_probs_nk.shape[1]
        return _unit(classifier_uncertainty(*_question(candidates)) / largest)


@dataclass(frozen=True, slots=True)
class MarginStrategy:
    """One minus the lead of the first class over the second; time O(n k).

    References
    ----------
    .. [1] Scheffer et al., "Active Hidden Markov Models for Information Extraction", IDA 2001.
    """

    def scores(self, candidates: Candidates, rng: np.random.Generator) -> Scores:  # noqa: ARG002  contract
        """Return 0 where the model is certain, 1 where two classes share the lead."""
        if candidates.pred_probs_nk.shape[1] < 2:
            return np.zeros(len(candidates))
        return _unit(1.0 - classifier_margin(*_question(candidates)))


@dataclass(frozen=True, slots=True)
class EntropyStrategy:
    """Entropy of the probabilities over its maximum; time O(n k).

    References
    ----------
    .. [1] Settles, "Active Learning Literature Survey", University of Wisconsin 2009.
    """

    def scores(self, candidates: Candidates, rng: np.random.Generator) -> Scores:  # noqa: ARG002  contract
        """Return 0 where the model is certain, 1 where all classes are equal."""
        num_classes = candidates.pred_probs_nk.shape[1]
        if num_classes < 2:
            return np.zeros(len(candidates))
        return _unit(classifier_entropy(*_question(candidates)) / np.log(num_classes))


def _question(candidates: Candidates) -> tuple[ActiveLearner, Ids]:
    """Return modAL's classifier and the rows to ask it about."""
    # Without training data ActiveLearner never calls fit.
    learner = ActiveLearner(CachedEstimator(candidates.pred_probs_nk, candidates.class_ids_k))
    return learner, np.arange(len(candidates))


def _unit(scores_n: Scores) -> Scores:
    # Rows of float32 probabilities sum to 1 only nearly.
    return np.clip(np.asarray(scores_n, np.float64), 0.0, 1.0)
