"""How labels on record were made wrong, judged from labels and probabilities alone.

No truth, no rate of errors and no setting is needed. Everything runs in blocks of rows, so
probabilities may come from a memory map.

Shape suffixes: n samples, b samples of a block, k classes, m candidate classes of a sample
(the label on record first).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, softmax  # type: ignore[import-untyped]  # no types

from holdfast.quality.calibration import label_exponents, truth_exponent
from holdfast.quality.candidates import (
    CANDIDATES,
    blocks,
    candidates,
    local_flips,
    log_sizes,
)
from holdfast.quality.disagreement import Disagreement, survey, wrong_by_class
from holdfast.quality.flips import flip_shares
from holdfast.records import Ids

Probs = NDArray[np.float64]
AnyProbs = NDArray[np.floating]

# Rows that exponents are fitted on hold at most this many candidates; three numbers are
# fitted.
FIT_ENTRIES = 1 << 19
_DECONVOLUTION_STEPS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelNoise:
    """A model of how labels became wrong, with what calibrates the probabilities.

    Attributes
    ----------
    flips_kk : ndarray of float64, shape (K, K)
        Probability that a sample of the row's class is given the column's label.
    label_priors_k, true_priors_k : ndarray of float64, shape (K,)
        Logarithms of the shares of each class among labels, and among true classes.
    exponents : tuple of float
        Of the probabilities and of the labels' prior, to predict the labels given; and of
        what is left once flips are undone, to predict the true classes.
    following : float
        How far labels that are surely wrong follow the model's own second thoughts, about
        0 to 1: near 0 where labels are flipped at random, near 0.5 where people confuse
        what looks alike.
    sharpness : float
        Exponent on the probabilities of the true classes, at least 1: how much less is
        doubtful about the true class than about the label.
    """

    flips_kk: Probs
    label_priors_k: Probs
    true_priors_k: Probs
    exponents: tuple[float, float, float]
    following: float
    sharpness: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What a model of noise says about each label.

    Attributes
    ----------
    scores_n : ndarray of float64, shape (N,)
        Probability that the label is right if all classes were as frequent; low = suspect.
        Resolved finely near 0.
    error_probs_n : ndarray of float64, shape (N,)
        Probability that the label is wrong with classes as frequent as they are.
    predicted_n : ndarray of int64, shape (N,)
        Most probable column.
    noise : LabelNoise
        What it rests on.
    """

    scores_n: Probs
    error_probs_n: Probs
    predicted_n: Ids
    noise: LabelNoise


def judge(columns_n: Ids, pred_probs_nk: AnyProbs) -> Judgement:
    """Return the probability that each label is right, and the noise it rests on.

    1. Floors: among samples predicted as one class, the share of labels that disagree falls
       with confidence and levels off where only wrong labels are left
       (`disagreement.survey`). What the labels are there gives the flips T.
    2. Exponents on the probabilities and on the class prior make them predict the labels
       given; the flips are then undone by a few steps of Richardson and Lucy; another
       exponent makes the result and the flips together predict the labels given.
    3. True classes are settled more often than labels are: the more wrong labels follow the
       model's second thoughts, the sharper the probabilities are made.
    4. With p the probabilities of the true class, a label g is right with probability
       p_g T_gg / sum_i p_i T_ig. For the score, p is first divided by the share of each
       class, or else a rare class, which a model misses more often, would be suspect for
       being rare.

    Parameters
    ----------
    columns_n : ndarray of int64, shape (N,)
        Labels on record as columns 0..K-1.
    pred_probs_nk : ndarray of float, shape (N, K)
        Out of sample; rows sum to 1. May be a memory map.

    Returns
    -------
    Judgement

    Notes
    -----
    Time O(N K + N log N); memory O(N + K²) beside the input and one block.

    References
    ----------
    .. [1] Northcutt et al., "Confident Learning", JAIR 2021 (flips from what is confident).
    .. [2] Patrini et al., "Making Deep Neural Networks Robust to Label Noise: a Loss
       Correction Approach", CVPR 2017 (flips from anchors).
    .. [3] Lucy, "An iterative technique for the rectification of observed distributions",
       Astronomical Journal 1974.
    .. [4] Menon et al., "Long-tail Learning via Logit Adjustment", ICLR 2021 (the prior).
    """
    seen = survey(columns_n, pred_probs_nk, blocks(*pred_probs_nk.shape))
    noise = estimate_noise(columns_n, pred_probs_nk, seen)
    scores_n, error_probs_n = np.empty(len(columns_n)), np.empty(len(columns_n))
    for span in blocks(*pred_probs_nk.shape):
        classes, logs = candidates(columns_n[span], pred_probs_nk[span])
        plain, even = _log_odds(classes, logs, noise)
        scores_n[span], error_probs_n[span] = expit(-even), expit(plain)
    return Judgement(
        scores_n=scores_n,
        error_probs_n=error_probs_n,
        predicted_n=seen.predicted_n,
        noise=noise,
    )


