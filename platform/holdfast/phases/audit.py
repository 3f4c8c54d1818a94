"""The audit: what is wrong with labels and images, in a round or at any other time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy.engine import Connection

from holdfast.model.neighbors import graph
from holdfast.phases.balancing import as_json, look
from holdfast.phases.describe import describe
from holdfast.phases.found import Found, as_findings, collect, counts
from holdfast.phases.image_audit import ACROSS, NEIGHBORS, ImageAudit, audit_images
from holdfast.phases.label_audit import LabelAudit, inspect_labels
from holdfast.phases.leaks import Leaks, find_leaks
from holdfast.phases.pool import Pool, read_pool
from holdfast.phases.turn import PhaseResult, Turn
from holdfast.query.relabel import Suspects
from holdfast.records import Changes, Ids
from holdfast.store import labels, rounds, samples

LABEL_ERROR = "label_error"
# Who moves copies of held-out samples out of training.
WHO = "audit"
# Pairs, groups and leaks that the ledger keeps of an audit, and the report shows.
KEPT = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """Everything an audit found.

    Attributes
    ----------
    labels : LabelAudit or None
        None without labels, or where nobody asked for it.
    images : ImageAudit or None
        None without images, or where nobody asked for it.
    leaks : Leaks
        Copies of held-out samples in training; none where nobody looked at the images.
    """

    labels: LabelAudit | None
    images: ImageAudit | None
    leaks: Leaks = field(default_factory=Leaks)

    def found(self) -> dict[str, Found]:
        """Return the findings of each kind that was looked for."""
        of_images: dict[str, Found] = {}
        if self.images is not None:
            across = self.leaks.found(self.images.found[ACROSS])
            of_images = {**self.images.found, ACROSS: across}
        if self.labels is None:
            return of_images
        return {LABEL_ERROR: as_found(self.labels.flagged()), **of_images}


def audit(turn: Turn) -> PhaseResult:
    """Rank the labels that hold, and look at the images when there are new ones.

    A finding about an image is recorded in the round that makes it first. Clear copies of
    held-out samples leave training for the quarantine; see `leaks.find_leaks`. Cost: see
    `inspect_labels` and `audit_images`; nothing compares all with all above 50,000 samples.
    """
    project = turn.project
    with project.ledger.read() as connection:
        newest = int(_all_ids(connection).max(initial=0))
        known = rounds.found_before(connection)
        seen = _images_seen(connection, turn.round_number - 1)
        balance = look(connection, project.config, turn.round_number)
    done = examine(turn, images=newest != seen.get("newest"))
    outcome: dict[str, object] = {"labels": 0, "suspects": 0, "estimated_errors": 0}
    outcome["balance"] = as_json(balance)
    suspects: dict[str, Found] = {}
    if done.labels is not None:
        moved = np.array(list(done.leaks.moved), np.int64)
        suspects[LABEL_ERROR] = as_found(worth_asking(turn, done.labels)).besides(moved)
        outcome |= labels_outcome(turn, done.labels)
        outcome["suspects"] = len(suspects[LABEL_ERROR])
    if done.images is None:
        outcome["images"] = seen
        return PhaseResult(changes=Changes(findings=as_findings(suspects, known)), outcome=outcome)
    outcome["images"] = {
        "round": turn.round_number,
        "newest": newest,
        **images_outcome(turn, done.images, done.leaks),
    }
    found = done.found() | suspects
    changes = Changes(
        findings=as_findings(found, known),
        quarantined=done.leaks.moved,
        quarantined_by=WHO,
    )
    return PhaseResult(changes=changes, outcome=outcome)


def examine(turn: Turn, *, label: bool = True, images: bool = True) -> Audit:
    """Audit labels, images or both as they are now; nothing is recorded in the ledger.

    What is measured of an image is kept beside the ledger, so that it is measured once.
    """
    project = turn.project
    with project.ledger.read() as connection:
        pool = read_pool(connection)
        all_ids = _all_ids(connection)
        held_out = samples.usable_ids(connection, "holdout")
        groups = samples.groups_of(connection, all_ids) if images else []
    table = pool.labeled
    found_in_labels = found_in_images = near = None
    leaks = Leaks()
    embeddings = describe(project, all_ids if images else table.sample_ids_n)
    if images and len(all_ids):
        near = graph(embeddings, max(NEIGHBORS, project.config.audit.neighbors))
    if label and len(table):
        # Labels are judged by labeled neighbors alone: those of all serve where all are labeled.
        shared = near if len(table) == len(all_ids) else None
        rows = np.searchsorted(all_ids, table.sample_ids_n) if images else slice(None)
        found_in_labels = inspect_labels(turn, pool, embeddings[rows], shared)
    if near is not None:
        found_in_images = audit_images(
            project,
            all_ids,
            _label_of(all_ids, pool),
            _numbers(groups),
            np.isin(all_ids, held_out),
            (near[0][:, :NEIGHBORS], near[1][:, :NEIGHBORS]),
            turn.rng("images"),
            turn.progress,
        )
        leaks = find_leaks(project, found_in_images, held_out, table)
    return Audit(labels=found_in_labels, images=found_in_images, leaks=leaks)


def as_found(suspects: Suspects) -> Found:
    """Return suspects as findings."""
    return collect(
        suspects.sample_ids_s,
        1.0 - suspects.error_probs_s,
        suspects.given_s,
        suspects.suggested_s,
    )


def worth_asking(turn: Turn, labels: LabelAudit) -> Suspects:
    """Return the labels that are worth an answer, most suspect first.

    Those whose probability of being wrong is high enough, as many as `floor_suspects` asks for
    at least; and where the pool cannot use up the budget, as many more as there are answers
    left.
    """
    config = turn.project.config.query
    worth = int((labels.suspects.error_probs_s >= config.suspect_threshold).sum())
    floor = math.ceil(config.floor_suspects * config.budget)
    return labels.suspects.first(max(worth, floor, config.budget - labels.num_unlabeled))


def labels_outcome(turn: Turn, done: LabelAudit) -> dict[str, object]:
    """Return what was found in the labels as JSON, nothing of it per sample."""
    with turn.project.ledger.read() as connection:
        names = labels.class_names(connection)
    flags = np.bincount(done.flagged().given_s, minlength=len(names))
    return {
        "labels": len(done.table),
        "estimated_errors": done.report.num_errors,
        "flagged_by_class": {names[k]: int(flags[k]) for k in np.flatnonzero(flags).tolist()},
        "confused": [
            asdict(pair) | {"first": names[pair.first], "second": names[pair.second]}
            for pair in done.pairs[:KEPT]
        ],
        "weak_groups": [
            {"name": one.name, "is_cluster": one.is_cluster} | asdict(one.found)
            for one in done.groups[:KEPT]
        ],
    }


def images_outcome(turn: Turn, done: ImageAudit, leaks: Leaks) -> dict[str, object]:
    """Return what was found in the images as JSON, nothing of it per sample."""
    return {
        "samples": len(done.sample_ids_n),
        "found": counts(done.found),
        "common": dict(done.common),
        "order": asdict(done.order) | {"dependent": done.order.dependent},
        "order_inside": asdict(done.order_inside) | {"dependent": done.order_inside.dependent},
        "sets_of_copies": done.copies.num_sets,
        "across_splits": {
            "sets": len(done.leaks),
            "examples": [leak_sources(turn, done, one) for one in done.leaks[:KEPT].tolist()],
            **leaks.as_json(),
        },
    }


def leak_sources(turn: Turn, done: ImageAudit, number: int) -> dict[str, list[str]]:
    """Return the files of one set of copies, by the side of the split they are on."""
    ids = done.sample_ids_n[done.copies.members(number)]
    with turn.project.ledger.read() as connection:
        held_out = np.isin(ids, samples.usable_ids(connection, "holdout"))
        return {
            "holdout": [Path(one).name for one in samples.sources_of(connection, ids[held_out])],
            "train": [Path(one).name for one in samples.sources_of(connection, ids[~held_out])],
        }


def _all_ids(connection: Connection) -> Ids:
    return np.union1d(
        samples.usable_ids(connection, "train"), samples.usable_ids(connection, "holdout")
    )


def _label_of(sample_ids_n: Ids, pool: Pool) -> Ids:
    found = np.full(len(sample_ids_n), -1, np.int64)
    _, here, there = np.intersect1d(
        sample_ids_n, pool.labeled.sample_ids_n, assume_unique=True, return_indices=True
    )
    found[here] = pool.labeled.class_ids_n[there]
    return found


def _numbers(groups: list[str | None]) -> Ids:
    """Return the number of each sample's group, -1 where it has none."""
    names = np.array([name or "" for name in groups])
    return np.where(names == "", -1, np.unique(names, return_inverse=True)[1])


def _images_seen(connection: Connection, round_number: int) -> Mapping[str, Any]:
    """Return what a round's audit said of the images; empty when it did not look."""
    for record in rounds.phases(connection, round_number):
        if record.phase == "audit":
            seen: Mapping[str, Any] = record.outcome.get("images", {})  # type: ignore[assignment]
            return seen
    return {}
