"""How an arm does on the clean test set, round by round."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.world import World
from holdfast.evaluation.continual import forgetting, recall_over_rounds
from holdfast.evaluation.metrics import Metrics, measure, rare_recall
from holdfast.records import Ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One arm after one round.

    Attributes
    ----------
    labels_used : int
        Labels at the start plus answers paid for; all samples so far for the upper bound.
    macro_f1, balanced_accuracy : float
        On the test set, over all classes, also those that have not appeared yet; in [0, 1].
    rare_recall : float
        Mean recall over the classes below the rare-class line of the true counts.
    forgetting : float
        In [-1, 1]; positive is bad.
    wrong_labels_left : int
        Labels the arm trains on that are wrong.
    wrong_labels_found : int
        Labels that were wrong at the start and are right now.
    seconds : float
        What the round took, the measuring left out.
    """

    arm: str
    seed: int
    round: int
    labels_used: int
    macro_f1: float
    balanced_accuracy: float
    rare_recall: float
    forgetting: float
    wrong_labels_left: int
    wrong_labels_found: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


class Scoreboard:
    """Collects the rounds of one arm in one world.

    Attributes
    ----------
    rows : list of Row
    metrics : list of Metrics
        On the test set; index 0 is round 1.
    """

    def __init__(self, arm: str, world: World) -> None:
        self.arm = arm
        self.world = world
        self.rows: list[Row] = []
        self.metrics: list[Metrics] = []

    def add(
        self,
        pred_probs_mk: NDArray[np.floating[Any]],
        class_ids_k: Ids,
        *,
        labels_n: Ids,
        labels_used: int,
        seconds: float,
    ) -> Row:
        """Record a round.

        Parameters
        ----------
        pred_probs_mk : ndarray of float, shape (M, K)
            On the world's test images; columns are `class_ids_k`.
        labels_n : ndarray of int64, shape (N,)
            What the arm believes of every training sample; -1 where it has no label.
        """
        source = self.world.source
        self.metrics.append(measure(pred_probs_mk, class_ids_k, source.test_labels_m))
        wrong = (labels_n >= 0) & (labels_n != source.train_labels_n)
        wrong_at_start = (self.world.given_n >= 0) & (self.world.given_n != source.train_labels_n)
        newest = self.metrics[-1]
        row = Row(
            arm=self.arm,
            seed=self.world.seed,
            round=len(self.metrics),
            labels_used=labels_used,
            macro_f1=newest.macro_f1,
            balanced_accuracy=newest.balanced_accuracy,
            rare_recall=rare_recall(newest.recall, self.world.true_counts_k) or 0.0,
            forgetting=forgetting(recall_over_rounds(self.metrics)[1]),
            wrong_labels_left=int(wrong.sum()),
            wrong_labels_found=int((wrong_at_start & ~wrong).sum()),
            seconds=seconds,
        )
        self.rows.append(row)
        return row
