"""Which labels on record look wrong: out-of-sample probabilities, scored and ranked.

Shape suffixes: n labeled samples, d embedding dimensions, k classes with a label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import ConfigError
from holdfast.records import Floats, Ids

if TYPE_CHECKING:
    from holdfast.quality.confident_learning import LabelQuality

Probs = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditConfig:
    """How labels on record are checked.

    Attributes
    ----------
    folds : int
        Parts of the cross-validation, 2 to 20.
    neighbors : int
        Nearest labeled samples that vote on each label, at least 1.
    vote_share : float
        Weight of the neighbors' vote beside the linear probe, in [0, 1].
    """

    folds: int = 5
    neighbors: int = 10
    vote_share: float = 0.5

    def __post_init__(self) -> None:
        if not 2 <= self.folds <= 20:
            raise ConfigError(
                f"audit.folds should lie between 2 and 20, not {self.folds}; 5 suits most sets"
            )
        if self.neighbors < 1:
            raise ConfigError(
                f"audit.neighbors should be at least 1, not {self.neighbors}; 10 suits most sets"
            )
        if not 0.0 <= self.vote_share <= 1.0:
            raise ConfigError(
                f"audit.vote_share should lie between 0 and 1, not {self.vote_share}; "
                "0.5 weighs probe and neighbors alike"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditReport:
    """What an audit found; rows are in the order of the labels given to it.

    Attributes
    ----------
    pred_probs_nk : ndarray of float64, shape (N, K)
        Out-of-sample, class prior divided out; rows sum to 1.
    class_ids_k : ndarray of int64, shape (K,)
        Class of each column, ascending: the classes that occur among the labels.
    scores_n : ndarray of float64, shape (N,)
        Self-confidence in [0, 1]; low = suspect.
    error_probs_n : ndarray of float64, shape (N,)
        Estimated probability that the label is wrong; high = suspect. Sums to the number
        of errors that confident learning estimates.
    suggested_n : ndarray of int64, shape (N,)
        Most probable class id.
    order_n : ndarray of int64, shape (N,)
        Rows, most suspect first. Empty when there is nothing to compare: no labels, or
        labels of a single class.
    num_errors : int
        Estimated number of wrong labels.
    """

    pred_probs_nk: Probs
    class_ids_k: Ids
    scores_n: Probs
    error_probs_n: Probs
    suggested_n: Ids
    order_n: Ids
    num_errors: int


def audit(
    given_n: Ids,
    embeddings_nd: Floats,
    *,
    config: AuditConfig,
    rng: np.random.Generator,
    groups_n: NDArray[Any] | None = None,
) -> AuditReport:
    """Rank labels by how little the other labels support them.

    A linear probe is cross-validated twice, the second time trusting each label as far as
    the first pass did, so that wrong labels stop speaking for each other. It is averaged
    with a vote of the nearest samples, which needs no training and holds where a class
    has a handful of samples. Confident learning then scores the labels and estimates how
    many are wrong. Time O(n k d) for the probe and O(n^2 d) for the vote up to
    `neighbors.EXACT_LIMIT` samples, O(n sqrt(n) d) above.

    Parameters
    ----------
    given_n : ndarray of int64, shape (N,)
        Class ids on record.
    embeddings_nd : ndarray of float32, shape (N, D)
        Best from a network that has not memorized the labels under audit.
    groups_n : ndarray, shape (N,), optional
        Samples of one group (a slide, a track) never judge each other.

    Returns
    -------
    AuditReport
        With fewer than two classes all scores are 1.0 and `order_n` is empty.

    Raises
    ------
    ValueError
        If the arrays differ in length.
    """
    if len(embeddings_nd) != len(given_n) or (
        groups_n is not None and len(groups_n) != len(given_n)
    ):
        raise ValueError(
            f"{len(given_n)} labels need as many embeddings and groups, not {len(embeddings_nd)}"
            f" and {len(given_n) if groups_n is None else len(groups_n)}"
        )
    # Deferred: scikit-learn, faiss and cleanlab are heavy, and the config stands here.
    from holdfast.quality.out_of_sample import out_of_sample

    class_ids, columns = np.unique(given_n, return_inverse=True)
    if len(class_ids) < 2:
        return _nothing_to_compare(given_n, class_ids)

    pred_probs = out_of_sample(
        columns,
        embeddings_nd,
        groups_n,
        folds=config.folds,
        neighbors=config.neighbors,
        vote_share=config.vote_share,
        rng=rng,
    )
    return _report(columns, class_ids, pred_probs)


def _report(columns_n: Ids, class_ids_k: Ids, pred_probs_nk: Probs) -> AuditReport:
    from holdfast.quality.confident_learning import inspect_labels

    quality: LabelQuality = inspect_labels(columns_n, pred_probs_nk)
    return AuditReport(
        pred_probs_nk=pred_probs_nk,
        class_ids_k=class_ids_k,
        scores_n=quality.scores_n,
        error_probs_n=error_probabilities(quality.scores_n, quality.num_errors),
        suggested_n=class_ids_k[np.argmax(pred_probs_nk, axis=1)],
        order_n=np.argsort(quality.scores_n, kind="stable"),
        num_errors=quality.num_errors,
    )


def error_probabilities(scores_n: Probs, num_errors: int) -> Probs:
    """Turn scores into probabilities of being wrong whose sum is the estimated number.

    The odds ``(1 - score) / score`` are multiplied by one factor for all samples, found by
    bisection, so the ranking stays as it is. Time O(n).

    Examples
    --------
    >>> probs = error_probabilities(np.array([0.1, 0.9, 0.95]), 1)
    >>> round(float(probs.sum()), 6), bool(probs[0] > probs[1])
    (1.0, True)
    """
    if num_errors <= 0:
        return np.zeros(len(scores_n))
    if num_errors >= len(scores_n):
        return np.ones(len(scores_n))
    clipped = np.clip(scores_n, 1e-6, 1.0 - 1e-6)
    log_odds = np.log1p(-clipped) - np.log(clipped)
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        if (1.0 / (1.0 + np.exp(-(log_odds + middle)))).sum() < num_errors:
            low = middle
        else:
            high = middle
    return np.asarray(1.0 / (1.0 + np.exp(-(log_odds + low))))


def _nothing_to_compare(given_n: Ids, class_ids_k: Ids) -> AuditReport:
    return AuditReport(
        pred_probs_nk=np.ones((len(given_n), len(class_ids_k))),
        class_ids_k=class_ids_k,
        scores_n=np.ones(len(given_n)),
        error_probs_n=np.zeros(len(given_n)),
        suggested_n=given_n.copy(),
        order_n=np.empty(0, np.int64),
        num_errors=0,
    )
