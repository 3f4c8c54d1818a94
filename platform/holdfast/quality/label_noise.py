"""How labels on record were made wrong, judged from labels and probabilities alone.

No truth, no rate of errors and no setting is needed. Everything runs in blocks of rows, so
probabilities may come from a memory map.

Shape suffixes: n samples, b samples of a block, k classes, m candidate classes of a sample
(the label on record first).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, softmax  # type: ignore[import-untyped]  # no types

from holdfast.quality.disagreement import Disagreement, survey, wrong_by_class
from holdfast.quality.flips import flip_shares
from holdfast.records import Ids

Probs = NDArray[np.float64]
AnyProbs = NDArray[np.floating]

# Entries of a block: 32 MiB of float64.
BLOCK_ENTRIES = 1 << 22
# Rows that slopes are fitted on hold at most this many candidates; two numbers are fitted.
FIT_ENTRIES = 1 << 20
# Classes that a sample is weighed between; a hundred classes lose nothing measurable by it.
CANDIDATES = 10
_LEAST = 1e-7  # probability: float32 says little below
_FITTING_STEPS = 30
_DECONVOLUTION_STEPS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelNoise:
    """A model of how labels became wrong, with what calibrates the probabilities.

    Attributes
    ----------
    flips_kk : ndarray of float64, shape (K, K)
        Probability that a sample of the row's class is given the column's label.
    slopes : tuple of float
        On log-probabilities: that make them predict the labels given, and that make them
        predict the true classes once flips are undone.
    following : float
        How far labels that are surely wrong follow the model's own second thoughts, about
        0 to 1: near 0 where labels are flipped at random, near 0.5 where people confuse
        what looks alike.
    sharpness : float
        Exponent on the probabilities of the true classes, at least 1: how much less is
        doubtful about the true class than about the label.
    """

    flips_kk: Probs
    slopes: tuple[float, float]
    following: float
    sharpness: float


def blocks(num_rows: int, num_columns: int) -> Iterator[slice]:
    """Cut rows into slices of about `BLOCK_ENTRIES` entries."""
    size = max(1, BLOCK_ENTRIES // max(num_columns, CANDIDATES**2))
    for start in range(0, num_rows, size):
        yield slice(start, min(start + size, num_rows))


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """What a model of noise says about each label.

    Attributes
    ----------
    scores_n : ndarray of float64, shape (N,)
        Probability that the label is right; low = suspect. Resolved finely near 0.
    predicted_n : ndarray of int64, shape (N,)
        Most probable column.
    noise : LabelNoise
        What it rests on.
    """

    scores_n: Probs
    predicted_n: Ids
    noise: LabelNoise


def judge(columns_n: Ids, pred_probs_nk: AnyProbs) -> Judgement:
    """Return the probability that each label is right, and the noise it rests on.

    1. Floors: among samples predicted as one class, the share of labels that disagree falls
       with confidence and levels off where only wrong labels are left
       (`disagreement.survey`). What the labels are there gives the flips.
    2. A slope on the log-probabilities makes them predict the labels given; the flips are
       then undone by a few steps of Richardson and Lucy; a second slope makes the result
       and the flips together predict the labels given.
    3. True classes are settled more often than labels are: the more wrong labels follow the
       model's second thoughts, the sharper the probabilities are made.
    4. With p the probabilities of the true class and T the flips, a label g is right with
       probability p_g T_gg / sum_i p_i T_ig.

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
    """
    seen = survey(columns_n, pred_probs_nk, blocks(*pred_probs_nk.shape))
    noise = estimate_noise(columns_n, pred_probs_nk, seen)
    scores_n = np.empty(len(columns_n))
    for span in blocks(*pred_probs_nk.shape):
        classes, logs = candidates(columns_n[span], pred_probs_nk[span])
        scores_n[span] = expit(-_log_odds(classes, logs, noise))
    return Judgement(scores_n=scores_n, predicted_n=seen.predicted_n, noise=noise)


def estimate_noise(columns_n: Ids, pred_probs_nk: AnyProbs, seen: Disagreement) -> LabelNoise:
    """Return the model of noise under which `judge` judges."""
    flips = flip_shares(wrong_by_class(columns_n, seen))
    flips *= seen.floors_k[:, None]
    np.fill_diagonal(flips, 1.0 - seen.floors_k)

    rows = _spread(np.arange(len(columns_n)), FIT_ENTRIES // CANDIDATES)
    classes, logs = candidates(columns_n[rows], pred_probs_nk[rows])
    sizes = _log_sizes(classes, len(flips))
    first = _slope(logs, sizes, None)
    local = _local_flips(classes, flips)
    second = _slope(_undo_flips(first * logs, sizes, local), sizes, local[:, :, 0])

    following = _following(columns_n, pred_probs_nk, seen, flips, (first, second))
    return LabelNoise(
        flips_kk=flips,
        slopes=(first, second),
        following=following,
        sharpness=_sharpness(following),
    )


def candidates(columns_b: Ids, probs_bk: AnyProbs) -> tuple[Ids, Probs]:
    """Return each sample's label and its most probable other classes, with log-probabilities.

    Returns
    -------
    ndarray of int64, shape (B, M)
        Columns: the label on record first. M is K, or less where K is above `CANDIDATES`:
        then the last candidate stands for all classes left over and its column is K.
    ndarray of float64, shape (B, M)
        For the classes left over, of their mean.
    """
    num_classes = probs_bk.shape[1]
    rows = np.arange(len(columns_b))
    others = np.array(probs_bk)
    others[rows, columns_b] = -1.0
    num_others = min(num_classes, CANDIDATES) - 1
    best = np.argpartition(others, -num_others, axis=1)[:, -num_others:]
    classes_bm = np.concatenate([columns_b[:, None], best], axis=1)
    probs_bm = np.take_along_axis(probs_bk, classes_bm, axis=1)
    if num_classes > CANDIDATES:
        np.put_along_axis(others, classes_bm, 0.0, axis=1)
        left = others.sum(axis=1, keepdims=True) / (num_classes - CANDIDATES)
        probs_bm = np.concatenate([probs_bm, left], axis=1)
        classes_bm = np.concatenate([classes_bm, np.full((len(rows), 1), num_classes)], axis=1)
    return classes_bm, np.log(np.maximum(probs_bm, _LEAST, dtype=np.float64))


def _log_odds(classes_bm: Ids, logs_bm: Probs, noise: LabelNoise) -> Probs:
    """Return the logarithm of the odds that each label is wrong."""
    sizes = _log_sizes(classes_bm, len(noise.flips_kk))
    local = _local_flips(classes_bm, noise.flips_kk)
    truths = _undo_flips(noise.slopes[0] * logs_bm, sizes, local)
    logits = noise.sharpness * noise.slopes[1] * truths + sizes
    weights = softmax(logits, axis=1) * local[:, :, 0]
    least = np.finfo(np.float64).tiny
    wrong = np.log(weights[:, 1:].sum(axis=1) + least)
    return np.asarray(wrong - np.log(weights[:, 0] + least))


def _log_sizes(classes_bm: Ids, num_classes: int) -> Probs:
    """Return the logarithm of how many classes each candidate stands for."""
    sizes = np.zeros(classes_bm.shape[1])
    if num_classes > CANDIDATES:
        sizes[-1] = np.log(num_classes - CANDIDATES)
    return sizes


def _local_flips(classes_bm: Ids, flips_kk: Probs) -> Probs:
    """Return the flips among each sample's candidates, shape (B, M, M)."""
    num_classes = len(flips_kk)
    if num_classes <= CANDIDATES:
        return np.asarray(flips_kk[classes_bm[:, :, None], classes_bm[:, None, :]])
    # One more class stands for those left over. It is reached by what is left of each row;
    # what leaves it is taken as the mean of all classes.
    padded = np.zeros((num_classes + 1, num_classes + 1))
    padded[:-1, :-1] = flips_kk
    padded[-1, :-1] = (flips_kk.sum(axis=0) - np.diag(flips_kk)) / (num_classes - 1)
    local = padded[classes_bm[:, :, None], classes_bm[:, None, :]]
    local[:, :, -1] = np.maximum(1.0 - local[:, :, :-1].sum(axis=2), 0.0)
    return np.asarray(local)


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


