"""What model and neighbors together say of the candidates that are looked at closely.

Shape suffixes: n candidates, v those looked at, k classes that the model knows or that have
a label, m labeled samples, d embedding dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from holdfast.query.minority import expected_rarity
from holdfast.query.propagation import neighborhood, votes
from holdfast.query.strategy import Candidates, Committee, QueryStrategy, Scores
from holdfast.records import Floats, Ids

# Candidates that are looked at closely, at most, and labeled samples beside them: a graph of
# so many takes 2 s at 256 dimensions on 2 cores.
MOST_CANDIDATES = 16_384
MOST_LABELED = 4_096
# Labels that a class without any counts as.
_NONE = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """Candidates looked at closely.

    Attributes
    ----------
    rows_v : ndarray of int64, shape (V,)
        Their positions among all candidates, ascending.
    seen : Candidates
        The same; probabilities are the mean of model's and neighbors'.
    votes_vk : ndarray of float32, shape (V, K)
        Neighbors' votes alone: what the candidates are taken for. Rows sum to 1.
    labeled_k : ndarray of float64, shape (K,)
        Labels per class, as far as the neighbors believe them; at least 0.5.
    places_vd : ndarray of float32, shape (V, D)
        Where candidates lie, for distances between them.
    smooth_vd, smooth_md : ndarray of float32, shape (V, D) and (M, D)
        Where the surroundings of candidates and of labeled samples lie.
    width : float
        Distance within which samples are close.
    num_labeled : int
        Labeled samples, those left out included.
    """

    rows_v: Ids
    seen: Candidates
    votes_vk: Floats
    labeled_k: Scores
    places_vd: Floats
    smooth_vd: Floats
    smooth_md: Floats
    width: float
    num_labeled: int


def look(
    candidates: Candidates,
    num_wanted: int,
    *,
    strategy: QueryStrategy,
    rare_power: float,
    rng: np.random.Generator,
    always: Ids | None = None,
) -> Outlook:
    """Ask the model and the neighbors what candidates are.

    Of more than `MOST_CANDIDATES`, or 4 times those wanted where that is more, half are
    those that the strategy, times how likely the model takes them for rare, scores highest,
    and half are drawn at random: the model knows nothing of a class it has never met.

    Parameters
    ----------
    num_wanted : int
        Candidates to be picked.
    always : ndarray of int64 or None
        Positions that are looked at whatever they score.

    Notes
    -----
    Cost: the strategy on all candidates and O(n k) where there are more than are looked at;
    then that of `propagation.neighborhood` and `propagation.votes` for V + M samples, M at
    most 4,096. No copy of what all candidates are described by.
    """
    most = max(MOST_CANDIDATES, 4 * num_wanted)
    rows = _looked_at(candidates, most, strategy, rare_power, rng)
    if always is not None:
        rows = np.union1d(rows, always)
    seen = candidates.take(rows)
    labeled, columns, class_ids = _labeled(candidates, rng)
    places = np.concatenate([seen.embeddings_nd, candidates.labeled_embeddings_md[labeled]])
    around = neighborhood(places)
    num, known = len(rows), np.searchsorted(class_ids, candidates.class_ids_k)
    said = _widened(seen.pred_probs_nk, known, len(class_ids))
    if candidates.labeled_class_ids_m is not None and len(columns):
        voted = votes(around, num + np.arange(len(columns)), columns, len(class_ids)).probs_nk
        heard, own = voted[:num], voted[num:]
        blended = 0.5 * (said + heard) if candidates.has_model else heard
        labeled_k = _stand_for(candidates.labeled_class_ids_m, columns, class_ids) @ own
    else:
        heard = blended = said
        labeled_k = np.zeros(len(class_ids))
        labeled_k[known] = candidates.labeled_counts_k
    committee = seen.committee
    if committee is not None:
        committee = replace(
            committee,
            mean_probs_nk=_widened(committee.mean_probs_nk, known, len(class_ids)),
            votes_nk=_widened(committee.votes_nk, known, len(class_ids)),
        )
    elif not candidates.has_model and len(class_ids):
        # Before the first model only the neighbors have an opinion.
        committee = Committee.of_one(blended)
    return Outlook(
        rows_v=rows,
        seen=Candidates(
            sample_ids_n=seen.sample_ids_n,
            pred_probs_nk=blended,
            class_ids_k=class_ids,
            embeddings_nd=seen.embeddings_nd,
            labeled_counts_k=np.rint(labeled_k).astype(np.int64),
            labeled_embeddings_md=candidates.labeled_embeddings_md,
            labeled_class_ids_m=candidates.labeled_class_ids_m,
            committee=committee,
        ),
        votes_vk=heard,
        labeled_k=np.maximum(labeled_k, _NONE, dtype=np.float64),
        places_vd=places[:num],
        smooth_vd=around.smooth_nd[:num],
        smooth_md=around.smooth_nd[num:],
        width=around.width,
        num_labeled=len(candidates.labeled_embeddings_md),
    )


def _looked_at(
    candidates: Candidates,
    most: int,
    strategy: QueryStrategy,
    rare_power: float,
    rng: np.random.Generator,
) -> Ids:
    num = len(candidates)
    if num <= most:
        return np.arange(num)
    drawn = rng.choice(num, most, replace=False)
    if not candidates.has_model:
        return np.sort(drawn)
    scores = strategy.scores(candidates, rng) * expected_rarity(candidates, rare_power)
    best = np.argpartition(scores, num - most // 2)[num - most // 2 :]
    fresh = drawn[~np.isin(drawn, best)]
    return np.sort(np.concatenate([best, fresh[: most - len(best)]]))


def _labeled(candidates: Candidates, rng: np.random.Generator) -> tuple[Ids, Ids, Ids]:
    """Return rows of labeled samples to look at, columns of those that vote, and class ids."""
    labels = candidates.labeled_class_ids_m
    if labels is None:
        rows = rng.permutation(len(candidates.labeled_embeddings_md))[:MOST_LABELED]
        return rows, np.empty(0, np.int64), np.sort(candidates.class_ids_k)
    rows = np.arange(len(labels))
    if len(rows) > MOST_LABELED:
        # One of each class in turn, so that rare classes keep all their voices.
        rows = rng.permutation(rows)
        by_class = rows[np.argsort(labels[rows], kind="stable")]
        _, starts, sizes = np.unique(labels[by_class], return_index=True, return_counts=True)
        place = np.arange(len(rows)) - np.repeat(starts, sizes)
        rows = by_class[np.argsort(place, kind="stable")][:MOST_LABELED]
    class_ids = np.union1d(candidates.class_ids_k, labels)
    return rows, np.searchsorted(class_ids, labels[rows]), class_ids


def _stand_for(labels_n: Ids, columns_m: Ids, class_ids_k: Ids) -> Scores:
    """Return how many labels of its class each label that votes stands for, itself included."""
    num_classes = len(class_ids_k)
    counts_k = np.bincount(np.searchsorted(class_ids_k, labels_n), minlength=num_classes)
    voting_k = np.maximum(np.bincount(columns_m, minlength=num_classes), 1)
    return np.asarray((counts_k / voting_k)[columns_m])


def _widened(
    values_vk: NDArray[np.floating], columns: Ids, num_columns: int
) -> NDArray[np.floating]:
    wide = np.zeros((len(values_vk), num_columns), values_vk.dtype)
    wide[:, columns] = values_vk
    return wide
