"""The audit of a round: which labels on record look wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from holdfast.phases.describe import describe
from holdfast.phases.pool import Pool, read_pool
from holdfast.phases.turn import PhaseResult, Turn
from holdfast.quality.audit import audit as audit_labels
from holdfast.query.relabel import Suspects, rank_suspects
from holdfast.records import Changes, Finding, Ids
from holdfast.store import samples

LABEL_ERROR = "label_error"


def audit(turn: Turn) -> PhaseResult:
    """Rank the labels that hold by how little the others support them."""
    project = turn.project
    with project.ledger.read() as connection:
        pool = read_pool(connection)
        groups = samples.groups_of(connection, pool.labeled.sample_ids_n)
    table = pool.labeled
    if not len(table):
        return PhaseResult(outcome={"labels": len(table), "suspects": 0, "estimated_errors": 0})
    found = audit_labels(
        table.class_ids_n,
        describe(project, table.sample_ids_n),
        config=project.config.audit,
        rng=turn.rng("audit"),
        groups_n=_group_keys(groups, table.sample_ids_n),
    )
    open_n = ~np.isin(table.sample_ids_n, pool.refused_ids)
    suspects = rank_suspects(
        table.sample_ids_n[open_n],
        table.class_ids_n[open_n],
        found.suggested_n[open_n],
        found.error_probs_n[open_n],
        table.verified_n[open_n],
        threshold=0.0,
    )
    suspects = suspects.first(_num_suspects(turn, pool, suspects))
    findings = tuple(
        Finding(
            sample_id=sample_id,
            kind=LABEL_ERROR,
            score=1.0 - error_prob,
            given=given,
            suggested=suggested,
        )
        for sample_id, given, suggested, error_prob in zip(
            suspects.sample_ids_s.tolist(),
            suspects.given_s.tolist(),
            suspects.suggested_s.tolist(),
            suspects.error_probs_s.tolist(),
            strict=True,
        )
    )
    return PhaseResult(
        changes=Changes(findings=findings),
        outcome={
            "labels": len(table),
            "suspects": len(findings),
            "estimated_errors": found.num_errors,
        },
    )


def _num_suspects(turn: Turn, pool: Pool, ranked: Suspects) -> int:
    """Return how many of the ranked labels are suspects.

    Those whose probability of being wrong is worth an answer; and where the pool cannot
    use up the budget, as many more as there are answers left.
    """
    config = turn.project.config.query
    worth = int((ranked.error_probs_s >= config.suspect_threshold).sum())
    return max(worth, config.budget - len(pool.unlabeled_ids))


def _group_keys(groups: list[str | None], sample_ids_n: Ids) -> NDArray[np.str_] | None:
    """Return one key per sample, equal within a group; None when nobody has a group."""
    if not any(groups):
        return None
    ids = sample_ids_n.tolist()
    return np.array([group or f"\0{one}" for group, one in zip(groups, ids, strict=True)])
