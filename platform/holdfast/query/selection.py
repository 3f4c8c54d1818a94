"""The samples of one query: uncertain ones of classes that lack labels, suspects, a random few.

Shape suffixes: n candidates, v those looked at closely, p picks, k classes, s suspects.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from holdfast.model.k_center import farthest_first
from holdfast.model.neighbors import distance_to_nearest
from holdfast.query.budget import QueryConfig, allocate
from holdfast.query.cold_start import typical_picks
from holdfast.query.diversity import balanced_picks
from holdfast.query.minority import class_weights
from holdfast.query.outlook import Outlook, look
from holdfast.query.quotas import Quotas, within_quotas
from holdfast.query.relabel import Suspects
from holdfast.query.strategy import (
    Candidates,
    CompositeStrategy,
    QueryStrategy,
    Scores,
    ranks,
    top_n,
)
from holdfast.records import AskReason, Ids, QueryItem

# Best scores among which picks are shared out, at least.
_SHORTLIST = 2048
# Probability of being wrong from which a label is asked about again when a query is as large
# as all labels before it; falls as labels become many.
_SURE = 0.7
# Exploring never falls below this part of its share: a new class may arrive any day.
_LEAST_EXPLORED = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Worth:
    """What an answer about each candidate looked at is worth, and why; in [0, 1].

    Attributes
    ----------
    score_v : ndarray of float64, shape (V,)
        Uncertainty times rarity.
    uncertainty_v : ndarray of float64, shape (V,)
        Score of the strategy.
    rarity_v : ndarray of float64, shape (V,)
        Mean weight of the classes that the candidate is taken for.
    novelty_v : ndarray of float64, shape (V,)
        Rank of the distance to what has a label.
    measures : mapping of str to ndarray of float64, shape (V,)
        What a strategy of several measures is made of.
    """

    score_v: Scores
    uncertainty_v: Scores
    rarity_v: Scores
    novelty_v: Scores
    measures: Mapping[str, Scores]


def select(
    candidates: Candidates,
    suspects: Suspects,
    *,
    strategy: QueryStrategy,
    config: QueryConfig,
    rng: np.random.Generator,
    reserve: int = 0,
    quotas: Quotas | None = None,
) -> tuple[QueryItem, ...]:
    """Choose what to ask this round, most valuable first within each reason.

    Parameters
    ----------
    candidates : Candidates
        The pool.
    suspects : Suspects
        Labeled samples worth asking about again; none of them in the pool.
    reserve : int
        Answers of the budget kept back for second opinions.
    quotas : Quotas or None
        Limits per class on the new samples that are not drawn at random.

    Returns
    -------
    tuple of QueryItem
        ``config.budget - reserve`` items, each sample once: suspects, uncertain, random.

    Raises
    ------
    PoolExhaustedError
        If the budget exceeds what can be asked about.

    Notes
    -----
    Cost: that of `outlook.look`, and O(picks^2 (k + d)) to share the picks out.
    """
    # While labels are few a new one teaches more than a corrected one, unless it is as good
    # as sure that the old one is wrong.
    least_suspect = _SURE * _news(config.budget, len(candidates.labeled_embeddings_md))
    shares = allocate(
        config,
        num_pool=len(candidates),
        num_suspects=len(suspects),
        num_worth=int((suspects.error_probs_s >= least_suspect).sum()),
        reserve=reserve,
    )
    # Drawn first and from the whole pool: what the other rules left over would be biased.
    random = rng.choice(len(candidates), shares.random, replace=False)
    outlook = look(
        candidates,
        shares.uncertain + shares.random,
        strategy=strategy,
        rare_power=config.rare_power,
        rng=rng,
        always=random,
    )
    worth = weigh(outlook, strategy=strategy, power=config.rare_power, rng=rng)
    drawn_v = np.isin(outlook.rows_v, random)
    open_v = np.flatnonzero(~drawn_v)
    picked = _picks(outlook, worth, open_v, shares.uncertain, config, rng)
    if quotas is not None:
        picked = _within(quotas, picked, candidates, outlook, worth, open_v, rng)
    return (
        *_suspect_items(suspects, shares.suspect),
        *_new_items(outlook, worth, picked, "uncertain"),
        *_new_items(outlook, worth, np.flatnonzero(drawn_v), "random"),
    )


def weigh(
    outlook: Outlook, *, strategy: QueryStrategy, power: float, rng: np.random.Generator
) -> Worth:
    """Score candidates: the strategy's score times how likely the class lacks labels.

    The strategy sees the mean of model's and neighbors' probabilities. Without either all
    scores are 0.
    """
    num = len(outlook.rows_v)
    away = distance_to_nearest(outlook.smooth_vd, outlook.smooth_md)
    novelty = ranks(away) if np.isfinite(away).all() else np.ones(num)
    measures: Mapping[str, Scores] = {}
    if not outlook.seen.has_model:
        nothing, plain = np.zeros(num), np.ones(num)
        return Worth(
            score_v=nothing,
            uncertainty_v=nothing,
            rarity_v=plain,
            novelty_v=novelty,
            measures=measures,
        )
    if isinstance(strategy, CompositeStrategy):
        measures = strategy.parts(outlook.seen, rng)
        uncertainty = strategy.combine(measures)
    else:
        uncertainty = strategy.scores(outlook.seen, rng)
    rarity = outlook.votes_vk @ class_weights(outlook.labeled_k, power)
    return Worth(
        score_v=uncertainty * rarity,
        uncertainty_v=uncertainty,
        rarity_v=rarity,
        novelty_v=novelty,
        measures=measures if len(measures) > 1 else {},
    )


def _picks(
    outlook: Outlook,
    worth: Worth,
    open_v: Ids,
    num_picks: int,
    config: QueryConfig,
    rng: np.random.Generator,
) -> Ids:
    """Return what scores high, then what lies far from all labels and these picks.

    Where nothing has a label yet, what is typical of the pool's clusters.
    """
    if not outlook.num_labeled and not outlook.seen.has_model:
        return open_v[typical_picks(outlook.seen.embeddings_nd[open_v], num_picks, rng)]
    news = _news(num_picks, outlook.num_labeled)
    share = config.share_explore * max(news, _LEAST_EXPLORED)
    num_far = math.ceil(share * num_picks) if outlook.seen.has_model else num_picks
    near = num_picks - num_far
    shortlist = open_v[
        top_n(worth.score_v[open_v], max(config.candidates_factor * near, _SHORTLIST), rng)
    ]
    if config.candidates_factor == 1:
        picked = shortlist[:near]
    else:
        picked = shortlist[
            balanced_picks(
                worth.uncertainty_v[shortlist],
                outlook.votes_vk[shortlist],
                outlook.places_vd[shortlist],
                near,
                labeled_k=outlook.labeled_k,
                power=config.rare_power,
                width=outlook.width * math.sqrt(news),
            )
        ]
    rest = open_v[~np.isin(open_v, picked)]
    labeled = np.concatenate([outlook.smooth_md, outlook.smooth_vd[picked]])
    far = farthest_first(
        outlook.smooth_vd[rest],
        num_far,
        distances_n=distance_to_nearest(outlook.smooth_vd[rest], labeled),
        weights_n=np.ones(len(rest)),
    )
    return np.concatenate([picked, rest[far]])


def _news(num_picks: int, num_labeled: int) -> float:
    """Return how large a query is beside the labels it adds to, in [0, 1]."""
    return min(num_picks / max(num_labeled, 1), 1.0)


def _within(
    quotas: Quotas,
    picked_p: Ids,
    candidates: Candidates,
    outlook: Outlook,
    worth: Worth,
    open_v: Ids,
    rng: np.random.Generator,
) -> Ids:
    """Exchange picks so that the quotas hold for what the model takes them for."""
    predicted_v = np.argmax(candidates.pred_probs_nk[outlook.rows_v[open_v]], axis=1)
    positions = np.searchsorted(open_v, picked_p)
    return open_v[within_quotas(positions, worth.score_v[open_v], predicted_v, quotas, rng)]


def _suspect_items(suspects: Suspects, num: int) -> tuple[QueryItem, ...]:
    return tuple(
        QueryItem(
            sample_id=int(suspects.sample_ids_s[i]),
            reason="suspect",
            score=float(suspects.error_probs_s[i]),
            parts={"error_probability": float(suspects.error_probs_s[i])},
            guess=int(suspects.suggested_s[i]),
            confidence=float(suspects.error_probs_s[i]),
        )
        for i in range(num)
    )


def _new_items(
    outlook: Outlook, worth: Worth, picked_p: Ids, reason: AskReason
) -> tuple[QueryItem, ...]:
    parts = {
        **worth.measures,
        "uncertainty": worth.uncertainty_v,
        "rarity": worth.rarity_v,
        "novelty": worth.novelty_v,
    }
    seen = outlook.seen
    items = []
    for row in picked_p.tolist():
        guess, confidence = None, 0.0
        if seen.has_model:
            column = int(np.argmax(seen.pred_probs_nk[row]))
            guess = int(seen.class_ids_k[column])
            confidence = float(seen.pred_probs_nk[row, column])
        items.append(
            QueryItem(
                sample_id=int(seen.sample_ids_n[row]),
                reason=reason,
                score=float(worth.score_v[row]),
                parts={name: float(values[row]) for name, values in parts.items()},
                guess=guess,
                confidence=confidence,
            )
        )
    return tuple(items)
