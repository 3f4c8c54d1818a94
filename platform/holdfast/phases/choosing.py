"""Which samples a round asks about, before anybody is asked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from holdfast import catalog
from holdfast.errors import DayLimitError, PoolExhaustedError
from holdfast.phases import scoring
from holdfast.phases.audit import LABEL_ERROR
from holdfast.phases.balancing import raised
from holdfast.phases.confirming import confirming_items
from holdfast.phases.describe import PixelSpace
from holdfast.phases.gold import gold_items, mixed_in
from holdfast.phases.index import candidate_ids
from holdfast.phases.pool import Pool, read_pool
from holdfast.phases.turn import Turn
from holdfast.phases.worth import advise
from holdfast.project import Project
from holdfast.query.budget import QueryConfig
from holdfast.query.new_classes import propose_new_classes, with_proposals
from holdfast.query.quotas import quotas_of
from holdfast.query.relabel import Suspects
from holdfast.query.selection import select
from holdfast.query.stopping import StopAdvice
from holdfast.query.strategy import Candidates, Committee
from holdfast.records import Finding, Floats, Ids, QueryItem
from holdfast.store import intake, labels, queries, rounds

# What a person's answer settles; other findings are for whoever keeps the data.
_SUSPECT_KINDS = (LABEL_ERROR, intake.CONFLICT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What to ask, and what it may cost.

    Attributes
    ----------
    budget : int
        Answers the round may cost.
    reserve : int
        Answers of it kept back for second opinions.
    advice : StopAdvice
        Whether the round is worth its answers.
    strange : tuple of int
        Sizes of the groups in the pool that look like no known class, largest first.
    at_least : mapping of str to int
        New samples that are to look like a class, as the recipe and fired triggers want it.
    """

    items: tuple[QueryItem, ...]
    budget: int
    reserve: int
    advice: StopAdvice
    strange: tuple[int, ...]
    at_least: Mapping[str, int]


def choose(turn: Turn, findings: Iterable[Finding]) -> Choice:
    """Choose the samples whose answers are worth most; the same on every attempt.

    Parameters
    ----------
    findings : iterable of Finding
        What the round's audit found and nobody has settled yet.

    Raises
    ------
    PoolExhaustedError
        When nothing is left to ask about.
    DayLimitError
        When people were asked enough for today.
    """
    project = turn.project
    config = project.config
    with project.ledger.read() as connection:
        pool = read_pool(connection)
        names = labels.class_names(connection)
    suspects = _suspects(findings, pool)
    budget = min(config.query.budget + _unspent(turn), config.query.pool_limit)
    budget = _left_today(project, replace(config.query, budget=budget))
    budget = min(budget, len(pool.unlabeled_ids) + len(suspects))
    if not budget:
        raise PoolExhaustedError(config.query.budget, 0)
    gold = gold_items(turn, pool, math.floor(config.agreement.gold_share * budget))
    share = min(math.floor(config.query.share_holdout * budget), budget - len(gold) - 1)
    extra = gold + confirming_items(turn, pool, share)
    suspects = _besides(suspects, np.array([one.sample_id for one in extra], np.int64))
    reserve = min(
        math.ceil(config.agreement.reserve_share * budget), max(budget - len(extra) - 1, 0)
    )
    candidates = _candidates(turn, pool)
    asked = raised(turn, replace(config.query, budget=budget - len(extra)), names)
    items = select(
        candidates,
        suspects,
        strategy=catalog.load_strategy(config.query.strategy),
        config=asked,
        rng=turn.rng("query"),
        reserve=reserve,
        quotas=quotas_of(asked, names, candidates.class_ids_k),
    )
    proposals = propose_new_classes(candidates, turn.rng("new classes"))
    items = with_proposals(items, proposals, candidates)
    return Choice(
        items=mixed_in(items, extra, turn.rng("gold places")) if extra else items,
        budget=budget,
        reserve=reserve,
        advice=advise(turn, answers=budget, num_pool=len(pool.unlabeled_ids)),
        strange=tuple(len(one) for one in proposals),
        at_least=asked.at_least,
    )