def estimate_noise(columns_n: Ids, pred_probs_nk: AnyProbs, seen: Disagreement) -> LabelNoise:
    """Return the model of noise under which `judge` judges."""
    flips = flip_shares(wrong_by_class(columns_n, seen))
    flips *= seen.floors_k[:, None]
    np.fill_diagonal(flips, 1.0 - seen.floors_k)
    num_classes = len(flips)
    label_priors = _log_shares(np.bincount(columns_n, minlength=num_classes))

    rows = _spread(np.arange(len(columns_n)), FIT_ENTRIES // CANDIDATES)
    classes, logs = _candidates_of_rows(columns_n, pred_probs_nk, rows)
    sizes = log_sizes(classes, num_classes)
    priors = _of_candidates(label_priors, classes)
    first, kept = label_exponents(logs, priors, sizes)
    local = local_flips(classes, flips)
    truths = _undo_flips(first * logs + kept * priors, sizes, local)
    second = truth_exponent(truths, sizes, local[:, :, 0])

    named = classes < num_classes
    weights = softmax(second * truths + sizes, axis=1)
    true_counts = np.bincount(classes[named], weights=weights[named], minlength=num_classes)
    following = _following(columns_n, pred_probs_nk, seen, flips, first)
    return LabelNoise(
        flips_kk=flips,
        label_priors_k=label_priors,
        true_priors_k=_log_shares(true_counts),
        exponents=(first, kept, second),
        following=following,
        sharpness=_sharpness(
            following,
            second,
            float(seen.floors_k[seen.predicted_n].mean()),
            float((seen.predicted_n != columns_n).mean()),
            seen.claimed,
        ),
    )


def _log_odds(classes_bm: Ids, logs_bm: Probs, noise: LabelNoise) -> tuple[Probs, Probs]:
    """Return log-odds that each label is wrong, with classes as they are and as frequent."""
    first, kept, second = noise.exponents
    sizes = log_sizes(classes_bm, len(noise.flips_kk))
    local = local_flips(classes_bm, noise.flips_kk)
    priors = _of_candidates(noise.label_priors_k, classes_bm)
    truths = second * _undo_flips(first * logs_bm + kept * priors, sizes, local)
    plain = _log_odds_of_wrong(noise.sharpness * truths + sizes, local[:, :, 0])
    truths -= _of_candidates(noise.true_priors_k, classes_bm)
    return plain, _log_odds_of_wrong(noise.sharpness * truths + sizes, local[:, :, 0])


def _log_odds_of_wrong(logits_bm: Probs, reach_bm: Probs) -> Probs:
    weights = softmax(logits_bm, axis=1) * reach_bm
    least = np.finfo(np.float64).tiny
    wrong = np.log(weights[:, 1:].sum(axis=1) + least)
    return np.asarray(wrong - np.log(weights[:, 0] + least))


def _log_shares(counts_k: NDArray[np.number]) -> Probs:
    """Return logarithms of shares, with one more of every class so that none is 0."""
    return np.asarray(np.log((counts_k + 1.0) / (counts_k.sum() + len(counts_k))))


def _of_candidates(priors_k: Probs, classes_bm: Ids) -> Probs:
    """Return the log-prior of each candidate; for the classes left over, their mean."""
    return np.asarray(np.append(priors_k, priors_k.mean())[classes_bm])


def _undo_flips(logs_bm: Probs, sizes_m: Probs, local_bmm: Probs) -> Probs:
    """Return log-probabilities of true classes, given those of labels and the flips."""
    labels = softmax(logs_bm + sizes_m, axis=1)
    truths = labels.copy()
    for _ in range(_DECONVOLUTION_STEPS):
        explained = np.matmul(truths[:, None, :], local_bmm)[:, 0]
        ratio = labels / np.maximum(explained, 1e-12)
        truths *= np.matmul(local_bmm, ratio[:, :, None])[:, :, 0]
    # A class that the steps ruled out altogether could never come back.
    truths = np.maximum(truths, 1e-4 * labels)
    return np.asarray(np.log(np.maximum(truths, 1e-12)) - sizes_m)


# Labels that are surely wrong are looked for among the most confident quarter.
_SURE = 0.75
_FOLLOWING_GRID = np.linspace(-0.1, 1.5, 33)
_FOLLOWING_SPREAD = 0.5  # of the prior around 0
_FOLLOWING_ROWS = 20_000
_FOLLOWING_OF_TWO = 0.25  # between flips at random and people


def _following(
    columns_n: Ids,
    pred_probs_nk: AnyProbs,
    seen: Disagreement,
    flips_kk: Probs,
    exponent: float,
) -> float:
    """Return the exponent with which wrong labels follow the probabilities beside the flips.

    Among labels other than the predicted class, the likelihood of the one on record is
    taken as proportional to flips * probability ** exponent; each sample counts as far as
    its label is wrong rather than the prediction.
    """
    if len(flips_kk) == 2:
        return _FOLLOWING_OF_TWO  # the wrong label can only be the other one
    rows = np.flatnonzero((seen.predicted_n != columns_n) & (seen.ranks_n > _SURE))
    rows = _spread(rows, _FOLLOWING_ROWS)
    if not len(rows):
        return 0.0
    classes, logs = _candidates_of_rows(columns_n, pred_probs_nk, rows)
    predicted = seen.predicted_n[rows]
    logits = exponent * logs
    at = np.argmax(classes == predicted[:, None], axis=1)
    bias = np.log(local_flips(classes, flips_kk)[np.arange(len(rows)), at] + 1e-12)
    bias[np.arange(len(rows)), at] = -np.inf
    weights = seen.wrong_shares(columns_n, rows)
    penalties = 0.5 * (_FOLLOWING_GRID / _FOLLOWING_SPREAD) ** 2
    gains = [
        float((weights * log_softmax(bias + power * logits, axis=1)[:, 0]).sum()) - penalty
        for power, penalty in zip(_FOLLOWING_GRID, penalties, strict=True)
    ]
    return float(_FOLLOWING_GRID[int(np.argmax(gains))])


# Chosen on the inputs that docs/how-the-audit-cuts.md tells of. The best constant is 2; it
# loses a quarter more of F1.
_LEAST_SHARP, _SHARPEST = 1.2, 8.0
_BY_FOLLOWING, _FOLLOWING_POWER, _MOST_BY_FOLLOWING = 4.0, 1.5, 2.5
_BY_SPREAD, _FULLY_FOLLOWING = 8.0, 0.4
_SLOPE_OF_RANDOM_FLIPS = 1.5
_REAL_FLOOR = 0.05
# Overconfident models were wrong up to twice as often as they said; some may be worse.
_BY_CLAIM, _OVERCONFIDENCE = 4.0, 3.0


def _sharpness(
    following: float, slope: float, floor: float, differing: float, claimed: float
) -> float:
    """Return how much less is doubtful about the true class than about the label.

    Labels alone cannot tell a hard sample from one that people confused. Three signs speak
    for people: labels that are surely wrong follow the model's second thoughts; where they
    do, undoing the flips explains less than flips at random would; and labels differ more
    often than the model, however overconfident, can be wrong. The first counts for little
    where next to no disagreement outlasts confidence, as in a clean set with a weak model.

    Parameters
    ----------
    slope : float
        The second: above 1 as far as flips explain why labels are doubtful.
    floor, differing : float
        Shares of labels that are surely wrong and that differ from the prediction.
    claimed : float
        Share of predictions that are wrong by what the model says.
    """
    lasting = floor / max(differing, 1e-9)
    real = min(1.0, lasting / _REAL_FLOOR)
    by_following = float(_BY_FOLLOWING * max(following, 0.0) ** _FOLLOWING_POWER * real)
    unexplained = max(0.0, _SLOPE_OF_RANDOM_FLIPS * lasting - (slope - 1.0))
    follows = float(np.clip(following / _FULLY_FOLLOWING, 0.0, 1.0))
    by_spread = _BY_SPREAD * unexplained * follows**2
    beyond = (differing - floor) / (_OVERCONFIDENCE * max(claimed, 1e-6)) - 1.0
    by_claim = _BY_CLAIM * max(0.0, beyond)
    return min(
        min(_LEAST_SHARP + by_following, _MOST_BY_FOLLOWING) + by_spread + by_claim, _SHARPEST
    )


def _candidates_of_rows(columns_n: Ids, pred_probs_nk: AnyProbs, rows: Ids) -> tuple[Ids, Probs]:
    """Return the candidates of some rows, a block of which is read at a time."""
    spans = blocks(len(rows), pred_probs_nk.shape[1])
    parts = [candidates(columns_n[rows[span]], pred_probs_nk[rows[span]]) for span in spans]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _spread(rows: Ids, at_most: int) -> Ids:
    """Return rows at even distances, which also spreads them over data sorted by class."""
    if len(rows) <= at_most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, at_most).astype(np.int64)]
