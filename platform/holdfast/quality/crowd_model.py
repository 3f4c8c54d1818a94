"""The default consensus: who knows, who guesses, what all confuse, and how far a model is right.

Shape suffixes: m samples, k true classes, l named classes, j annotators, p pairs of an
annotator and a class that this annotator named.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]  # ships no types
from scipy.special import gammaln  # type: ignore[import-untyped]

from holdfast.quality.dawid_skene import dawid_skene
from holdfast.quality.votes import LEAST_LOG, MAX_SWEEPS, Consensus, Probs, Votes, normalized
from holdfast.records import Ids

TOLERANCE = 1e-5
PART_ENTRIES = 1 << 17
# Sweeps after which the strengths below are estimated anew: early ones see rough classes.
ADAPTED_AFTER = (2, 5, 10, 20)
# How firmly annotators are held at what they have in common, in answers.
OWN_STRENGTHS = np.array([10.0, 30.0, 100.0, 300.0, 1000.0])
SHARED_STRENGTHS = np.array([3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 1e4, 1e5])
GUESS_STRENGTHS = np.array([2.0, 20.0, 200.0, 1e5])
# Share of a model's probability spread over all classes: it may be wrong and sure of it.
MODEL_DOUBT = 0.02
LEAST_PROBABILITY = 1e-6
# Hard samples and others, as if seen before.
HARD_PRIOR = (1.0, 30.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Trust:
    """What is believed of annotators before their answers are seen.

    Attributes
    ----------
    knowing : tuple of float
        Answers given in knowledge and at a guess, as if seen of each annotator.
    held : float
        Share of answers in knowledge where nothing tells annotators apart, in [0, 1].
    right : tuple of float
        Right and wrong answers of those who know, as if seen of all together.
    hard : float
        Share of samples that look like another class to everybody, in [0, 1); estimated
        from here on where a model's probabilities can tell.
    """

    knowing: tuple[float, float] = (2.0, 1.0)
    held: float = 0.8
    right: tuple[float, float] = (8.0, 2.0)
    hard: float = 0.02


UNKNOWN = Trust()


@dataclass(slots=True)
class _Crowd:
    """Annotators as far as known; changes from sweep to sweep."""

    knowing_j: Probs
    shared_lk: Probs
    guess_p: Probs
    evidence_pk: Probs
    own: float = 30.0
    shared: float = 10.0
    guess: float = 2.0


@dataclass(slots=True)
class _World:
    """Classes, the model beside the annotators, and hard samples, as far as known."""

    share_k: Probs
    bias_k: Probs
    hard: float
    sharpness: float = 0.5
    balance: float = 1.0


@dataclass(slots=True)
class _Sums:
    """What one sweep over the samples adds up."""

    seen_pk: Probs
    class_k: Probs
    model_k: Probs
    slope: float = 0.0
    curve: float = 0.0
    hard: float = 0.0
    moved: float = 0.0


def crowd_model(
    votes: Votes,
    pred_probs_mk: NDArray[np.floating] | None = None,
    *,
    prior_mk: Probs | None = None,
    known_m: Ids | None = None,
    trust: Trust = UNKNOWN,
) -> Consensus:
    """Estimate classes, annotators and the model's worth together.

    An annotator knows or guesses [2]_. Who knows answers by a confusion matrix that all
    share; who guesses, by a habit of their own; with many answers the annotator's own
    confusions take over [1]_. How firmly each level holds the next is the strength under
    which the answers are likeliest. A sample may look like another class to everybody:
    this bounds what any number of answers weigh against the model, whose probabilities are
    first made less sharp and shifted to fit the answers, never sharper. Where no sample was
    answered twice nothing tells annotators apart, and all are held at `trust`.

    Time per sweep O(A K + (M + P) K), memory one array (M, K) and about six (P, K), P at
    most the smaller of A and J K.

    Parameters
    ----------
    votes : Votes
    pred_probs_mk : ndarray of float, shape (M, K), optional
        A model's probabilities, out of sample.
    prior_mk : ndarray of float64, shape (M, K), optional
        Probabilities to take as they are, instead of `pred_probs_mk`.
    known_m : ndarray of int64, shape (M,), optional
        The class where it is known for certain, else -1.

    References
    ----------
    .. [1] Dawid and Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using
       the EM Algorithm", Applied Statistics 1979.
    .. [2] Hovy et al., "Learning Whom to Trust with MACE", NAACL 2013.
    """
    num_samples, num_classes = votes.num_samples, votes.num_classes
    crowd, world = _start(votes, trust)
    given_mk = prior_mk if prior_mk is not None else pred_probs_mk
    fixed = prior_mk is not None
    known_m = np.full(num_samples, -1, np.int64) if known_m is None else known_m
    posterior_mk = np.full((num_samples, num_classes), 1.0 / max(num_classes, 1))
    if num_classes == 0:
        return votes.consensus(posterior_mk)
    start_mk = _first_guess(votes) if given_mk is None and not (known_m >= 0).any() else None
    blocks = _blocks(votes)
    twice = int((votes.answers_m > 1).sum())
    judged = twice if pred_probs_mk is not None and not fixed else 0
    told_apart = twice > 0 or bool(((known_m >= 0) & (votes.answers_m > 0)).any())
    for sweep in range(votes.sweeps()):
        sums = _Sums(
            seen_pk=np.zeros((len(votes.columns_p), num_classes)),
            class_k=np.zeros(num_classes),
            model_k=np.zeros(num_classes),
        )
        for rows, block in blocks:
            # Classes that the answers speak for, then those that each sample looks like.
            if sweep:
                seen = block @ crowd.evidence_pk
            else:
                seen = _shares(block, votes) if start_mk is None else start_mk[rows]
            for part in _parts(len(seen), num_classes):
                span = slice(rows.start + part.start, rows.start + part.stop)
                now, before = posterior_mk[span], posterior_mk[span].copy()
                if sweep == 0:
                    now[:] = seen[part]
                else:
                    given = None if given_mk is None else np.asarray(given_mk[span], np.float64)
                    often = votes.answers_m[span] > 1
                    _weigh(seen[part], now, given, fixed, world, sums, often)
                sure = np.flatnonzero(known_m[span] >= 0)
                for array in (now, seen[part]):
                    array[sure] = 0.0
                    array[sure, known_m[span][sure]] = 1.0
                sums.class_k += now.sum(axis=0)
                sums.moved += float(np.abs(now - before).sum())
            sums.seen_pk += block.T @ seen
        if sweep and sums.moved < TOLERANCE * num_samples:
            break
        adapt = sweep in ADAPTED_AFTER
        if told_apart:
            _learn(votes, sums.seen_pk, crowd, trust, adapt=adapt)
        _adjust(world, sums, num_samples, judged, adapt=adapt)
    return votes.consensus(posterior_mk, evidence_pk=crowd.evidence_pk)


def _start(votes: Votes, trust: Trust) -> tuple[_Crowd, _World]:
    num_classes = votes.num_classes
    right = trust.right[0] / sum(trust.right)
    crowd = _Crowd(
        knowing_j=np.full(votes.num_annotators, trust.held),
        shared_lk=_one_coin(right, num_classes),
        guess_p=votes.shares_k()[votes.columns_p],
        evidence_pk=np.empty(0),
    )
    crowd.evidence_pk = np.log(_common(votes, crowd))
    world = _World(
        share_k=np.full(num_classes, 1.0 / max(num_classes, 1)),
        bias_k=np.zeros(num_classes),
        hard=trust.hard,
    )
    return crowd, world


def _one_coin(right: float, num_classes: int) -> Probs:
    matrix = np.full((num_classes, num_classes), (1.0 - right) / max(num_classes - 1, 1))
    np.fill_diagonal(matrix, right)
    return matrix


def _blocks(votes: Votes) -> list[tuple[slice, sparse.csr_matrix]]:
    """Cut the samples: small blocks take little memory, but each adds to all pairs."""
    entries = max(PART_ENTRIES, len(votes.columns_p) * votes.num_classes)
    size = max(1, entries // max(votes.num_classes, 1))
    starts = range(0, votes.num_samples, size)
    cuts = [slice(start, min(start + size, votes.num_samples)) for start in starts]
    return [(rows, votes.votes_mp[rows]) for rows in cuts]


def _parts(num_rows: int, num_classes: int) -> Iterator[slice]:
    """Cut a block so that the arrays of a part stay in the processor's cache."""
    size = max(1, PART_ENTRIES // max(num_classes, 1))
    for start in range(0, num_rows, size):
        yield slice(start, min(start + size, num_rows))


def _first_guess(votes: Votes) -> Probs | None:
    """Return where to begin without a model: Dawid and Skene's classes, None for many answers.

    Of two classes, one of them rare, the shares of the answers led to poor ends that are
    hardly less likely (.928 instead of .931 of 30 crowds right, one of them .854).
    """
    return dawid_skene(votes).posterior_mk if votes.sweeps() == MAX_SWEEPS else None


def _shares(block: sparse.csr_matrix, votes: Votes) -> Probs:
    """Return the shares of the answers, which no estimate has touched yet."""
    named = sparse.csr_matrix(votes.by_class_kp).T
    counts: Probs = np.asarray((block @ named).todense(), np.float64)
    counts += 0.1 * votes.shares_k()
    counts /= counts.sum(axis=1, keepdims=True)
    return counts


def _weigh(
    likely_mk: Probs,
    posterior_mk: Probs,
    given_mk: Probs | None,
    fixed: bool,
    world: _World,
    sums: _Sums,
    often_m: NDArray[np.bool_],
) -> None:
    """Turn log-likelihoods into probabilities of what samples look like; fill the posterior."""
    logits = None
    if given_mk is None:
        prior = np.broadcast_to(world.share_k, posterior_mk.shape)
    elif fixed:
        prior = given_mk
    else:
        logits = np.log(np.maximum(given_mk, LEAST_PROBABILITY))
        logits -= logits.mean(axis=1, keepdims=True)
        fitted = normalized(world.sharpness * logits + world.bias_k)
        prior = (1.0 - MODEL_DOUBT) * fitted + MODEL_DOUBT * world.share_k
    likely_mk -= likely_mk.max(axis=1, keepdims=True)
    np.maximum(likely_mk, LEAST_LOG, out=likely_mk)
    np.exp(likely_mk, out=likely_mk)
    # Looking like each other class is equally probable: no matrix product is needed.
    off = world.hard / max(likely_mk.shape[1] - 1, 1)
    straight = 1.0 - world.hard - off
    both_m = np.einsum("mk,mk->m", prior, likely_mk)
    np.multiply(likely_mk, straight, out=posterior_mk)
    posterior_mk += off * likely_mk.sum(axis=1, keepdims=True)
    posterior_mk *= prior
    evidence_m = posterior_mk.sum(axis=1)
    posterior_mk /= evidence_m[:, None]
    likely_mk *= straight * prior + off * prior.sum(axis=1, keepdims=True)
    likely_mk /= evidence_m[:, None]
    alike_m = (straight + off) * both_m / evidence_m
    sums.hard += float((1.0 - alike_m)[often_m].sum())
    if logits is not None:
        mean_m = np.einsum("mk,mk->m", fitted, logits)
        sums.slope += float(np.einsum("mk,mk->", posterior_mk, logits) - mean_m.sum())
        sums.model_k += fitted.sum(axis=0)
        logits *= logits
        sums.curve += float(np.einsum("mk,mk->", fitted, logits) - (mean_m**2).sum())


def _common(votes: Votes, crowd: _Crowd) -> Probs:
    """Return P(annotator names class | true class) before the annotator's own confusions."""
    knowing: Probs = crowd.knowing_j[votes.annotators_p, None] * crowd.shared_lk[votes.columns_p]
    knowing += ((1.0 - crowd.knowing_j[votes.annotators_p]) * crowd.guess_p)[:, None]
    return knowing


def _learn(votes: Votes, seen_pk: Probs, crowd: _Crowd, trust: Trust, *, adapt: bool) -> None:
    """Estimate the annotators from how often each named what where each class was true."""
    who, named = votes.annotators_p, votes.columns_p
    share_p = votes.shares_k()[named]
    known_pk = crowd.knowing_j[who, None] * crowd.shared_lk[named]
    known_pk /= known_pk + ((1.0 - crowd.knowing_j[who]) * crowd.guess_p)[:, None]
    known_pk *= seen_pk
    known_p = known_pk.sum(axis=1)
    known_j = votes.by_annotator_jp @ known_p
    crowd.knowing_j = (known_j + trust.knowing[0]) / (votes.answers_j + sum(trust.knowing))
    counts_lk = np.asarray(votes.by_class_kp @ known_pk)
    right = (np.trace(counts_lk) + trust.right[0]) / (counts_lk.sum() + sum(trust.right))
    plain_lk = _one_coin(float(right), votes.num_classes)
    crowd.shared_lk = (counts_lk + crowd.shared * plain_lk) / (counts_lk.sum(axis=0) + crowd.shared)
    guessed_p = votes.answers_p - known_p
    guessed_j = votes.by_annotator_jp @ guessed_p
    crowd.guess_p = (guessed_p + crowd.guess * share_p) / (guessed_j[who] + crowd.guess)
    common_pk = _common(votes, crowd)
    seen_jk = np.asarray(votes.by_annotator_jp @ seen_pk)
    if adapt:
        crowd.own = _likeliest(OWN_STRENGTHS, seen_pk, common_pk, seen_jk)
        crowd.shared = _likeliest(SHARED_STRENGTHS, counts_lk, plain_lk, counts_lk.sum(axis=0))
        crowd.guess = _likeliest(GUESS_STRENGTHS, guessed_p, share_p, guessed_j)
    common_pk *= crowd.own
    common_pk += seen_pk
    common_pk /= (seen_jk + crowd.own)[who]
    crowd.evidence_pk = np.log(common_pk, out=common_pk)


def _adjust(world: _World, sums: _Sums, num_samples: int, judged: int, *, adapt: bool) -> None:
    """Estimate the classes' shares, the model's sharpness and how many samples are hard."""
    num_classes = len(sums.class_k)
    if adapt:
        even_k = np.full(num_classes, 1.0 / num_classes)
        world.balance = _likeliest(
            SHARED_STRENGTHS, sums.class_k, even_k, np.array(float(num_samples))
        )
    world.share_k = (sums.class_k + world.balance / num_classes) / (num_samples + world.balance)
    if sums.curve > 0.0:
        step = (sums.slope - (world.sharpness - 1.0)) / (sums.curve + 1.0)
        # A model found sharper than it says would outvote people where each answered alone.
        world.sharpness = float(np.clip(world.sharpness + step, 0.0, 1.0))
        world.bias_k = world.bias_k + np.log((sums.class_k + 1.0) / (sums.model_k + 1.0))
        world.bias_k -= world.bias_k.mean()
    if judged and sums.hard:
        world.hard = (sums.hard + HARD_PRIOR[0]) / (judged + sum(HARD_PRIOR))


def _likeliest(strengths: Probs, counts: Probs, shares: Probs, totals: Probs) -> float:
    """Return the strength of a Dirichlet prior under which the counts are likeliest."""
    some = counts > 0.01  # the others add next to nothing, and are most of them
    counts, shares = counts[some], shares[some]
    scores = [
        float((gammaln(counts + s * shares) - gammaln(s * shares)).sum())
        - float((gammaln(totals + s) - gammaln(s)).sum())
        for s in strengths.tolist()
    ]
    return float(strengths[int(np.argmax(scores))])
