"""Ways to a consensus, by name.

Shape suffixes: m samples, k classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from holdfast.quality.crowd_model import crowd_model
from holdfast.quality.crowdlab import crowdlab
from holdfast.quality.dawid_skene import dawid_skene
from holdfast.quality.votes import Consensus, Probs, Votes


def find_consensus(
    method: str, votes: Votes, pred_probs_mk: NDArray[np.floating] | None = None
) -> Consensus:
    """Return what a method makes of answers, and of a model's probabilities if it uses any.

    Parameters
    ----------
    method : str
        `majority`, `dawid_skene`, `crowdlab` (majority where no sample has two answers) or
        `default` (`crowd_model`); only the last two use a model.
    votes : Votes
    pred_probs_mk : ndarray of float, shape (M, K), optional
        Out of sample: the model never saw what was answered about a sample.

    Raises
    ------
    ValueError
        If no method has the name, or the probabilities do not fit the answers.
    """
    expected = (votes.num_samples, votes.num_classes)
    if pred_probs_mk is not None and pred_probs_mk.shape != expected:
        raise ValueError(f"pred_probs has shape {pred_probs_mk.shape}, not {expected}")
    if method == "majority":
        return majority(votes)
    if method == "dawid_skene":
        return dawid_skene(votes)
    if method == "crowdlab":
        return crowdlab(votes, pred_probs_mk) or majority(votes)
    if method == "default":
        return crowd_model(votes, pred_probs_mk)
    raise ValueError(f"no consensus method is called {method!r}")


def majority(votes: Votes, prior_mk: Probs | None = None) -> Consensus:
    """Return the share of the answers that name each class.

    Equal shares go to the class that all answers together name more often. A prior counts
    as one more answer; without, all classes are equal where nobody answered.
    """
    shares = votes.counts_mk()
    if prior_mk is not None:
        shares += prior_mk
    total = shares.sum(axis=1, keepdims=True)
    even = 1.0 / max(votes.num_classes, 1)
    return votes.consensus(np.where(total > 0, shares / np.maximum(total, 1e-300), even))
