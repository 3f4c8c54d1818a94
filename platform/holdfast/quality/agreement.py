"""Several answers to one question: consensus, one more to ask, and who answers well.

Shape suffixes: a answers, m samples asked about, k classes, j annotators, r ratings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import ConfigError
from holdfast.records import Ids

Probs = NDArray[np.float64]

# Before anybody's answers are known, an annotator counts as right 19 times in 20, held
# with the weight of 20 answers: a low start would ask twice about all that a young model
# does not expect.
PRIOR_RIGHT, PRIOR_WRONG = 19.0, 1.0
# A label on record is believed 3 times in 4: it is only asked about when it looks wrong.
RECORD_TRUST = 0.75
# Share of the model's probability that is spread over all classes: networks are too sure
# of themselves, most of all about classes they have never seen.
MODEL_DOUBT = 0.3
MAX_SWEEPS = 50


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
    """

    max_answers: int = 1
    confidence: float = 0.95
    reserve_share: float = 0.0
    gold_share: float = 0.0

    def __post_init__(self) -> None:
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
        Consensus; -1 where there is none: no answer yet, nobody could tell, or one more
        answer is wanted.
    confidence_m : ndarray of float64, shape (M,)
        Probability of the consensus, or of the leading class without one, in [0, 1];
        0.0 without an answer that names a class.
    ask_more_m : ndarray of bool, shape (M,)
        One more answer is wanted from somebody else.
    tied_m : ndarray of bool, shape (M,)
        Two classes were equally probable; the label on record won, else the class that
        the earliest answer named.
    """

    sample_ids_m: Ids
    class_ids_m: Ids
    confidence_m: Probs
    ask_more_m: NDArray[np.bool_]
    tied_m: NDArray[np.bool_]


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
) -> Decisions:
    """Settle each sample from its answers, or ask for one more.

    The first answer settles a sample when it agrees with the label on record or with the
    model's guess, or when it is probable enough in spite of them. Otherwise one more
    person is asked, up to `max_answers`; then the most probable class stands. Probabilities
    come from the one-coin model of Dawid and Skene: each annotator is right with one
    probability, estimated from all answers together, and otherwise names any other class.
    Record and model take part as weak votes. Time O(a k) per sweep, at most 50 sweeps.

    Parameters
    ----------
    sample_ids_a, annotators_a, class_ids_a : ndarray of int64, shape (A,)
        One answer per element, in the order given; annotators numbered from 0; class -1
        where somebody could not tell, which uses up a question but votes for nothing.
        Answers about samples outside `sample_ids_m` are ignored.
    sample_ids_m : ndarray of int64, shape (M,)
        Samples asked about, each once.
    record_m : ndarray of int64, shape (M,)
        Class id on record, -1 for none.
    pred_probs_mk, class_ids_k : ndarray, shapes (M, K) and (K,), optional
        What the model believes; both or neither.

    Raises
    ------
    ValueError
        If arrays that belong together differ in length, or a sample occurs twice.

    References
    ----------
    .. [1] Dawid and Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using
       the EM Algorithm", Applied Statistics 1979.
    """
    _check(sample_ids_a, annotators_a, class_ids_a, sample_ids_m, record_m)
    num_samples = len(sample_ids_m)
    by_id = np.argsort(sample_ids_m, kind="stable")
    found = np.searchsorted(sample_ids_m, sample_ids_a, sorter=by_id)
    row_a = by_id[np.minimum(found, max(num_samples - 1, 0))] if num_samples else found
    ours = sample_ids_m[row_a] == sample_ids_a if num_samples else np.zeros(len(found), np.bool_)
    row_a, annotators_a, class_ids_a = row_a[ours], annotators_a[ours], class_ids_a[ours]
    asked_m = np.bincount(row_a, minlength=num_samples)
    telling = class_ids_a >= 0
    row_a, annotators_a, class_ids_a = row_a[telling], annotators_a[telling], class_ids_a[telling]

    known_k = np.empty(0, np.int64) if class_ids_k is None else class_ids_k
    classes = np.unique(np.concatenate([class_ids_a, record_m[record_m >= 0], known_k]))
    column_a = np.searchsorted(classes, class_ids_a)
    log_prior = _log_prior(classes, record_m, pred_probs_mk, known_k)
    posterior, _ = _dawid_skene(row_a, annotators_a, column_a, log_prior)

    voted_mk = np.zeros((num_samples, len(classes)))
    np.add.at(voted_mk, (row_a, column_a), 1.0)
    heard_m = voted_mk.any(axis=1)
    lead_m, tied_m = _leader(posterior, voted_mk, row_a, column_a, classes, record_m)
    confidence_m = np.zeros(num_samples)
    confidence_m[heard_m] = posterior[heard_m, lead_m[heard_m]]

    supported_m = _supported(classes, row_a, column_a, record_m, pred_probs_mk, known_k)
    settled_m = heard_m & (
        (asked_m >= config.max_answers) | supported_m | (confidence_m >= config.confidence)
    )
    class_ids_m = np.full(num_samples, -1, np.int64)
    class_ids_m[settled_m] = classes[lead_m[settled_m]]
    return Decisions(
        sample_ids_m=sample_ids_m,
        class_ids_m=class_ids_m,
        confidence_m=confidence_m,
        ask_more_m=~settled_m & (asked_m > 0) & (asked_m < config.max_answers),
        tied_m=tied_m & settled_m,
    )


def annotator_accuracy(
    sample_ids_a: Ids, annotators_a: Ids, class_ids_a: Ids, *, num_annotators: int
) -> Probs:
    """Probability that each annotator names the right class, from agreement alone.

    The one-coin model with a prior of 19 right answers to 1 wrong: somebody who shares no
    sample with anybody stays near 0.95. Answers of class -1 are left out. Time O(a k) a sweep.

    Returns
    -------
    ndarray of float64, shape (num_annotators,)
        In (0, 1); low is bad.
    """
    telling = class_ids_a >= 0
    samples, row_a = np.unique(sample_ids_a[telling], return_inverse=True)
    classes, column_a = np.unique(class_ids_a[telling], return_inverse=True)
    log_prior = np.zeros((len(samples), len(classes)))
    _, accuracy = _dawid_skene(row_a, annotators_a[telling], column_a, log_prior)
    known = np.full(num_annotators, PRIOR_RIGHT / (PRIOR_RIGHT + PRIOR_WRONG))
    known[: len(accuracy)] = accuracy
    return known


def _check(
    sample_ids_a: Ids, annotators_a: Ids, class_ids_a: Ids, sample_ids_m: Ids, record_m: Ids
) -> None:
    if not len(sample_ids_a) == len(annotators_a) == len(class_ids_a):
        raise ValueError("each answer needs a sample, an annotator and a class")
    if len(sample_ids_m) != len(record_m):
        raise ValueError(f"{len(sample_ids_m)} samples but {len(record_m)} labels on record")
    if len(np.unique(sample_ids_m)) != len(sample_ids_m):
        raise ValueError("a sample occurs twice among those asked about")


def _log_prior(
    classes_k: Ids,
    record_m: Ids,
    pred_probs_mk: NDArray[np.floating] | None,
    known_k: Ids,
) -> Probs:
    num_samples, num_classes = len(record_m), len(classes_k)
    # Room for a class nobody has named yet: otherwise a single known class is certain.
    spread = 1.0 / (num_classes + 1)
    prior = np.full((num_samples, num_classes), spread)
    if pred_probs_mk is not None and pred_probs_mk.shape[1]:
        prior *= MODEL_DOUBT
        prior[:, np.searchsorted(classes_k, known_k)] += (1.0 - MODEL_DOUBT) * pred_probs_mk
    rows = np.flatnonzero(record_m >= 0)
    record = np.full((len(rows), num_classes), (1.0 - RECORD_TRUST) / max(num_classes - 1, 1))
    record[np.arange(len(rows)), np.searchsorted(classes_k, record_m[rows])] = RECORD_TRUST
    prior[rows] *= record
    return np.asarray(np.log(prior))


def _dawid_skene(
    row_a: Ids, annotators_a: Ids, column_a: Ids, log_prior_mk: Probs
) -> tuple[Probs, Probs]:
    """Alternate between the classes' posterior and the annotators' accuracy until stable."""
    num_annotators = int(annotators_a.max()) + 1 if len(annotators_a) else 0
    others = max(log_prior_mk.shape[1] - 1, 1)
    accuracy = np.full(num_annotators, PRIOR_RIGHT / (PRIOR_RIGHT + PRIOR_WRONG))
    answered = np.bincount(annotators_a, minlength=num_annotators)
    posterior = np.exp(log_prior_mk)
    for _ in range(MAX_SWEEPS):
        # An answer lifts its own class over the others by log(accuracy / error share).
        lift = np.log(accuracy) - np.log((1.0 - accuracy) / others)
        logits = log_prior_mk.copy()
        np.add.at(logits, (row_a, column_a), lift[annotators_a])
        logits -= logits.max(axis=1, keepdims=True, initial=-np.inf)
        posterior = np.exp(logits)
        posterior /= posterior.sum(axis=1, keepdims=True)
        right = np.bincount(
            annotators_a, weights=posterior[row_a, column_a], minlength=num_annotators
        )
        updated = (right + PRIOR_RIGHT) / (answered + PRIOR_RIGHT + PRIOR_WRONG)
        if np.allclose(updated, accuracy, atol=1e-6):
            break
        accuracy = updated
    return posterior, accuracy


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
    equal = (named >= best - 1e-9) & (voted_mk > 0)
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
