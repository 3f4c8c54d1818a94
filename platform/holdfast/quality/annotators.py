"""Who answers how well: accuracy with an interval, gold questions, confusions, spammers.

Shape suffixes: a answers, j annotators, k classes, g gold questions, p pairs of an annotator
and a class that this annotator named.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, ndtri  # type: ignore[import-untyped]  # ships no types

from holdfast.quality.crowd_model import crowd_model
from holdfast.quality.votes import Consensus, Probs, Votes, normalized
from holdfast.records import Ids

# Both intervals hold the truth 9 times in 10.
CONFIDENCE = 0.9
# A spammer's answers say less than this share of what those of somebody say who knows.
MOST_INFORMED = 0.25
LEAST_SHARE = 1e-12
PART_ENTRIES = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatorQuality:
    """How well annotators answer; NaN for the accuracy of those without an answer.

    Attributes
    ----------
    num_answers_j : ndarray of int64, shape (J,)
        Answers that name a class.
    accuracy_j : ndarray of float64, shape (J,)
        Share of them expected to be right, in [0, 1]; low is bad.
    low_j, high_j : ndarray of float64, shape (J,)
        90 % interval of the accuracy in the long run; 0 and 1 without an answer.
    num_gold_j, gold_right_j : ndarray of int64, shape (J,)
        Answers to gold questions, and how many were right.
    weight_j : ndarray of float64, shape (J,)
        How far one answer lifts its class over the others in the consensus, in nats; 0 is
        nothing.
    informed_j : ndarray of float64, shape (J,)
        What the answers say about the classes, as a share of what right answers would: 1
        all, 0 nothing, below 0 worse than nothing; NaN where nobody else can tell.
    is_spammer_j : ndarray of bool, shape (J,)
        At 95 % confidence `informed_j` is below a quarter, and it may well be 0: answers at
        random, or one class whatever is shown.
    confusion_jkk : ndarray of int64, shape (J, K, K)
        Answers by consensus (rows) and class named (columns), K the classes in `class_ids_k`.
    class_ids_k : ndarray of int64, shape (K,)
        Classes that anybody named or that a gold question has, ascending.
    """

    num_answers_j: Ids
    accuracy_j: Probs
    low_j: Probs
    high_j: Probs
    num_gold_j: Ids
    gold_right_j: Ids
    weight_j: Probs
    informed_j: Probs
    is_spammer_j: NDArray[np.bool_]
    confusion_jkk: Ids
    class_ids_k: Ids


def annotator_quality(
    sample_ids_a: Ids,
    annotators_a: Ids,
    class_ids_a: Ids,
    *,
    num_annotators: int,
    gold_ids_g: Ids | None = None,
    gold_classes_g: Ids | None = None,
) -> AnnotatorQuality:
    """Judge annotators by the default consensus, and by gold questions where there are any.

    Whether somebody is a spammer is judged by what all others say about the same samples,
    so that nobody is right by agreeing with themselves. Memory O(J K K) beside that of
    `crowd_model`.

    Parameters
    ----------
    sample_ids_a, annotators_a, class_ids_a : ndarray of int64, shape (A,)
        One answer per element; annotators numbered from 0; class -1 is left out.
    num_annotators : int
        Annotators, with and without answers.
    gold_ids_g, gold_classes_g : ndarray of int64, shape (G,), optional
        Samples, each once, and the classes they are known to have.

    Raises
    ------
    ValueError
        If arrays that belong together differ in length, a gold question occurs twice, or an
        annotator's number is not below `num_annotators`.
    """
    if not len(sample_ids_a) == len(annotators_a) == len(class_ids_a):
        raise ValueError("each answer needs a sample, an annotator and a class")
    gold_ids_g = np.empty(0, np.int64) if gold_ids_g is None else gold_ids_g
    gold_classes_g = np.empty(0, np.int64) if gold_classes_g is None else gold_classes_g
    if len(gold_ids_g) != len(gold_classes_g):
        raise ValueError(f"{len(gold_ids_g)} gold questions but {len(gold_classes_g)} classes")
    if len(np.unique(gold_ids_g)) != len(gold_ids_g):
        raise ValueError("a sample occurs twice among the gold questions")
    told = class_ids_a >= 0
    samples, row_a = np.unique(sample_ids_a[told], return_inverse=True)
    classes = np.unique(np.concatenate([class_ids_a[told], gold_classes_g]))
    votes = Votes(
        row_a,
        annotators_a[told],
        np.searchsorted(classes, class_ids_a[told]),
        num_samples=len(samples),
        num_annotators=num_annotators,
        num_classes=len(classes),
    )
    known_m = np.full(len(samples), -1, np.int64)
    _, here, there = np.intersect1d(samples, gold_ids_g, return_indices=True)
    known_m[here] = np.searchsorted(classes, gold_classes_g[there])
    found = crowd_model(votes, known_m=known_m)
    return _judge(votes, found, known_m, classes)


def _judge(votes: Votes, found: Consensus, known_m: Ids, class_ids_k: Ids) -> AnnotatorQuality:
    num, num_k = votes.num_annotators, votes.num_classes
    who_a, named_a = votes.annotators_a, votes.columns_a
    right_j = np.nan_to_num(found.quality_j) * votes.answers_j
    # Jeffreys' interval.
    wrong_j = votes.answers_j - right_j
    low_j, high_j = (betaincinv(right_j + 0.5, wrong_j + 0.5, q) for q in _tails())
    unheard = votes.answers_j == 0
    low_j[unheard], high_j[unheard] = 0.0, 1.0
    gold_a = known_m[votes.rows_a] >= 0
    hit_a = gold_a & (known_m[votes.rows_a] == named_a)
    informed_j, spam_j = _informed(votes, found, known_m)
    cells = (who_a * num_k + found.columns_m[votes.rows_a]) * num_k + named_a
    return AnnotatorQuality(
        num_answers_j=votes.answers_j,
        accuracy_j=found.quality_j,
        low_j=low_j,
        high_j=high_j,
        num_gold_j=np.bincount(who_a[gold_a], minlength=num),
        gold_right_j=np.bincount(who_a[hit_a], minlength=num),
        weight_j=_weights(votes, found),
        informed_j=informed_j,
        is_spammer_j=spam_j,
        confusion_jkk=np.bincount(cells, minlength=num * num_k**2).reshape(num, num_k, num_k),
        class_ids_k=class_ids_k,
    )


def _tails() -> tuple[float, float]:
    return (1.0 - CONFIDENCE) / 2, (1.0 + CONFIDENCE) / 2


def _weights(votes: Votes, found: Consensus) -> Probs:
    """Return the mean lift of a class by an answer that names it."""
    if found.evidence_pk is None or votes.num_classes < 2:
        return np.zeros(votes.num_annotators)
    own_p = found.evidence_pk[np.arange(len(votes.columns_p)), votes.columns_p]
    others_p = (found.evidence_pk.sum(axis=1) - own_p) / (votes.num_classes - 1)
    lift_j = votes.by_annotator_jp @ (np.maximum(own_p - others_p, 0.0) * votes.answers_p)
    return np.asarray(lift_j / np.maximum(votes.answers_j, 1))


def _informed(votes: Votes, found: Consensus, known_m: Ids) -> tuple[Probs, NDArray[np.bool_]]:
    """Compare answers with what all others say, beyond the classes' shares.

    An answer's gain is the probability that others give its class, less the class's share
    of all samples: at random, and for a class named whatever is shown, it is 0 on average.
    """
    num = votes.num_annotators
    if found.evidence_pk is None or votes.num_classes < 2:
        return np.full(num, np.nan), np.zeros(num, np.bool_)
    share_k = found.posterior_mk.mean(axis=0)
    log_share_k = np.log(np.maximum(share_k, LEAST_SHARE))
    gain_a, most_a = np.empty(len(votes.rows_a)), np.empty(len(votes.rows_a))
    size = max(1, PART_ENTRIES // votes.num_classes)
    for start in range(0, len(gain_a), size):
        part = slice(start, start + size)
        rows, named = votes.rows_a[part], votes.columns_a[part]
        others = votes.votes_mp[rows] @ found.evidence_pk
        others -= found.evidence_pk[votes.pair_a[part]]
        others = normalized(others + log_share_k)
        gold = np.flatnonzero(known_m[rows] >= 0)
        others[gold] = 0.0
        others[gold, known_m[rows][gold]] = 1.0
        gain_a[part] = others[np.arange(len(rows)), named] - share_k[named]
        most_a[part] = (others * (others - share_k)).sum(axis=1)
    who = votes.annotators_a
    most_j = np.bincount(who, np.maximum(most_a, 0.0), minlength=num)
    gain_j = np.bincount(who, gain_a, minlength=num)
    with np.errstate(invalid="ignore", divide="ignore"):
        informed_j = np.where(most_j > 1e-6, gain_j / most_j, np.nan)
        left_a = gain_a - np.nan_to_num(informed_j)[who] * np.maximum(most_a, 0.0)
        # One answer more, all wrong: who answered once or twice has no spread of their own.
        spread_j = np.sqrt(np.bincount(who, left_a**2, minlength=num) + 1.0) / most_j
    reach_j = float(ndtri(_tails()[1])) * spread_j
    spam = (informed_j - reach_j <= 0.0) & (informed_j + reach_j < MOST_INFORMED)
    return informed_j, np.asarray(spam, np.bool_)