def _slope(logs_bm: Probs, sizes_m: Probs, reach_bm: Probs | None) -> float:
    """Return the factor on log-probabilities under which the labels are most likely.

    `reach_bm` is the probability that each candidate, if true, is given the label; None
    where the label is the class. Damped Newton steps.
    """
    slope = 1.0
    for _ in range(_FITTING_STEPS):
        probs = softmax(slope * logs_bm + sizes_m, axis=1)
        if reach_bm is None:
            target = logs_bm[:, 0]
        else:
            held = probs * reach_bm
            target = (held * logs_bm).sum(axis=1) / np.maximum(held.sum(axis=1), 1e-300)
        mean = (probs * logs_bm).sum(axis=1)
        gradient = float((target - mean).sum())
        curvature = float(((probs * logs_bm**2).sum(axis=1) - mean**2).sum()) + 1e-3
        slope = float(np.clip(slope + np.clip(gradient / curvature, -0.5, 0.5), 0.05, 8.0))
    return slope


# Labels that are surely wrong are looked for among the most confident quarter.
_SURE = 0.75
_FOLLOWING_GRID = np.linspace(-0.1, 1.5, 33)
_FOLLOWING_SPREAD = 0.5  # of the prior around 0
_FOLLOWING_ROWS = 20_000


def _following(
    columns_n: Ids,
    pred_probs_nk: AnyProbs,
    seen: Disagreement,
    flips_kk: Probs,
    slopes: tuple[float, float],
) -> float:
    """Return the exponent with which wrong labels follow the probabilities beside the flips.

    Among labels other than the predicted class, the likelihood of the one on record is
    taken as proportional to flips * probability ** exponent; each sample counts as far as
    its label is wrong rather than the prediction.
    """
    rows = np.flatnonzero((seen.predicted_n != columns_n) & (seen.ranks_n > _SURE))
    rows = _spread(rows, _FOLLOWING_ROWS)
    if not len(rows):
        return 0.0
    classes, logs = candidates(columns_n[rows], pred_probs_nk[rows])
    predicted = seen.predicted_n[rows]
    logits = slopes[0] * logs
    at = np.argmax(classes == predicted[:, None], axis=1)
    bias = np.log(_local_flips(classes, flips_kk)[np.arange(len(rows)), at] + 1e-12)
    bias[np.arange(len(rows)), at] = -np.inf
    weights = seen.wrong_shares(columns_n, rows)
    penalties = 0.5 * (_FOLLOWING_GRID / _FOLLOWING_SPREAD) ** 2
    gains = [
        float((weights * log_softmax(bias + power * logits, axis=1)[:, 0]).sum()) - penalty
        for power, penalty in zip(_FOLLOWING_GRID, penalties, strict=True)
    ]
    return float(_FOLLOWING_GRID[int(np.argmax(gains))])


def _sharpness(following: float) -> float:
    return 1.0 + min(10.0 * max(following, 0.0) ** 2, 2.0)


def _spread(rows: Ids, at_most: int) -> Ids:
    """Return rows at even distances, which also spreads them over data sorted by class."""
    if len(rows) <= at_most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, at_most).astype(np.int64)]
