"""Which labels on record look wrong: ranked by out-of-sample probabilities, then cut.

Shape suffixes: n labeled samples, d embedding dimensions, k classes, c checked samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.quality.settings import AuditConfig
from holdfast.records import Floats, Ids

Probs = NDArray[np.float64]
AnyProbs = NDArray[np.floating]
Mask = NDArray[np.bool_]

# Rows may miss 1 by so much: half precision does.
_SUM_TOLERANCE = 1e-2


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditReport:
    """What an audit found; rows are in the order of the labels given to it.

    Attributes
    ----------
    pred_probs_nk : ndarray of float, shape (N, K)
        Out-of-sample; rows sum to 1. The class prior is divided out of the probe's.
    class_ids_k : ndarray of int64, shape (K,)
        Class of each column, ascending: the classes that occur among the labels, or those
        that came with the probabilities.
    scores_n : ndarray of float64, shape (N,)
        What the ranking goes by, in [0, 1]; low = suspect.
    error_probs_n : ndarray of float64, shape (N,)
        Estimated probability that the label is wrong; high = suspect. In the order of the
        scores.
    suggested_n : ndarray of int64, shape (N,)
        Most probable class id.
    order_n : ndarray of int64, shape (N,)
        Rows, most suspect first. Empty when there is nothing to compare: no labels, or
        labels of a single class.
    num_errors : int
        Estimated number of wrong labels: the sum of `error_probs_n`.
    flagged_n : ndarray of bool, shape (N,)
        Labels above the cut. For people to look at, never to be dropped by a machine.
    flags_per_class_k : ndarray of int64, shape (K,)
        Flagged labels of each class on record.
    """

    pred_probs_nk: AnyProbs
    class_ids_k: Ids
    scores_n: Probs
    error_probs_n: Probs
    suggested_n: Ids
    order_n: Ids
    num_errors: int
    flagged_n: Mask
    flags_per_class_k: Ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What people found of labels drawn at random.

    Attributes
    ----------
    rows_c : ndarray of int64, shape (C,)
        Rows of the labels under audit, drawn without a look at any score.
    wrong_c : ndarray of bool, shape (C,)
        Whether the label was wrong.
    """

    rows_c: Ids
    wrong_c: Mask


def audit(
    given_n: Ids,
    embeddings_nd: Floats | None,
    *,
    config: AuditConfig,
    rng: np.random.Generator,
    groups_n: NDArray[Any] | None = None,
    pred_probs_nk: AnyProbs | None = None,
    class_ids_k: Ids | None = None,
    checked: Checked | None = None,
) -> AuditReport:
    """Rank labels by how little the other labels support them, and flag the most suspect.

    Probabilities that no label had a part in its own of are computed from embeddings
    (`out_of_sample`) or given. From them and the labels alone the noise is estimated
    (`label_noise`), which gives each label's probability of being wrong; where to cut
    follows (`cut`). Time and memory: those of `label_noise.judge` beside those
    of the probabilities.

    Parameters
    ----------
    given_n : ndarray of int64, shape (N,)
        Class ids on record.
    embeddings_nd : ndarray of float32, shape (N, D), or None
        Best from a network that has not memorized the labels under audit. Not read where
        `pred_probs_nk` is given.
    groups_n : ndarray, shape (N,), optional
        Samples of one group (a slide, a track) never judge each other.
    pred_probs_nk : ndarray of float, shape (N, K), optional
        Out-of-sample, from elsewhere; rows sum to 1. May be a memory map.
    class_ids_k : ndarray of int64, shape (K,), optional
        Class of each of its columns, ascending.
    checked : Checked, optional
        The random slice: corrects how many labels are taken to be wrong.

    Returns
    -------
    AuditReport
        With fewer than two classes all scores are 1.0 and `order_n` is empty.

    Raises
    ------
    ValueError
        If the arrays differ in length, a label has no column, or the probabilities are
        none.
    """
    lengths = [len(one) for one in (embeddings_nd, groups_n, pred_probs_nk) if one is not None]
    if any(length != len(given_n) for length in lengths):
        raise ValueError(
            f"{len(given_n)} labels need as many embeddings, groups and probabilities, not "
            f"{', '.join(map(str, lengths))}"
        )
    # Deferred: scikit-learn, faiss and scipy are heavy, and the recipe is read without them.
    if pred_probs_nk is not None:
        if class_ids_k is None:
            raise ValueError("pred_probs_nk needs class_ids_k: the class of each column")
        columns = _columns(given_n, class_ids_k)
        _check_probabilities(pred_probs_nk, len(class_ids_k))
    else:
        if embeddings_nd is None:
            raise ValueError("labels are audited by embeddings or by pred_probs_nk; none came")
        class_ids_k, columns = np.unique(given_n, return_inverse=True)
    if len(np.unique(columns)) < 2:
        return _nothing_to_compare(given_n, class_ids_k, pred_probs_nk)
    if pred_probs_nk is None:
        from holdfast.quality.out_of_sample import out_of_sample

        assert embeddings_nd is not None  # noqa: S101
        pred_probs_nk = out_of_sample(
            columns,
            embeddings_nd,
            groups_n,
            folds=config.folds,
            neighbors=config.neighbors,
            vote_share=config.vote_share,
            rng=rng,
        )
    return _report(columns, class_ids_k, pred_probs_nk, config, checked)


