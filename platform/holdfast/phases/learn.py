"""What to learn: snapshot, learn."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from holdfast.data import versions
from holdfast.data.stream import changed
from holdfast.failpoints import reach
from holdfast.learning.settings import LearningConfig
from holdfast.phases import scoring
from holdfast.phases.admission import drawn_for, material_of
from holdfast.phases.balancing import holding, settled
from holdfast.phases.tiers import doubts_of, make_tiers
from holdfast.phases.turn import PhaseResult, Turn, version_of
from holdfast.records import (
    Changes,
    Experience,
    Floats,
    Ids,
    LabelTable,
    ModelRecord,
)
from holdfast.store import (
    checkpoints,
    differences,
    held_labels,
    labels,
    models,
    rounds,
    synthetic,
)


def snapshot(turn: Turn) -> PhaseResult:
    """Make a new immutable dataset version, in three tiers, of the labels that hold now."""
    with turn.project.ledger.read() as connection:
        scope = labels.open_scope(connection)
        moment = held_labels.newest(connection)
        parent = models.newest_version(connection)
        before = 0 if parent is None else parent.version.moment or 0
        difference = versions.compare(differences.transitions(connection, before, moment.id))
        names = labels.class_names(connection)
    made = drawn_for(turn, scope, moment, len(names))
    told = None if made is None else made.as_json(names)
    said = {} if made is None else {"synthetic": told, "admitted": made.in_words(names)}
    config = replace(turn.project.config, learning=_learning(turn))
    with turn.project.ledger.read() as connection:
        tiers = make_tiers(connection, config, turn.round_number, scope, moment, told)
    outcome = {
        "labels": moment.num_labels,
        "digest": moment.digest,
        "added": sum(difference.added.values()),
        "changed": sum(difference.changed.values()),
        "removed": sum(difference.removed.values()),
    }
    return PhaseResult(
        changes=Changes(versions=tiers, synthetic=() if made is None else made.admitted),
        outcome=outcome | said,
    )


def _learning(turn: Turn) -> LearningConfig:
    """Return how this round learns: as the recipe says, and its triggers where they may act."""
    config = turn.project.config
    return settled(config.learning, holding(turn)) if config.balance.act else config.learning


def learn(turn: Turn) -> PhaseResult:
    """Teach the champion what changed since it last learned; the result is the candidate."""
    project = turn.project
    with project.ledger.read() as connection:
        version = version_of(turn)
        current = models.champion(connection)
        after = labels.resolve(connection, version.scope, "train")
        before = _no_labels()
        if current is not None:
            # Not the promotion's version: a rollback may pair a champion with later labels.
            known = models.version_learned(connection, current.champion)
            before = labels.resolve(connection, known.scope, "train")
        doubts = doubts_of(connection, turn.round_number)
        admitted = synthetic.of_version(connection, version.id)
        doubted_ever = {row.finding.sample_id for row in rounds.findings(connection)}
    parent = current.champion if current else None
    new_ids, withdrawn = changed(before, after)
    # A doubted exemplar is offered again, so that the buffer learns what it is worth now.
    offered = _union(new_ids, after, doubted_ever)
    reason = _nothing_to_learn(after, new_ids, withdrawn, parent)
    if reason:
        return PhaseResult(outcome={"model": None, "parent": parent, "skipped": reason})
    state = scoring.champion_state(project)
    stored = scoring.stored_images(project, offered)
    fits = math.prod(stored.shape) <= project.config.learning.memory_mib * 2**20
    rows = np.searchsorted(after.sample_ids_n, offered)
    experience = Experience(
        number=turn.round_number,
        sample_ids_n=offered,
        images_nchw=stored[:] if fits else stored,
        labels_n=after.class_ids_n[rows],
        weights_n=_trust(offered, after.verified_n[rows], doubts),
        withdrawn_ids=withdrawn,
        synthetic=material_of(project, admitted, after),
    )
    # Deferred: Avalanche takes 15 s to import, and a snapshot does not need it.
    from holdfast.learning.teaching import ContinualLearner

    settings = _learning(turn)
    learner = ContinualLearner(project.config.network, settings)
    progress = turn.progress
    learned = learner.learn(
        state,
        experience,
        turn.rng("learn"),
        None if progress is None else lambda done, total: progress("learning", done, total),
        project.snapshots,
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
            "class_balance": settings.imbalance.settled_balance,
            "augmented_classes": settings.augmentation.classes,
        }
        | ({"synthetic": len(admitted)} if admitted else {}),
    )


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
