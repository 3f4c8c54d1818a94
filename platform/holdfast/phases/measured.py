"""What the rounds so far measured, read back from the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy.engine import Connection

from holdfast.evaluation.holdout_predictions import HoldoutPredictions
from holdfast.store import rounds

Outcomes = Mapping[str, Mapping[str, Any]]


def in_force(outcomes: Outcomes) -> Literal["candidate", "champion"]:
    """Say which of a round's two models is in use after it."""
    return "candidate" if outcomes.get("promote", {}).get("promoted") else "champion"


def predictions(outcomes: Outcomes) -> HoldoutPredictions | None:
    """Return what the model in use after a round said; None where nothing was measured."""
    kept = outcomes.get("evaluate", {}).get("predictions", {}).get(in_force(outcomes))
    return None if kept is None else HoldoutPredictions.from_json(kept)


def by_round(connection: Connection, last_round: int) -> dict[int, HoldoutPredictions]:
    """Return the kept predictions of each round up to one, by round number."""
    found = {}
    for number in range(1, last_round + 1):
        records = rounds.phases(connection, number)
        one = predictions({record.phase: record.outcome for record in records})
        if one is not None:
            found[number] = one
    return found