def _suspects(findings: Iterable[Finding], pool: Pool) -> Suspects:
    """Return what can be asked about of the labels that look wrong, worst first, each once."""
    wrong = (one for one in findings if one.kind in _SUSPECT_KINDS)
    kept = sorted(wrong, key=lambda one: one.score)
    ids = np.array([one.sample_id for one in kept], np.int64)
    _, first = np.unique(ids, return_index=True)
    rows = np.sort(first[~np.isin(ids[first], pool.refused_ids)])
    chosen = [kept[row] for row in rows.tolist()]
    return Suspects(
        sample_ids_s=ids[rows],
        given_s=np.array([one.given for one in chosen], np.int64),
        suggested_s=np.array([one.suggested for one in chosen], np.int64),
        error_probs_s=np.array([1.0 - one.score for one in chosen], np.float64),
    )


def _besides(suspects: Suspects, asked_ids: Ids) -> Suspects:
    """Return the suspects that are not asked about for another reason."""
    rows = ~np.isin(suspects.sample_ids_s, asked_ids)
    return Suspects(
        sample_ids_s=suspects.sample_ids_s[rows],
        given_s=suspects.given_s[rows],
        suggested_s=suspects.suggested_s[rows],
        error_probs_s=suspects.error_probs_s[rows],
    )


def _left_today(project: Project, config: QueryConfig) -> int:
    """Return the answers that may be asked for now."""
    if not config.per_day:
        return config.budget
    day = timedelta(days=1)
    with project.ledger.read() as connection:
        since = (datetime.now(UTC) - day).isoformat(timespec="milliseconds")
        asked = queries.asked_since(connection, since)
    left = config.left_today(sum(number for _, number in asked))
    if not left:
        again = (datetime.fromisoformat(asked[0][0]) + day).astimezone()
        raise DayLimitError(config.per_day, again.strftime("%d %B %H:%M"))
    return left


def _unspent(turn: Turn) -> int:
    """Return the answers the round before had left over."""
    with turn.project.ledger.read() as connection:
        before = rounds.phases(connection, turn.round_number - 1)
    ends = [record.outcome for record in before if record.phase == "consensus"]
    return int(str(ends[-1].get("unspent", 0))) if ends else 0


def _candidates(turn: Turn, pool: Pool) -> Candidates:
    """Describe the unlabeled samples to the strategy; of very many, the part worth a look."""
    project = turn.project
    ids = candidate_ids(turn, pool)
    space = PixelSpace(project)
    probs, class_ids, committee = _opinions(turn, ids)
    labeled = pool.labeled
    size = max([*class_ids.tolist(), *labeled.class_ids_n.tolist()], default=-1) + 1
    return Candidates(
        sample_ids_n=ids,
        pred_probs_nk=probs,
        class_ids_k=class_ids,
        embeddings_nd=space.embed(ids),
        labeled_counts_k=np.bincount(labeled.class_ids_n, minlength=size)[class_ids],
        labeled_embeddings_md=space.embed(labeled.sample_ids_n),
        labeled_class_ids_m=labeled.class_ids_n,
        committee=committee,
    )


def _opinions(turn: Turn, ids: Ids) -> tuple[Floats, Ids, Committee | None]:
    """Return the champion's probabilities, its classes, and what its members differ about."""
    project = turn.project
    state = scoring.champion_state(project)
    if state is None:
        return np.zeros((len(ids), 0), np.float32), np.zeros(0, np.int64), None
    if not catalog.check_strategy(project.config.query.strategy).needs_committee:
        said = scoring.score(project, state, ids, turn.progress, keep_embeddings=False)
        return said.pred_probs_nk, said.class_ids_k, None
    members = scoring.score_as_committee(project, state, ids, turn.rng("committee"), turn.progress)
    committee = Committee(
        mean_probs_nk=members.mean_probs_nk,
        votes_nk=members.votes_nk,
        expected_entropy_n=members.expected_entropy_n,
        max_kl_n=members.max_kl_n,
    )
    return members.predictions.pred_probs_nk, members.predictions.class_ids_k, committee
