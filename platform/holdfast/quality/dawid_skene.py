"""Consensus by the method of Dawid and Skene: a confusion matrix for each annotator.

Shape suffixes: m samples, k classes, j annotators, p pairs of an annotator and a class that
this annotator named.
"""

from __future__ import annotations

import numpy as np

from holdfast.quality.votes import Consensus, Probs, Votes, normalized
from holdfast.records import Ids

TOLERANCE = 1e-5
# As if each annotator had been seen, for each class, to be right twice and to name any class
# once: who answered little is then close to a one-coin annotator, right 2 times in 3 or more.
SEEN_RIGHT, SEEN_ANY = 2.0, 1.0


def dawid_skene(
    votes: Votes, prior_mk: Probs | None = None, known_m: Ids | None = None
) -> Consensus:
    """Alternate between the classes' posterior and the annotators' confusion matrices.

    Time per sweep O((A + M + P) K), memory three arrays (M, K) and three (P, K).

    Parameters
    ----------
    votes : Votes
    prior_mk : ndarray of float64, shape (M, K), optional
        Probabilities before the answers; by default the classes' shares, estimated.
    known_m : ndarray of int64, shape (M,), optional
        The class where it is known for certain, else -1.

    References
    ----------
    .. [1] Dawid and Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using
       the EM Algorithm", Applied Statistics 1979.
    """
    num_samples, num_classes = votes.num_samples, votes.num_classes
    sure = np.flatnonzero(known_m >= 0) if known_m is not None else np.empty(0, np.int64)
    known = known_m[sure] if known_m is not None else sure
    posterior = votes.counts_mk() + (0.01 if prior_mk is None else prior_mk)
    posterior /= posterior.sum(axis=1, keepdims=True)
    prior_pk = np.full((len(votes.columns_p), num_classes), SEEN_ANY / max(num_classes, 1))
    prior_pk[np.arange(len(votes.columns_p)), votes.columns_p] += SEEN_RIGHT
    evidence_pk = np.empty_like(prior_pk)
    for _ in range(votes.sweeps()):
        posterior[sure] = 0.0
        posterior[sure, known] = 1.0
        seen_pk = votes.votes_mp.T @ posterior
        seen_jk = votes.by_annotator_jp @ seen_pk
        total_pk = (seen_jk + SEEN_ANY + SEEN_RIGHT)[votes.annotators_p]
        evidence_pk = np.log((seen_pk + prior_pk) / total_pk)
        share_k = (posterior.sum(axis=0) + 1.0) / (num_samples + num_classes)
        logits = votes.votes_mp @ evidence_pk
        logits += np.log(share_k if prior_mk is None else prior_mk)
        updated = normalized(logits)
        updated[sure] = posterior[sure]
        moved = float(np.abs(updated - posterior).sum())
        posterior = updated
        if moved < TOLERANCE * num_samples:
            break
    return votes.consensus(posterior, evidence_pk=evidence_pk)
