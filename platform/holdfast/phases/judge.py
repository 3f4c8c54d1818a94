"""Whether it is better: evaluate, promote, report."""

from __future__ import annotations

from typing import Any

import numpy as np

from holdfast.evaluation import gate
from holdfast.evaluation.holdout_predictions import HoldoutPredictions
from holdfast.evaluation.metrics import measure, predict
from holdfast.evaluation.retention import compare_rounds
from holdfast.phases import measured, scoring
from holdfast.phases.confirming import ENOUGH_VERIFIED
from holdfast.phases.summary import write_report
from holdfast.phases.turn import PhaseResult, Turn, version_of
from holdfast.records import Changes, Promotion
from holdfast.store import labels, models


def evaluate(turn: Turn) -> PhaseResult:
    """Measure candidate and champion on the same holdout, and let the gate decide."""
    # What the update put down on its way is of no use any more: it is in the ledger.
    turn.project.snapshots.clear()
    sha256 = turn.outcome("learn")["model"]
    if sha256 is None:
        return PhaseResult(outcome={"verdict": None})
    project, parent = turn.project, turn.outcome("learn")["parent"]
    version = version_of(turn)
    with project.ledger.read() as connection:
        holdout = labels.resolve(connection, version.scope, "holdout")
        trained = labels.resolve(connection, version.scope, "train")
        names = labels.class_names(connection)
        earlier = measured.by_round(connection, turn.round_number - 1)
    num_verified = int(holdout.verified_n.sum())
    kept = holdout.verified_n if num_verified >= ENOUGH_VERIFIED else np.ones(len(holdout), bool)
    ids, truth = holdout.sample_ids_n[kept], holdout.class_ids_n[kept]
    numbers: dict[str, Any] = {}
    said: dict[str, HoldoutPredictions] = {}
    for name, model in (("candidate", sha256), ("champion", parent)):
        if model is None or not len(ids):
            continue
        scored = scoring.score(project, scoring.load_state(project, model), ids)
        said[name] = HoldoutPredictions(
            dataset_version=version.id,
            known=tuple(scored.class_ids_k.tolist()),
            sample_ids_n=ids,
            predicted_n=predict(scored.pred_probs_nk, scored.class_ids_k),
        )
        rng = turn.rng(f"intervals of the {name}")
        numbers[name] = measure(scored.pred_probs_nk, scored.class_ids_k, truth, rng).to_json()
    if "candidate" in said:
        rounds = [*earlier.values(), said["candidate"]]
        pairs = compare_rounds(rounds, holdout.sample_ids_n, holdout.class_ids_n)
        rng = turn.rng("retention")
        numbers["candidate"] |= {
            "dataset_version": version.id,
            "forgetting": pairs.forgetting(rng).to_json(),
            "backward_transfer": pairs.backward_transfer(rng).to_json(),
        }
    verdict = gate.decide(
        truth,
        said["candidate"].predicted_n if said else ids,
        None if parent is None else said["champion"].predicted_n if said else ids,
        counts_k=np.bincount(trained.class_ids_n, minlength=len(names)),
        class_names=names,
        config=project.config.gate,
        rng=turn.rng("gate"),
    )
    return PhaseResult(
        changes=Changes(metrics=(sha256, numbers.get("candidate", {}))),
        outcome={
            "holdout": len(ids),
            "verified": num_verified,
            "dataset_version": version.id,
            **numbers,
            "predictions": {name: one.to_json() for name, one in said.items()},
            "verdict": verdict.to_json(),
        },
    )


def promote(turn: Turn) -> PhaseResult:
    """Carry out the gate's verdict by one compare-and-swap on the champion."""
    with turn.project.ledger.read() as connection:
        current = models.champion(connection)
        newest = models.newest_version(connection)
    version = version_of(turn)
    champion = current.champion if current else None
    learned = turn.outcome("learn")
    if champion != learned["parent"] or newest != version:
        # Somebody rolled back while this round was learning: learn again from there.
        return PhaseResult(outcome={"stale": learned["parent"]}, back_to="snapshot")
    verdict = turn.outcome("evaluate")["verdict"]
    outcome = {"promoted": False, "champion": champion, "dataset_version": version.id}
    if verdict is None or not verdict["promote"]:
        return PhaseResult(outcome=outcome)
    promotion = Promotion(
        round_number=turn.round_number,
        expected=champion,
        champion=learned["model"],
        dataset_version=version.id,
        kind="promote",
        verdict={"reason": verdict["reason"]},
        who="gate",
    )
    return PhaseResult(
        changes=Changes(promotion=promotion),
        outcome=outcome | {"promoted": True, "champion": learned["model"]},
    )


def report(turn: Turn) -> PhaseResult:
    """Write the round as a page for people and as JSON for programs."""
    page, data = write_report(turn.project, turn.round_number)
    root = turn.project.root
    return PhaseResult(
        outcome={"html": str(page.relative_to(root)), "json": str(data.relative_to(root))}
    )
