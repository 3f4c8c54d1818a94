"""How unsure the model is about each candidate; the home of modAL.

modAL asks an estimator for probabilities each time. Ours holds those the network has
already computed, is never fitted, and so modAL measures without retraining anything. It
sees a block of rows at a time, which keeps a million samples, or a memory map, cheap.

Shape suffixes: n candidates, k classes the model knows, c members of a committee, b rows of
a block.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.query.strategy import Candidates, Committee, Scores
from holdfast.records import Floats, Ids

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # modAL imports parts of torch that announce their end
    from modAL.disagreement import (  # type: ignore[import-untyped]  # ships no types
        KL_max_disagreement,
        consensus_entropy,
    )
    from modAL.models import ActiveLearner  # type: ignore[import-untyped]  # ships no types
    from modAL.models import Committee as ModalCommittee
    from modAL.uncertainty import (  # type: ignore[import-untyped]  # ships no types
        classifier_entropy,
        classifier_margin,
        classifier_uncertainty,
    )
    from modAL.utils.combination import (  # type: ignore[import-untyped]  # ships no types
        make_linear_combination,
        make_product,
    )
from sklearn.base import BaseEstimator  # type: ignore[import-untyped]  # ships no types

# Rows that modAL sees at a time: with 100 classes a block and its copies take 30 MB.
_ROWS = 16_384


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
        return _unit(_measured(classifier_uncertainty, candidates) / largest)


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
        return _unit(1.0 - _measured(classifier_margin, candidates))


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
        return _unit(_measured(classifier_entropy, candidates) / np.log(num_classes))


def consensus_entropies(mean_probs_nk: Floats) -> Scores:
    """Return the entropy of what members say on average, in nats, shape (N,); time O(n k)."""
    # modAL only asks for the mean, and this answers with it.
    said = ActiveLearner(CachedEstimator(mean_probs_nk, np.arange(mean_probs_nk.shape[1])))
    entropy_n = np.empty(len(mean_probs_nk))
    for rows in _blocks(len(mean_probs_nk)):
        entropy_n[rows] = consensus_entropy(said, rows)
    return entropy_n


def summarize_committee(member_probs: Sequence[Floats]) -> Committee:
    """Summarize what each of several models says; time O(c n k), memory of a block.

    Parameters
    ----------
    member_probs : sequence of C ndarrays of float32, shape (N, K)
        Probabilities of one member each, over the same candidates and classes; memory maps
        are read block by block.

    Raises
    ------
    ValueError
        If there is no member, or they differ in shape.

    References
    ----------
    .. [1] McCallum and Nigam, "Employing EM and Pool-Based Active Learning for Text
       Classification", ICML 1998 (divergence from the mean).
    """
    shapes = sorted({one.shape for one in member_probs})
    if len(shapes) != 1:
        raise ValueError(f"members should have probabilities of one shape, not {shapes}")
    num, num_classes = shapes[0]
    said = Committee(
        mean_probs_nk=np.empty((num, num_classes), np.float32),
        votes_nk=np.zeros((num, num_classes), np.int32),
        expected_entropy_n=np.empty(num),
        max_kl_n=np.empty(num),
    )
    for rows in _blocks(num if num_classes else 0):
        committee, block = _modal_committee([one[rows] for one in member_probs])
        probs_bck = committee.vote_proba(block)
        said.mean_probs_nk[rows] = probs_bck.mean(axis=1)
        said.max_kl_n[rows] = KL_max_disagreement(committee, block)
        logs = np.log(np.maximum(probs_bck, np.finfo(np.float64).tiny))
        said.expected_entropy_n[rows] = -(probs_bck * logs).sum(axis=2).mean(axis=1)
        votes_bk = said.votes_nk[rows]
        for member in range(probs_bck.shape[1]):
            votes_bk[np.arange(len(block)), probs_bck[:, member].argmax(axis=1)] += 1
    return said


def product_of(parts: Sequence[Scores], exponents: Sequence[float]) -> Scores:
    """Return the product of scores raised to powers above 0, shape (N,); time O(parts n).

    Examples
    --------
    >>> product_of([np.array([0.5, 1.0]), np.array([0.25, 0.0])], [1.0, 0.5]).tolist()
    [0.25, 0.0]
    """
    measure = make_product(*(_given(part) for part in parts), exponents=list(exponents))
    return np.asarray(measure(), np.float64)


def weighted_sum_of(parts: Sequence[Scores], weights: Sequence[float]) -> Scores:
    """Return the sum of scores times weights, shape (N,); time O(parts n).

    Examples
    --------
    >>> weighted_sum_of([np.array([0.5, 1.0]), np.array([0.5, 0.0])], [0.5, 0.5]).tolist()
    [0.5, 0.5]
    """
    measure = make_linear_combination(*(_given(part) for part in parts), weights=list(weights))
    return np.asarray(measure(), np.float64)


def _given(part: Scores) -> Callable[[], Scores]:
    # modAL combines functions; the values are here already.
    return lambda: part


def _measured(measure: Callable[[Any, Any], Scores], candidates: Candidates) -> Scores:
    """Return one of modAL's measures of the candidates' probabilities, block by block."""
    # Without training data ActiveLearner never calls fit.
    learner = ActiveLearner(CachedEstimator(candidates.pred_probs_nk, candidates.class_ids_k))
    found = np.empty(len(candidates))
    for rows in _blocks(len(candidates)):
        # A slice is a view where a list of rows would be a copy.
        found[rows] = measure(learner, rows)
    return found


def _modal_committee(member_probs: Sequence[Floats]) -> tuple[Any, Ids]:
    """Return modAL's committee over one block, and the rows to ask it about."""
    num, num_classes = member_probs[0].shape
    columns = np.arange(num_classes)
    learners = [ActiveLearner(CachedEstimator(one, columns)) for one in member_probs]
    return ModalCommittee(learners), np.arange(num)


def _blocks(num: int) -> Iterator[slice]:
    return (slice(start, min(start + _ROWS, num)) for start in range(0, num, _ROWS))


def _unit(scores_n: NDArray[Any]) -> Scores:
    # Rows of float32 probabilities sum to 1 only nearly.
    return np.clip(np.asarray(scores_n, np.float64), 0.0, 1.0)
