"""The learning half of a round: snapshot, learn, evaluate, promote, report."""

from __future__ import annotations

from typing import Any

import numpy as np

from holdfast.catalog import load
from holdfast.data import versions
from holdfast.data.stream import changed
from holdfast.evaluation import gate
from holdfast.evaluation.metrics import measure, predict
from holdfast.failpoints import reach
from holdfast.phases import scoring
from holdfast.phases.summary import write_report
from holdfast.phases.turn import PhaseResult, Turn
from holdfast.project import Project
from holdfast.records import (
    Changes,
    DatasetVersion,
    Experience,
    Floats,
    Ids,
    LabelTable,
    ModelRecord,
    Promotion,
)
from holdfast.store import checkpoints, labels, models, rounds, samples
from holdfast.store.models import StoredVersion

# Verified holdout samples from which on unverified ones are left out of the comparison.
_ENOUGH_VERIFIED = 100


def snapshot(turn: Turn) -> PhaseResult:
    """Make a new immutable dataset version of the labels that hold now."""
    with turn.project.ledger.read() as connection:
        scope = labels.open_scope(connection)
        table = labels.resolve(connection, scope)
        parent = models.newest_version(connection)
        before = labels.resolve(connection, parent.scope) if parent else _no_labels()
        uids = samples.uids_of(connection, table.sample_ids_n)
        names = labels.class_names(connection)
    difference = versions.diff(before, table)
    version = DatasetVersion(
        round_number=turn.round_number,
        parent=parent.id if parent else None,
        watermark=scope.watermark,
        excluded=scope.excluded,
        digest=versions.digest(uids, table.class_ids_n, names),
        num_labels=len(table),
        recipe={"config": turn.project.config.digest()},
    )
    return PhaseResult(
        changes=Changes(version=version),
        outcome={
            "labels": len(table),
            "digest": version.digest,
            "added": sum(difference.added.values()),
            "changed": sum(difference.changed.values()),
            "removed": sum(difference.removed.values()),
        },
    )


def learn(turn: Turn) -> PhaseResult:
    """Teach the champion what changed since it last learned; the result is the candidate."""
    project = turn.project
    with project.ledger.read() as connection:
        version = _version(turn)
        current = models.champion(connection)
        after = labels.resolve(connection, version.scope, "train")
        before = _no_labels()
        if current is not None:
            known = models.version_by_id(connection, current.dataset_version)
            before = labels.resolve(connection, known.scope, "train")
        doubts = {
            row.finding.sample_id: row.finding.score
            for row in rounds.findings(connection, turn.round_number)
            if row.outcome != "confirmed"
        }
        doubted_ever = {row.finding.sample_id for row in rounds.findings(connection)}
    parent = current.champion if current else None
    new_ids, withdrawn = changed(before, after)
    # A doubted exemplar is offered again, so that the buffer learns what it is worth now.
    offered = _union(new_ids, after, doubted_ever)
    reason = _nothing_to_learn(after, new_ids, withdrawn, parent)
    if reason:
        return PhaseResult(outcome={"model": None, "parent": parent, "skipped": reason})
    state = scoring.champion_state(project)
    rows = np.searchsorted(after.sample_ids_n, offered)
    experience = Experience(
        number=turn.round_number,
        sample_ids_n=offered,
        images_nchw=scoring.read_images(project, offered),
        labels_n=after.class_ids_n[rows],
        weights_n=_trust(offered, after.verified_n[rows], doubts),
        withdrawn_ids=withdrawn,
    )
    learner = load("learning.strategy", project.config.learning.strategy)(
        project.config.network, project.config.learning
    )
    progress = turn.progress
    learned = learner.learn(
        state,
        experience,
        turn.rng("learn"),
        None if progress is None else lambda done, total: progress("learning", done, total),
    )
    reach("learn:learned")
    sha256 = checkpoints.save(project.models, learned.tensors, learned.header)
    reach("learn:saved")
    return PhaseResult(
        changes=Changes(
            model=ModelRecord(
                sha256=sha256,
                round_number=turn.round_number,
                parent=parent,
                dataset_version=version.id,
            )
        ),
        outcome={
            "model": sha256,
            "parent": parent,
            "samples": len(new_ids),
            "withdrawn": len(withdrawn),
            "classes": len(np.unique(after.class_ids_n)),
        },
    )


