"""Whether the next round is worth its answers, from what the rounds before it measured.

Shape suffixes: t rounds that were measured.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from holdfast.evaluation.holdout_predictions import HoldoutPredictions
from holdfast.evaluation.metrics import Metrics
from holdfast.phases import measured
from holdfast.phases.turn import Turn
from holdfast.quality.kappa import cohen_kappa
from holdfast.query.stopping import StopAdvice, advise_stopping
from holdfast.store import rounds


def advise(turn: Turn, *, answers: int, num_pool: int) -> StopAdvice:
    """Say whether to stop before this round, and why.

    Models are compared by what they say about the holdout, which is kept of every round.
    Cost: reading what each round measured.

    Parameters
    ----------
    answers : int
        That the round may cost, at least 1.
    num_pool : int
        Samples without a label.
    """
    labels, metrics, said = [], [], []
    with turn.project.ledger.read() as connection:
        for number in range(1, turn.round_number):
            done = rounds.phases(connection, number)
            outcomes: measured.Outcomes = {one.phase: one.outcome for one in done}
            found = outcomes.get("evaluate", {}).get(measured.in_force(outcomes))
            predicted = measured.predictions(outcomes)
            if found is None or predicted is None or found.get("intervals") is None:
                continue
            labels.append(int(outcomes["snapshot"]["labels"]))
            metrics.append(Metrics.from_json(found))
            said.append(predicted)
    limits = [one.intervals.overall["macro_f1"] for one in metrics if one.intervals]
    low_t, high_t = np.array(limits).reshape(-1, 2).T
    return advise_stopping(
        np.array(labels, np.int64),
        np.array([one.macro_f1 for one in metrics]),
        low_t,
        high_t,
        answers=answers,
        num_pool=num_pool,
        least_gain=turn.project.config.query.least_gain,
        kappas_t=np.array([_agreement(*pair) for pair in pairwise(said)]),
        rng=turn.rng("worth"),
    )


def _agreement(before: HoldoutPredictions, after: HoldoutPredictions) -> float:
    """Return the kappa of two models on the samples both were asked about."""
    _, first, second = np.intersect1d(
        before.sample_ids_n, after.sample_ids_n, assume_unique=True, return_indices=True
    )
    return cohen_kappa(before.predicted_n[first], after.predicted_n[second])
