"""Several answers to one question: settled, one more to ask, or disputed.

Shape suffixes: a answers, m samples asked about, k classes, g gold questions.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import ConfigError
from holdfast.records import Ids

Probs = NDArray[np.float64]

METHODS = ("default", "majority", "dawid_skene", "crowdlab")
# Probabilities this close count as equal.
EQUAL = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class AgreementConfig:
    """When answers make a label.

    Attributes
    ----------
    max_answers : int
        Answers asked for one sample in a round at most, 1 to 9; 1 makes the single
        answer final.
    confidence : float
        Probability from which an answer stands although neither the label on record nor
        the model agrees with it, in [0.5, 1). Higher asks more people.
    reserve_share : float
        Share of a round's budget kept for second answers, in [0, 0.5].
    gold_share : float
        Share of a round's budget for questions whose answer is known, in [0, 0.3]: they say
        how well each annotator answers.
    method : str
        What makes one probability of several answers: `default`, `majority`,
        `dawid_skene` or `crowdlab`.
    alarm_below : float
        Agreement of two classes, as Krippendorff's alpha in [0, 1], below which their
        samples are asked about once more.
    dispute_below : float
        Probability of the leading class below which contradicting answers make no label,
        in [0, 1]; 0 lets the leading class stand however doubtful.
    """

    max_answers: int = 1
    confidence: float = 0.95
    reserve_share: float = 0.0
    gold_share: float = 0.0
    method: str = "default"
    alarm_below: float = 0.6
    dispute_below: float = 0.5

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(
                f"agreement.method should be one of {', '.join(METHODS)}, not {self.method!r}"
            )
        for name, value in (
            ("alarm_below", self.alarm_below),
            ("dispute_below", self.dispute_below),
        ):
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"agreement.{name} should lie between 0 and 1, not {value}")
        if not 1 <= self.max_answers <= 9:
            raise ConfigError(
                f"agreement.max_answers should lie between 1 and 9, not {self.max_answers}"
            )
        if not 0.5 <= self.confidence < 1.0:
            raise ConfigError(
                f"agreement.confidence should be at least 0.5 and below 1, not {self.confidence}"
            )
        if not 0.0 <= self.reserve_share <= 0.5:
            raise ConfigError(
                f"agreement.reserve_share should lie between 0 and 0.5, not {self.reserve_share}"
            )
        if not 0.0 <= self.gold_share <= 0.3:
            raise ConfigError(
                f"agreement.gold_share should lie between 0 and 0.3, not {self.gold_share}"
            )
        if self.max_answers == 1 and self.reserve_share > 0.0:
            raise ConfigError(
                f"agreement.reserve_share = {self.reserve_share} has no effect when "
                "agreement.max_answers is 1; set reserve_share to 0 or max_answers to 2 or more"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Decisions:
    """What the answers amount to, in the order of the samples asked about.

    Attributes
    ----------
    sample_ids_m : ndarray of int64, shape (M,)
    class_ids_m : ndarray of int64, shape (M,)
        Consensus; -1 where there is none: no answer yet, nobody could tell, one more
        answer is wanted, or the answers are disputed.
    confidence_m : ndarray of float64, shape (M,)
        Probability of the consensus, or of the leading class without one, in [0, 1];
        0.0 without an answer that names a class.
    ask_more_m : ndarray of bool, shape (M,)
        One more answer is wanted from somebody else.
    tied_m : ndarray of bool, shape (M,)
        Two classes were equally probable; the label on record won, else the class that
        the earliest answer named.
    disputed_m : ndarray of bool, shape (M,)
        No more answers may be asked, and those there are contradict each other too much.
    """

    sample_ids_m: Ids
    class_ids_m: Ids
    confidence_m: Probs
    ask_more_m: NDArray[np.bool_]
    tied_m: NDArray[np.bool_]
    disputed_m: NDArray[np.bool_]


def decide(
    sample_ids_a: Ids,
    annotators_a: Ids,
    class_ids_a: Ids,
    *,
    sample_ids_m: Ids,
    record_m: Ids,
    config: AgreementConfig,
    pred_probs_mk: NDArray[np.floating] | None = None,
    class_ids_k: Ids | None = None,
    gold_ids_g: Ids | None = None,
    gold_classes_g: Ids | None = None,
    alarmed_pairs: Collection[tuple[int, int]] = (),
) -> Decisions:
    """Settle each sample from its answers, ask for one more, or call it disputed.

    The first answer settles a sample when it agrees with the label on record or with the
    model's guess, or when it is probable enough in spite of them. Otherwise one more
    person is asked, up to `max_answers`; then the most probable class stands, unless the
    answers contradict each other and it is too doubtful. Probabilities come from the method
    in the config, with record and model as weak votes; cost as there.

    Parameters
    ----------
    sample_ids_a, annotators_a, class_ids_a : ndarray of int64, shape (A,)
        One answer per element, in the order given; annotators numbered from 0; class -1
        where somebody could not tell, which uses up a question but votes for nothing.
        Answers about samples outside `sample_ids_m` are ignored, except to gold questions.
    sample_ids_m : ndarray of int64, shape (M,)
        Samples asked about, each once.
    record_m : ndarray of int64, shape (M,)
        Class id on record, -1 for none.
    pred_probs_mk, class_ids_k : ndarray, shapes (M, K) and (K,), optional
        What the model believes; both or neither.
    gold_ids_g, gold_classes_g : ndarray of int64, shape (G,), optional
        Samples, each once, and the classes they are known to have: answers about them show
        who answers well. One that is asked about keeps its class whatever is answered.
    alarmed_pairs : collection of (int, int)
        Class ids that annotators confuse: a single answer that may be such a mistake is
        not settled but asked about once more.

    Raises
    ------
    ValueError
        If arrays that belong together differ in length, or a sample occurs twice.
    """
    # It needs scipy's sparse matrices: whoever only reads the config does not.
    from holdfast.quality.beliefs import believe, weigh

    _check(sample_ids_a, annotators_a, class_ids_a, sample_ids_m, record_m)
    gold_ids_g = np.empty(0, np.int64) if gold_ids_g is None else gold_ids_g
    gold_classes_g = np.empty(0, np.int64) if gold_classes_g is None else gold_classes_g
    _check_gold(gold_ids_g, gold_classes_g)
    num_asked = len(sample_ids_m)
    apart = ~np.isin(gold_ids_g, sample_ids_m)
    # Gold questions that nobody asks about here follow the samples asked about.
    ids = np.concatenate([sample_ids_m, gold_ids_g[apart]])
    row_a = _rows(ids, sample_ids_a)
    telling = (row_a >= 0) & (class_ids_a >= 0)
    asked_m = np.bincount(row_a[row_a >= 0], minlength=len(ids))[:num_asked]
    row_a, annotators_a, class_ids_a = row_a[telling], annotators_a[telling], class_ids_a[telling]

    known_k = np.empty(0, np.int64) if class_ids_k is None else class_ids_k
    classes = np.unique(
        np.concatenate([class_ids_a, record_m[record_m >= 0], known_k, gold_classes_g])
    )
    column_a = np.searchsorted(classes, class_ids_a)
    prior: Probs = np.full((len(ids), len(classes)), 1.0 / max(len(classes), 1))
    prior[:num_asked] = believe(classes, record_m, pred_probs_mk, known_k)
    known = np.full(len(ids), -1, np.int64)
    known[_rows(ids, gold_ids_g)] = np.searchsorted(classes, gold_classes_g)
    posterior = weigh(config.method, row_a, annotators_a, column_a, prior, known)

    ours = row_a < num_asked
    row_a, column_a = row_a[ours], column_a[ours]
    prior, posterior, gold_m = prior[:num_asked], posterior[:num_asked], known[:num_asked]
    voted_mk = np.zeros(posterior.shape)
    np.add.at(voted_mk, (row_a, column_a), 1.0)
    heard_m = voted_mk.any(axis=1)
    lead_m, tied_m = _leader(posterior, voted_mk, row_a, column_a, classes, record_m)
    lead_m = np.asarray(np.where(gold_m >= 0, gold_m, lead_m), np.int64)
    confidence_m = np.zeros(num_asked)
    confidence_m[heard_m] = posterior[heard_m, lead_m[heard_m]]

    supported_m = _supported(classes, row_a, column_a, record_m, pred_probs_mk, known_k)
    last_m = asked_m >= config.max_answers
    alarming_m = needs_second(prior, voted_mk, classes, alarmed_pairs) & ~last_m
    settled_m = heard_m & (last_m | supported_m | (confidence_m >= config.confidence))
    settled_m = (settled_m & ~alarming_m) | (heard_m & (gold_m >= 0))
    contradicting_m = (voted_mk > 0).sum(axis=1) > 1
    doubtful_m = confidence_m < config.dispute_below - EQUAL
    disputed_m = settled_m & last_m & contradicting_m & doubtful_m & (gold_m < 0)
    settled_m &= ~disputed_m
    class_ids_m = np.full(num_asked, -1, np.int64)
    class_ids_m[settled_m] = classes[lead_m[settled_m]]
    return Decisions(
        sample_ids_m=sample_ids_m,
        class_ids_m=class_ids_m,
        confidence_m=confidence_m,
        ask_more_m=~settled_m & ~disputed_m & (asked_m > 0) & ~last_m,
        tied_m=tied_m & settled_m & (gold_m < 0),
        disputed_m=disputed_m,
    )


def needs_second(
    prior_mk: Probs,
    voted_mk: Probs,
    class_ids_k: Ids,
    alarmed_pairs: Collection[tuple[int, int]],
) -> NDArray[np.bool_]:
    """Return which samples have one answer that may be an alarmed confusion, shape (M,).

    The other class of the pair is the one that record and model hold most probable beside
    the answer; where these know nothing, any alarmed pair with the answer will do.

    Parameters
    ----------
    prior_mk : ndarray of float64, shape (M, K)
        What record and model believe.
    voted_mk : ndarray of float64, shape (M, K)
        How many named each class.
    class_ids_k : ndarray of int64, shape (K,)
        Ascending.
    alarmed_pairs : collection of (int, int)
        Class ids, in any order; those of unknown classes are ignored.
    """
    num_classes = len(class_ids_k)
    alarmed = np.zeros((num_classes, num_classes), np.bool_)
    place = {class_id: k for k, class_id in enumerate(class_ids_k.tolist())}
    for first, second in alarmed_pairs:
        if first in place and second in place:
            alarmed[place[first], place[second]] = alarmed[place[second], place[first]] = True
    single_m = voted_mk.sum(axis=1) == 1
    if not alarmed.any():
        return np.zeros(len(voted_mk), np.bool_)
    answer_m = voted_mk.argmax(axis=1)
    beside = prior_mk.copy()
    beside[np.arange(len(beside)), answer_m] = -1.0
    rival = beside >= beside.max(axis=1, keepdims=True) - EQUAL
    return np.asarray(single_m & (rival & alarmed[answer_m]).any(axis=1))


def _rows(ids_m: Ids, wanted_a: Ids) -> Ids:
    """Return where each wanted id stands, -1 where it does not."""
    if len(ids_m) == 0:
        return np.full(len(wanted_a), -1, np.int64)
    by_id = np.argsort(ids_m, kind="stable")
    found = np.searchsorted(ids_m, wanted_a, sorter=by_id)
    rows = by_id[np.minimum(found, len(ids_m) - 1)]
    return np.asarray(np.where(ids_m[rows] == wanted_a, rows, -1))


def _check_gold(gold_ids_g: Ids, gold_classes_g: Ids) -> None:
    if len(gold_ids_g) != len(gold_classes_g):
        raise ValueError(f"{len(gold_ids_g)} gold questions but {len(gold_classes_g)} classes")
    if len(np.unique(gold_ids_g)) != len(gold_ids_g):
        raise ValueError("a sample occurs twice among the gold questions")


def _check(
    sample_ids_a: Ids, annotators_a: Ids, class_ids_a: Ids, sample_ids_m: Ids, record_m: Ids
) -> None:
    if not len(sample_ids_a) == len(annotators_a) == len(class_ids_a):
        raise ValueError("each answer needs a sample, an annotator and a class")
    if len(sample_ids_m) != len(record_m):
        raise ValueError(f"{len(sample_ids_m)} samples but {len(record_m)} labels on record")
    if len(np.unique(sample_ids_m)) != len(sample_ids_m):
        raise ValueError("a sample occurs twice among those asked about")


def _leader(
    posterior_mk: Probs,
    voted_mk: Probs,
    row_a: Ids,
    column_a: Ids,
    classes_k: Ids,
    record_m: Ids,
) -> tuple[Ids, NDArray[np.bool_]]:
    """Most probable class that somebody named, and where two were equally probable."""
    if posterior_mk.shape[1] == 0:
        return np.zeros(len(posterior_mk), np.int64), np.zeros(len(posterior_mk), np.bool_)
    named = np.where(voted_mk > 0, posterior_mk, -1.0)
    best = named.max(axis=1, keepdims=True)
    equal = (named >= best - EQUAL) & (voted_mk > 0)
    # Record before earliest answer: changing a label needs more reason than keeping it.
    preference = np.zeros_like(posterior_mk)
    backwards = np.arange(len(row_a))[::-1]
    preference[row_a[backwards], column_a[backwards]] = -1.0 - backwards
    rows = np.flatnonzero(record_m >= 0)
    preference[rows, np.searchsorted(classes_k, record_m[rows])] = 0.0
    preference[~equal] = -np.inf
    return np.argmax(preference, axis=1), equal.sum(axis=1) > 1


def _supported(
    classes_k: Ids,
    row_a: Ids,
    column_a: Ids,
    record_m: Ids,
    pred_probs_mk: NDArray[np.floating] | None,
    known_k: Ids,
) -> NDArray[np.bool_]:
    """Whether the only class named so far is the one on record or the model's guess."""
    num_samples = len(record_m)
    guess_m = np.full(num_samples, -1, np.int64)
    if pred_probs_mk is not None and pred_probs_mk.shape[1]:
        guess_m = known_k[np.argmax(pred_probs_mk, axis=1)]
    answer_a = classes_k[column_a]
    agrees_a = (answer_a == record_m[row_a]) | (answer_a == guess_m[row_a])
    dissent_m = np.bincount(row_a[~agrees_a], minlength=num_samples) > 0
    low = np.full(num_samples, np.iinfo(np.int64).max)
    high = np.full(num_samples, -1, np.int64)
    np.minimum.at(low, row_a, column_a)
    np.maximum.at(high, row_a, column_a)
    heard_m = np.bincount(row_a, minlength=num_samples) > 0
    return np.asarray(heard_m & ~dissent_m & (low == high))