def evaluate(turn: Turn) -> PhaseResult:
    """Measure candidate and champion on the same holdout, and let the gate decide."""
    sha256 = turn.outcome("learn")["model"]
    if sha256 is None:
        return PhaseResult(outcome={"verdict": None})
    project, parent = turn.project, turn.outcome("learn")["parent"]
    with project.ledger.read() as connection:
        scope = _version(turn).scope
        holdout = labels.resolve(connection, scope, "holdout")
        trained = labels.resolve(connection, scope, "train")
        names = labels.class_names(connection)
    num_verified = int(holdout.verified_n.sum())
    kept = holdout.verified_n if num_verified >= _ENOUGH_VERIFIED else np.ones(len(holdout), bool)
    ids, truth = holdout.sample_ids_n[kept], holdout.class_ids_n[kept]
    measured: dict[str, Any] = {}
    predicted: dict[str, Ids] = {}
    for name, model in (("candidate", sha256), ("champion", parent)):
        if model is None or not len(ids):
            continue
        said = scoring.score(project, scoring.load_state(project, model), ids)
        predicted[name] = predict(said.pred_probs_nk, said.class_ids_k)
        measured[name] = measure(said.pred_probs_nk, said.class_ids_k, truth).to_json()
    nothing = np.zeros(0, np.int64)
    verdict = gate.decide(
        truth,
        predicted.get("candidate", nothing),
        None if parent is None else predicted.get("champion", nothing),
        counts_k=np.bincount(trained.class_ids_n, minlength=len(names)),
        class_names=names,
        config=project.config.gate,
        rng=turn.rng("gate"),
    )
    return PhaseResult(
        changes=Changes(metrics=(sha256, measured.get("candidate", {}))),
        outcome={
            "holdout": len(ids),
            "verified": num_verified,
            **measured,
            "verdict": verdict.to_json(),
        },
    )


def promote(turn: Turn) -> PhaseResult:
    """Carry out the gate's verdict by one compare-and-swap on the champion."""
    with turn.project.ledger.read() as connection:
        current = models.champion(connection)
        version = _version(turn)
    champion = current.champion if current else None
    learned = turn.outcome("learn")
    if champion != learned["parent"]:
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
    root: Project = turn.project
    return PhaseResult(
        outcome={
            "html": str(page.relative_to(root.root)),
            "json": str(data.relative_to(root.root)),
        }
    )


def _version(turn: Turn) -> StoredVersion:
    """Return the version this round's snapshot made."""
    with turn.project.ledger.read() as connection:
        version = models.newest_version(connection, turn.round_number)
    # INVARIANT: snapshot is done before anything here runs.
    assert version is not None  # noqa: S101
    return version


def _no_labels() -> LabelTable:
    empty = np.zeros(0, np.int64)
    return LabelTable(empty, empty, np.zeros(0, bool))


def _union(new_ids: Ids, after: LabelTable, doubted: set[int]) -> Ids:
    open_ids = after.sample_ids_n[~after.verified_n]
    again = open_ids[np.isin(open_ids, np.fromiter(doubted, np.int64, len(doubted)))]
    return np.union1d(new_ids, again)


def _trust(sample_ids_n: Ids, verified_n: np.ndarray[Any, Any], doubts: dict[int, float]) -> Floats:
    """Return how far each label is trusted: fully, unless the audit doubts it."""
    doubted = np.fromiter(doubts, np.int64, len(doubts))
    scores = np.fromiter(doubts.values(), np.float32, len(doubts))
    order = np.argsort(doubted)
    trust = np.ones(len(sample_ids_n), np.float32)
    if len(doubted):
        at = np.searchsorted(doubted[order], sample_ids_n).clip(max=len(doubted) - 1)
        hit = (doubted[order][at] == sample_ids_n) & ~verified_n
        trust[hit] = scores[order][at][hit]
    return trust


def _nothing_to_learn(
    after: LabelTable, new_ids: Ids, withdrawn: Ids, parent: str | None
) -> str | None:
    if len(np.unique(after.class_ids_n)) < 2:
        return "fewer than two classes have a label yet"
    if parent is not None and not len(new_ids) and not len(withdrawn):
        return "no label changed since the champion learned"
    return None
