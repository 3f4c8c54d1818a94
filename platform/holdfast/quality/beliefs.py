"""What record, model and answers together make probable, by a method of choice.

Shape suffixes: a answers, m samples, k classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from holdfast.quality.consensus import majority
from holdfast.quality.crowd_model import Trust, crowd_model
from holdfast.quality.crowdlab import crowdlab
from holdfast.quality.dawid_skene import dawid_skene
from holdfast.quality.votes import Probs, Votes
from holdfast.records import Ids

# A label on record is believed 3 times in 4: it is only asked about when it looks wrong.
RECORD_TRUST = 0.75
# Share of the model's probability that is spread over all classes: networks are too sure
# of themselves, most of all about classes they have never seen.
MODEL_DOUBT = 0.3
# Before anybody's answers are known, an annotator counts as right 19 times in 20, held
# with the weight of 20 answers: a low start would ask twice about all that a young model
# does not expect.
KNOWING, HELD, RIGHT = (19.6, 0.4), 0.98, (97.0, 3.0)


def believe(
    classes_k: Ids,
    record_m: Ids,
    pred_probs_mk: NDArray[np.floating] | None,
    known_k: Ids,
) -> Probs:
    """Return what record and model make probable before any answer, shape (M, K).

    Parameters
    ----------
    classes_k : ndarray of int64, shape (K,)
        Class ids, ascending.
    record_m : ndarray of int64, shape (M,)
        Class id on record, -1 for none.
    pred_probs_mk, known_k : ndarray, optional
        What the model believes, and the class ids of its columns.
    """
    num_samples, num_classes = len(record_m), len(classes_k)
    # Room for a class nobody has named yet: otherwise a single known class is certain.
    spread = 1.0 / (num_classes + 1)
    prior: Probs = np.full((num_samples, num_classes), spread)
    if pred_probs_mk is not None and pred_probs_mk.shape[1]:
        prior *= MODEL_DOUBT
        prior[:, np.searchsorted(classes_k, known_k)] += (1.0 - MODEL_DOUBT) * pred_probs_mk
    rows = np.flatnonzero(record_m >= 0)
    record = np.full((len(rows), num_classes), (1.0 - RECORD_TRUST) / max(num_classes - 1, 1))
    record[np.arange(len(rows)), np.searchsorted(classes_k, record_m[rows])] = RECORD_TRUST
    prior[rows] *= record
    prior /= prior.sum(axis=1, keepdims=True)
    return prior


def weigh(
    method: str, row_a: Ids, annotators_a: Ids, column_a: Ids, prior_mk: Probs, known_m: Ids
) -> Probs:
    """Return the probabilities that a method makes of answers and beliefs, shape (M, K).

    Parameters
    ----------
    method : str
        `default`, `majority`, `dawid_skene` or `crowdlab`.
    row_a, annotators_a, column_a : ndarray of int64, shape (A,)
        Sample, annotator and class of each answer, each numbered from 0.
    prior_mk : ndarray of float64, shape (M, K)
        As `believe` gives it.
    known_m : ndarray of int64, shape (M,)
        A class that is certain whatever is answered, else -1.
    """
    votes = Votes(
        row_a,
        annotators_a,
        column_a,
        num_samples=prior_mk.shape[0],
        num_annotators=int(annotators_a.max()) + 1 if len(annotators_a) else 0,
        num_classes=prior_mk.shape[1],
    )
    if method == "default":
        trust = Trust(knowing=KNOWING, held=HELD, right=RIGHT, hard=0.0)
        posterior = crowd_model(votes, prior_mk=prior_mk, known_m=known_m, trust=trust).posterior_mk
    elif method == "dawid_skene":
        posterior = dawid_skene(votes, prior_mk, known_m).posterior_mk
    elif method == "crowdlab":
        posterior = (crowdlab(votes, prior_mk) or majority(votes, prior_mk)).posterior_mk
    else:
        posterior = majority(votes, prior_mk).posterior_mk
    sure = np.flatnonzero(known_m >= 0)
    posterior[sure] = 0.0
    posterior[sure, known_m[sure]] = 1.0
    return posterior
