"""Consensus by CROWDLAB: annotators and a model vote, each weighed by how far it agrees.

The numbers are cleanlab's; cleanlab itself goes over samples, annotators and classes in
Python, and would take hours for a million answers.

Shape suffixes: a answers, m samples, k classes, j annotators.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from holdfast.quality.votes import Consensus, Probs, Votes
from holdfast.records import Ids

# The least weight of a voter, and the least chance of being wrong: cleanlab's bound.
LEAST = 1e-6


def crowdlab(votes: Votes, pred_probs_mk: NDArray[np.floating] | None = None) -> Consensus | None:
    """Return cleanlab's `best_quality` consensus and `crowdlab` quality.

    Equal numbers of answers are told apart by the model, then in favor of the class named
    less often, then of the first: where cleanlab would draw lots. Samples without an answer
    get the model's probabilities. Time O(A + M K), memory four arrays (M, K).

    Parameters
    ----------
    votes : Votes
    pred_probs_mk : ndarray of float, shape (M, K), optional
        A model's probabilities, out of sample; by default all classes alike, which leaves
        the vote to the annotators.

    Returns
    -------
    Consensus or None
        None where no sample has two answers: nothing then says how far anybody agrees.

    References
    ----------
    .. [1] Goh et al., "CROWDLAB: Supervised learning to infer consensus labels and quality
       scores for data with multiple annotators", NeurIPS HILL Workshop 2022.
    """
    if not (votes.answers_m > 1).any() or votes.num_classes < 2:
        return None
    if pred_probs_mk is None:
        pred_probs_mk = np.full((votes.num_samples, votes.num_classes), 1.0 / votes.num_classes)
    probs = np.asarray(pred_probs_mk, np.float64)
    counts = votes.counts_mk()
    columns = _majority(counts, probs)
    posterior, *_ = _weigh(votes, probs, counts, columns)
    best = posterior == posterior.max(axis=1, keepdims=True)
    columns = np.where(best.sum(axis=1) == 1, posterior.argmax(axis=1), columns)
    posterior, model_weight, weight_j = _weigh(votes, probs, counts, columns)
    quality = _quality(votes, posterior, columns, model_weight, weight_j)
    return Consensus(
        posterior_mk=posterior,
        columns_m=columns,
        confidence_m=posterior[np.arange(len(columns)), columns],
        quality_j=quality,
    )


def _majority(counts_mk: Probs, probs_mk: Probs) -> Ids:
    tied = counts_mk == counts_mk.max(axis=1, keepdims=True)
    believed = np.where(tied, probs_mk, -1.0)
    tied &= believed == believed.max(axis=1, keepdims=True)
    return np.asarray(np.where(tied, -counts_mk.sum(axis=0), -np.inf).argmax(axis=1))


def _weigh(
    votes: Votes, probs_mk: Probs, counts_mk: Probs, columns_m: Ids
) -> tuple[Probs, float, Probs]:
    """Return the posterior, the model's weight and each annotator's."""
    num_samples, num_classes = votes.num_samples, votes.num_classes
    several = votes.answers_m > 1
    heard = votes.answers_m > 0
    agrees = counts_mk[np.arange(num_samples), columns_m] / np.maximum(votes.answers_m, 1)
    likelihood = float(agrees[several].mean())
    unlikely = (1.0 - likelihood) / (num_classes - 1)
    settled = columns_m[several]
    commonest = np.bincount(settled, minlength=num_classes).max()
    chance_error = max(1.0 - commonest / len(settled), LEAST)

    others_a = counts_mk[votes.rows_a, votes.columns_a] - 1.0
    asked_a = votes.answers_m[votes.rows_a] - 1.0
    asked_j = np.bincount(votes.annotators_a, asked_a, minlength=votes.num_annotators)
    alike_j = np.bincount(votes.annotators_a, others_a, minlength=votes.num_annotators)
    shared = asked_j > 0
    agreement_j = alike_j / np.maximum(asked_j, 1.0)
    agreement_j[~shared] = agreement_j[shared].mean()
    weight_j = np.maximum(1.0 - (1.0 - agreement_j) / chance_error, LEAST)
    model_error = float((probs_mk[several].argmax(axis=1) != settled).mean())
    model_weight = max(1.0 - model_error / chance_error, LEAST)
    model_weight *= float(np.sqrt(votes.answers_m[heard].mean()))

    weight_a = weight_j[votes.annotators_a]
    total_m = np.bincount(votes.rows_a, weight_a, minlength=num_samples)
    posterior: Probs = np.zeros((num_samples, num_classes))
    posterior += np.bincount(
        votes.rows_a * num_classes + votes.columns_a,
        weight_a * (likelihood - unlikely),
        minlength=num_samples * num_classes,
    ).reshape(num_samples, num_classes)
    posterior += (total_m * unlikely)[:, None] + probs_mk * model_weight
    posterior /= (total_m + model_weight)[:, None]
    return posterior, model_weight, weight_j


def _quality(
    votes: Votes, posterior_mk: Probs, columns_m: Ids, model_weight: float, weight_j: Probs
) -> Probs:
    """Mix the probability of an annotator's answers with the agreement with the consensus.

    Who shares no sample with anybody keeps the first alone; cleanlab has NaN there.
    """
    num = votes.num_annotators
    own_j = np.bincount(
        votes.annotators_a, posterior_mk[votes.rows_a, votes.columns_a], minlength=num
    )
    several_a = votes.answers_m[votes.rows_a] > 1
    who = votes.annotators_a[several_a]
    agrees = (votes.columns_a == columns_m[votes.rows_a])[several_a]
    shared_j = np.bincount(who, minlength=num)
    agrees_j = np.bincount(who, agrees, minlength=num)
    answered = votes.answers_j > 0
    mean_answers = votes.answers_m[votes.answers_m > 0].mean()
    crowd = weight_j[answered].sum() * mean_answers / answered.sum()
    share = model_weight / (model_weight + crowd)
    with np.errstate(invalid="ignore"):
        lone_j: Probs = own_j / votes.answers_j
        mixed_j = share * lone_j + (1.0 - share) * (agrees_j / shared_j)
    return np.where(shared_j > 0, mixed_j, lone_j)
