"""How far several models, or one with its dropout left on, disagree about each candidate.

All measures read what the platform's own networks said; nothing is fitted. Times are without
that of asking the members.

Shape suffixes: n candidates, k classes the model knows, c members.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from holdfast.errors import ConfigError
from holdfast.query.strategy import Candidates, Committee, Scores
from holdfast.query.uncertainty import consensus_entropies
from holdfast.records import Floats

# Rows looked at together: with 100 classes a block and its logarithms take 30 MB.
_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class VoteEntropyStrategy:
    """Entropy of the members' votes over its maximum; time O(n k).

    modAL's `vote_entropy` counts the votes of one sample after the other; this equals it.

    References
    ----------
    .. [1] Engelson and Dagan, "Minimizing Manual Annotation Cost in Supervised Training
       from Corpora", ACL 1996.
    """

    def scores(self, candidates: Candidates, rng: np.random.Generator) -> Scores:  # noqa: ARG002  contract
        """Return 0 where all members vote alike, 1 where votes are spread as far as can be."""
        said = _asked("vote_entropy", candidates)
        if said is None:
            return np.zeros(len(candidates))
        members = _num_members(said)
        entropy_n = np.empty(len(candidates))
        for start in range(0, len(candidates), _ROWS):
            shares = said.votes_nk[start : start + _ROWS] / members
            logs = np.log(np.where(shares > 0, shares, 1.0))
            entropy_n[start : start + _ROWS] = -np.einsum("nk,nk->n", shares, logs)
        return _share_of(entropy_n, np.log(_fewer(members, said.votes_nk)))


@dataclass(frozen=True, slots=True)
class ConsensusEntropyStrategy:
    """Entropy of the members' mean probabilities over its maximum; time O(n k).

    References
    ----------
    .. [1] modAL, `consensus_entropy`: Danka and Horvath, "modAL: A modular active learning
       framework for Python", 2018.
    """

    def scores(self, candidates: Candidates, rng: np.random.Generator) -> Scores:  # noqa: ARG002  contract
        """Return 0 where the mean is certain, 1 where it gives all classes the same."""
        said = _asked("consensus_entropy", candidates)
        if said is None:
            return np.zeros(len(candidates))
        entropy_n = consensus_entropies(said.mean_probs_nk)
        return _share_of(entropy_n, np.log(said.mean_probs_nk.shape[1]))


@dataclass(frozen=True, slots=True)
class MaxDisagreementStrategy:
    """Largest divergence of a member from the mean, over its maximum; time O(n).

    References
    ----------
    .. [1] McCallum and Nigam, "Employing EM and Pool-Based Active Learning for Text
       Classification", ICML 1998 (divergence from the mean).
    """

    def scores(self, candidates: Candidates, rng: np.random.Generator) -> Scores:  # noqa: ARG002  contract
        """Return 0 where all members say the same; 1 where one stands alone and certain."""
        said = _asked("max_disagreement", candidates)
        if said is None:
            return np.zeros(len(candidates))
        # A member is at least 1 / c of the mean, so that none diverges further than log c.
        return _share_of(said.max_kl_n, np.log(_num_members(said)))


@dataclass(frozen=True, slots=True)
class BaldStrategy:
    """What the answer would tell about the weights, over its maximum; time O(n k).

    The entropy of the mean less the mean of the entropies: high where members are sure of
    different classes, low where all of them waver alike. modAL's own takes its softmax over
    the batch and is not used.

    References
    ----------
    .. [1] Houlsby et al., "Bayesian Active Learning for Classification and Preference
       Learning", 2011.
    .. [2] Gal, Islam and Ghahramani, "Deep Bayesian Active Learning with Image Data", ICML
       2017 (dropout as the members).
    """

    def scores(self, candidates: Candidates, rng: np.random.Generator) -> Scores:  # noqa: ARG002  contract
        """Return 0 where all members say the same; 1 where each is sure of another class."""
        said = _asked("bald", candidates)
        if said is None:
            return np.zeros(len(candidates))
        information_n = consensus_entropies(said.mean_probs_nk) - said.expected_entropy_n
        return _share_of(information_n, np.log(_fewer(_num_members(said), said.votes_nk)))


def _asked(name: str, candidates: Candidates) -> Committee | None:
    """Return the committee; None where there are no candidates or no classes to differ about."""
    if candidates.pred_probs_nk.shape[1] < 2 or not len(candidates):
        return None
    if candidates.committee is None:
        raise ConfigError(
            f"query.strategy: {name} needs several models that answer together; set "
            "learning.imbalance.ensemble to 2 or more, or network.dropout above 0"
        )
    return candidates.committee


def _num_members(said: Committee) -> float:
    return float(np.sum(said.votes_nk[0]))


def _fewer(members: float, values_nk: Floats) -> float:
    return min(members, float(values_nk.shape[1]))


def _share_of(found_n: Scores, largest: float) -> Scores:
    """Return values as a share of the largest possible one; a lone member never disagrees."""
    if largest <= 0:
        return np.zeros(len(found_n))
    return np.clip(np.asarray(found_n, np.float64) / largest, 0.0, 1.0)