def _report(
    columns_n: Ids,
    class_ids_k: Ids,
    pred_probs_nk: AnyProbs,
    config: AuditConfig,
    checked: Checked | None,
) -> AuditReport:
    from holdfast.quality.cut import cut_for_budget, cut_for_f1, cut_for_precision, with_checked
    from holdfast.quality.label_noise import judge

    judged = judge(columns_n, pred_probs_nk)
    scores = judged.scores_n
    if config.ranking != "posterior":
        from holdfast.quality.confident_learning import label_scores

        scores = label_scores(columns_n, pred_probs_nk, config.ranking)
    error_probs = _in_order_of(scores, judged.error_probs_n)
    if checked is not None:
        error_probs = with_checked(error_probs, len(checked.rows_c), int(checked.wrong_c.sum()))
    order = np.argsort(scores, kind="stable")
    if config.cut == "budget":
        assert config.review_budget is not None  # noqa: S101
        flagged = cut_for_budget(order, config.review_budget)
    elif config.cut == "precision":
        assert config.precision is not None  # noqa: S101
        flagged = cut_for_precision(error_probs, config.precision)
    else:
        flagged = cut_for_f1(error_probs)
    return AuditReport(
        pred_probs_nk=pred_probs_nk,
        class_ids_k=class_ids_k,
        scores_n=scores,
        error_probs_n=error_probs,
        suggested_n=class_ids_k[judged.predicted_n],
        order_n=order,
        num_errors=round(float(error_probs.sum())),
        flagged_n=flagged,
        flags_per_class_k=np.bincount(columns_n[flagged], minlength=len(class_ids_k)),
    )


def _in_order_of(scores_n: Probs, error_probs_n: Probs) -> Probs:
    """Return the error probabilities as a falling function of the scores, by least squares.

    Their sum stays as it is.
    """
    from scipy.optimize import (  # type: ignore[import-untyped]  # ships no types
        isotonic_regression,
    )

    levels, place = np.unique(scores_n, return_inverse=True)
    counts = np.bincount(place, minlength=len(levels))
    means = np.bincount(place, weights=error_probs_n, minlength=len(levels)) / counts
    fitted = isotonic_regression(means, weights=counts, increasing=False).x
    return np.asarray(np.clip(fitted, 0.0, 1.0)[place])


def _columns(given_n: Ids, class_ids_k: Ids) -> Ids:
    columns = np.searchsorted(class_ids_k, given_n)
    known = (columns < len(class_ids_k)) & (
        class_ids_k[np.minimum(columns, len(class_ids_k) - 1)] == given_n
    )
    if not known.all():
        missing = np.unique(given_n[~known])
        raise ValueError(f"labels {missing[:5].tolist()} have no column among the probabilities")
    return np.asarray(columns)


def _check_probabilities(pred_probs_nk: AnyProbs, num_classes: int) -> None:
    from holdfast.quality.candidates import blocks

    if pred_probs_nk.ndim != 2 or pred_probs_nk.shape[1] != num_classes:
        raise ValueError(
            f"probabilities should have {num_classes} columns, one per class, but have the "
            f"shape {pred_probs_nk.shape}"
        )
    for span in blocks(*pred_probs_nk.shape):
        probs = pred_probs_nk[span]
        sums = probs.sum(axis=1, dtype=np.float64)
        good = (np.abs(sums - 1.0) <= _SUM_TOLERANCE) & (probs.min(axis=1) >= 0)
        if not good.all():
            row = int(np.argmin(good))
            raise ValueError(
                f"row {span.start + row} should hold probabilities that sum to 1, but sums to "
                f"{sums[row]:g} with a least value of {probs[row].min():g}"
            )


def _nothing_to_compare(
    given_n: Ids, class_ids_k: Ids, pred_probs_nk: AnyProbs | None
) -> AuditReport:
    num, num_classes = len(given_n), len(class_ids_k)
    return AuditReport(
        pred_probs_nk=np.ones((num, num_classes)) if pred_probs_nk is None else pred_probs_nk,
        class_ids_k=class_ids_k,
        scores_n=np.ones(num),
        error_probs_n=np.zeros(num),
        suggested_n=given_n.copy(),
        order_n=np.empty(0, np.int64),
        num_errors=0,
        flagged_n=np.zeros(num, np.bool_),
        flags_per_class_k=np.zeros(num_classes, np.int64),
    )
