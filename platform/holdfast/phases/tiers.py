"""The three tiers of a dataset version: labels, how images are changed, what is drawn."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict

from sqlalchemy.engine import Connection

from holdfast.config import Config
from holdfast.records import DatasetVersion
from holdfast.store import models, quarantine, rounds
from holdfast.store.held_labels import Moment
from holdfast.store.label_rule import Scope

# Settings that say which samples are drawn how often; the loss weighs them.
_SAMPLING = ("sampling", "class_balance", "two_stage", "early_stopping")
_REPLAY = ("strategy", "passes", "batch_size", "replay_share", "rehearsal", "stream")


def make_tiers(
    connection: Connection,
    config: Config,
    round_number: int,
    scope: Scope,
    moment: Moment,
    synthetic: Mapping[str, object] | None = None,
) -> tuple[DatasetVersion, ...]:
    """Return the raw, augmented and training version of a round; each parent of the next.

    All three name the same labels; they are rows of a table, and copy nothing. With a
    version's recipe, the labels of its moment and the project's configuration, what the
    learner was shown can be drawn again bit for bit.

    Parameters
    ----------
    scope, moment
        The labels that hold, and what they come to.
    synthetic : mapping or None
        What the augmented version records of generated images; None where they are off.
    """
    parent = models.newest_version(connection, tier="raw")
    labels = {
        "round_number": round_number,
        "watermark": scope.watermark,
        "excluded": scope.excluded,
        "moment": moment.id,
        "digest": moment.digest,
        "num_labels": moment.num_labels,
    }
    doubts = doubts_of(connection, round_number)
    recipes = (
        ("raw", {"config": config.digest()}),
        ("augmented", _policy(config, round_number) | _generated(synthetic)),
        ("training", _drawing(config, doubts) | {"exclusions": _exclusions(connection, scope)}),
    )
    return tuple(
        DatasetVersion(
            tier=tier,  # type: ignore[arg-type]  # one of three literals above
            parent=parent.id if parent is not None and tier == "raw" else None,
            recipe=recipe,
            **labels,  # type: ignore[arg-type]  # values of several types
        )
        for tier, recipe in recipes
    )


def doubts_of(connection: Connection, round_number: int) -> dict[int, float]:
    """Return how far each doubted label is trusted in a round, in [0, 1]; low = doubtful."""
    return {
        row.finding.sample_id: row.finding.score
        for row in rounds.findings(connection, round_number)
        if row.outcome != "confirmed"
    }


def _policy(config: Config, round_number: int) -> dict[str, object]:
    """Return how images are changed, and the seed of the draws."""
    learning = asdict(config.learning)
    return {
        "policy": {name: value for name, value in learning.items() if name.startswith("augment")},
        "image_size": config.data.image_size,
        "channels": config.data.channels,
        "seed": {"seed": config.seed, "place": "learn", "round": round_number},
    }


def _generated(synthetic: Mapping[str, object] | None) -> dict[str, object]:
    return {} if synthetic is None else {"synthetic": dict(synthetic)}


def _drawing(config: Config, doubts: Mapping[int, float]) -> dict[str, object]:
    """Return which samples are drawn how often, and what each counts."""
    learning = config.learning
    text = json.dumps(sorted(doubts.items())).encode()
    return {
        "config": config.digest(),
        "sampling": {name: getattr(learning.imbalance, name) for name in _SAMPLING}
        | {name: getattr(learning, name) for name in _REPLAY},
        "buffer": asdict(learning.buffer),
        "weights": {
            "loss": learning.imbalance.loss,
            "doubted": len(doubts),
            "trust_in_doubted": hashlib.sha256(text).hexdigest(),
        },
    }


def _exclusions(connection: Connection, scope: Scope) -> dict[str, object]:
    return {
        "rolled_back_events": [list(pair) for pair in scope.excluded],
        "quarantined": quarantine.num_kept_aside(connection),
        "split": "holdout",
    }
