"""Groups of the pool that look like no class anybody has labeled: "none of these"?

Shape suffixes: n pool samples, m labeled, d embedding dimensions, k neighbors, p members of a
group, r representatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]  # ships no types
from scipy.sparse.csgraph import (  # type: ignore[import-untyped]  # ships no types
    connected_components,
)

from holdfast.model.k_center import farthest_first
from holdfast.model.neighbors import distance_to_nearest, graph
from holdfast.query.diversity import unit_length
from holdfast.query.strategy import Candidates
from holdfast.records import NEW_CLASS, Floats, Ids, QueryItem

# Chosen on long-tailed and balanced digits and MNIST with two classes withheld (4 seeds):
# with .8 or fewer neighbors far, or the .8 quantile, two to five times as many groups of
# known classes come along. Comparing directions raised the part of members that are of
# withheld classes from .66 to .78 on MNIST (mean of six settings).
NEIGHBORS = 10
FAR_QUANTILE = 0.9
FAR_SHARE = 0.9
# A smaller group is more often a few odd images than a class.
SMALLEST = 10
# A quantile of fewer distances says nothing.
FEWEST_LABELED = 10
# One new sample of so many may give way to a group's.
PROPOSED = 10
# Of a larger pool a random part is looked at.
LARGEST_POOL = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class NewClassProposal:
    """One group of pool samples that may be a class nobody has named.

    Attributes
    ----------
    rows_p : ndarray of int64, shape (P,)
        Positions among the candidates, ascending.
    representatives_r : ndarray of int64, shape (R,)
        Some of them to show: the one with the nearest neighbors first, then such as lie
        apart from those before.
    score : float
        How much farther the group lies from labeled samples than these from each other, in
        [0, 1); higher = stranger.
    """

    rows_p: Ids
    representatives_r: Ids
    score: float

    def __len__(self) -> int:
        return len(self.rows_p)


def propose_new_classes(
    candidates: Candidates, rng: np.random.Generator, *, num_representatives: int = 6
) -> tuple[NewClassProposal, ...]:
    """Find groups of pool samples far from everything labeled and close to each other.

    A sample is far when its nearest labeled sample is farther than 9 of 10 labeled samples'
    own nearest labeled one. Far samples whose neighbors are nearly all far lie in a region
    that nobody has labeled, where an odd image alone lies among others that are not. They
    and far samples beside them form a group where they are each other's neighbors. Nothing
    is read of the model, which cannot know a class it has not met, nor of the labels, which
    may be wrong.

    Time O(n² d + n m d) with n at most 20,000: of a larger pool a random part is looked at.

    Parameters
    ----------
    candidates : Candidates
        The pool; only embeddings are read.
    num_representatives : int
        Samples of a group to show, at least 1; fewer where it is smaller.

    Returns
    -------
    tuple of NewClassProposal
        Largest group first; none with fewer than `FEWEST_LABELED` labeled samples.

    References
    ----------
    .. [1] Ester et al., "A Density-Based Algorithm for Discovering Clusters in Large Spatial
       Databases with Noise", KDD 1996 (groups grown from inner samples).
    .. [2] Laxhammar and Falkman, "Conformal Prediction for Distribution-Independent Anomaly
       Detection in Streaming Vessel Data", 2010 (distances of the known as the yardstick).
    """
    if num_representatives < 1:
        raise ValueError(f"num_representatives should be at least 1, not {num_representatives}")
    labeled = candidates.labeled_embeddings_md
    num = min(len(candidates), LARGEST_POOL)
    if len(labeled) < FEWEST_LABELED or num <= NEIGHBORS:
        return ()
    rows: Ids = np.arange(len(candidates))
    if num < len(candidates):
        rows = np.sort(rng.choice(len(candidates), num, replace=False))
    pool, labeled = unit_length(candidates.embeddings_nd[rows]), unit_length(labeled)
    limit = float(np.quantile(graph(labeled, 1)[0][:, 0], FAR_QUANTILE))
    distances = distance_to_nearest(pool, labeled)
    near_distances, near = graph(pool, NEIGHBORS)
    members, groups = _groups(distances > limit, near)
    spread = near_distances.mean(axis=1)
    proposals = []
    for group in range(int(groups.max(initial=-1)) + 1):
        inside = members[groups == group]
        if len(inside) < SMALLEST:
            continue
        shown = inside[_apart(pool[inside], spread[inside], num_representatives)]
        score = 1.0 - limit / float(np.median(distances[inside]))
        proposals.append(
            NewClassProposal(rows_p=rows[inside], representatives_r=rows[shown], score=score)
        )
    return tuple(sorted(proposals, key=len, reverse=True))


def with_proposals(
    items: Sequence[QueryItem], proposals: Sequence[NewClassProposal], candidates: Candidates
) -> tuple[QueryItem, ...]:
    """Mark what is asked of groups, and ask about each group that would be passed over.

    The most typical sample of such a group takes the place of the new sample that is worth
    least, for at most a tenth of the new samples. Time O(items log members).

    Parameters
    ----------
    items : sequence of QueryItem
        Most valuable first within each reason.

    Returns
    -------
    tuple of QueryItem
        As many; those of a group have the part `NEW_CLASS`, the group's score.
    """
    asked = list(items)
    new = [place for place, item in enumerate(asked) if item.reason == "uncertain"]
    exchanged = -(-len(new) // PROPOSED)
    for proposal in proposals:
        member_ids = candidates.sample_ids_n[proposal.rows_p]
        inside = np.flatnonzero(np.isin([item.sample_id for item in asked], member_ids))
        for place in inside.tolist():
            asked[place] = _marked(asked[place], proposal.score)
        free = [place for place in new if NEW_CLASS not in asked[place].parts]
        if not len(inside) and exchanged and free:
            exchanged -= 1
            asked[free[-1]] = _first_of(proposal, candidates)
    return tuple(asked)


def _marked(item: QueryItem, score: float) -> QueryItem:
    return replace(item, parts={**item.parts, NEW_CLASS: score})


def _first_of(proposal: NewClassProposal, candidates: Candidates) -> QueryItem:
    row = int(proposal.representatives_r[0])
    guess, confidence = None, 0.0
    if candidates.has_model:
        column = int(candidates.pred_probs_nk[row].argmax())
        guess = int(candidates.class_ids_k[column])
        confidence = float(candidates.pred_probs_nk[row, column])
    return QueryItem(
        sample_id=int(candidates.sample_ids_n[row]),
        reason="uncertain",
        score=proposal.score,
        parts={NEW_CLASS: proposal.score},
        guess=guess,
        confidence=confidence,
    )


def _groups(far_n: NDArray[np.bool_], near_nk: Ids) -> tuple[Ids, Ids]:
    """Return members of groups, ascending, and the group of each."""
    num, k = near_nk.shape
    core_n = far_n & (far_n[near_nk].mean(axis=1) >= FAR_SHARE)
    starts, ends = np.repeat(np.arange(num), k), near_nk.ravel()
    links = sparse.csr_matrix((np.ones(num * k, np.bool_), (starts, ends)), shape=(num, num))
    mutual = links.multiply(links.T).tocoo()
    # Two that are not inner samples do not join groups: a chain of odd images would.
    kept = far_n[mutual.row] & far_n[mutual.col] & (core_n[mutual.row] | core_n[mutual.col])
    edges = (mutual.data[kept], (mutual.row[kept], mutual.col[kept]))
    _, group_n = connected_components(sparse.csr_matrix(edges, shape=(num, num)), directed=False)
    grown = np.isin(group_n, group_n[core_n])
    members = np.flatnonzero(grown)
    return members, np.unique(group_n[members], return_inverse=True)[1]


def _apart(embeddings_pd: Floats, spread_p: Floats, num: int) -> Ids:
    """Return rows to show: the most typical, then such as lie apart."""
    first = int(np.argmin(spread_p))
    rest = farthest_first(
        embeddings_pd,
        min(num, len(embeddings_pd)) - 1,
        distances_n=distance_to_nearest(embeddings_pd, embeddings_pd[[first]]),
        weights_n=np.ones(len(embeddings_pd)),
    )
    return np.concatenate([[first], rest])
