"""What a report shows, as one frozen value.

Shape suffixes: k classes, r rounds. Sequences over k are indexed by class id.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from holdfast.data.balance import rare_classes, rare_line
from holdfast.evaluation.continual import Recalls, forgetting_over_rounds, recall_over_rounds
from holdfast.evaluation.gate import Verdict
from holdfast.evaluation.metrics import Metrics, rare_recall
from holdfast.evaluation.retention import RecallChange, RoundPairs
from holdfast.records import DatasetVersion, Ids


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundResult:
    """One round of one arm.

    Attributes
    ----------
    metrics : Metrics or None
        Of the model in force after the round; None without a holdout.
    dataset_version : int or None
        The version whose holdout it was measured on; None where there are no versions.
    labels_used : int
        Labels that training had by then.
    wrong_labels_found : int or None
        Wrong labels corrected so far; None where nobody looks for them.
    seconds : float or None
        Time the round took.
    """

    number: int
    metrics: Metrics | None
    dataset_version: int | None = None
    labels_used: int = 0
    wrong_labels_found: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """What the rounds of one arm kept, read from the predictions of each round.

    Attributes
    ----------
    pairs : RoundPairs
        One round for each measured round of the arm.
    forgetting, backward_transfer : RecallChange
        Of the last of them.
    """

    pairs: RoundPairs
    forgetting: RecallChange
    backward_transfer: RecallChange


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One way of learning, round by round; one without a sequence has a single round.

    Attributes
    ----------
    retention : Retention or None
        None where all rounds are measured on one holdout with fixed labels, or predictions
        were not kept: then recalls are compared as they were measured.
    """

    name: str
    rounds: tuple[RoundResult, ...]
    retention: Retention | None = None

    def measured(self) -> tuple[RoundResult, ...]:
        """Return the rounds that have metrics."""
        return tuple(result for result in self.rounds if result.metrics is not None)

    def recalls(self) -> tuple[Ids, Recalls]:
        """Return class ids (K,) and their recall (R, K) over the measured rounds."""
        if self.retention is not None:
            return self.retention.pairs.class_ids_k, self.retention.pairs.recalls()
        return recall_over_rounds([r.metrics for r in self.rounds if r.metrics is not None])

    def drops(self) -> Recalls:
        """Return how far each class fell from its best earlier round, (R, K).

        In [-1, 1]; positive is bad. NaN for a class that no earlier round had learned.
        """
        if self.retention is not None:
            return self.retention.pairs.forgetting_over_rounds()
        _, recall_rk = self.recalls()
        return forgetting_over_rounds(recall_rk) if len(recall_rk) else recall_rk

    def forgetting(self) -> dict[int, float]:
        """Return mean forgetting after each measured round, by round number."""
        return {
            result.number: float(row[~np.isnan(row)].mean()) if not np.isnan(row).all() else 0.0
            for result, row in zip(self.measured(), self.drops(), strict=True)
        }

    def losses(self) -> Recalls:
        """Return the recall each class lost since its best round so far, (R, K).

        In [0, 1]; high is bad, 0 at the best. NaN where the round has no recall.
        """
        _, recall_rk = self.recalls()
        return np.where(np.isnan(recall_rk), np.nan, np.fmax(self.drops(), 0.0))


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundError:
    """A label that turned out wrong.

    Attributes
    ----------
    image : bytes or None
        An image file of any common format; None shows a placeholder.
    given, corrected : int
        Class ids before and after.
    score : float
        Self-confidence of the given label, in [0, 1]; low = suspect.
    who, when : str
        Who corrected it, and when, as they should be read.
    """

    sample_id: int
    image: bytes | None
    given: int
    corrected: int
    score: float
    who: str = ""
    when: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportData:
    """Everything a report shows; the parts that are missing show why.

    Attributes
    ----------
    made_at : str
        Date and time as they should be read.
    class_names : tuple of str
        By class id.
    labeled_counts : tuple of int
        Current labels of each class, by class id.
    start_counts : tuple of int or None
        Labels of each class before the first round.
    rare_counts : tuple of int or None
        Samples of each class that decide which classes are rare; None takes
        `labeled_counts`. A benchmark passes the counts of true classes.
    arms : tuple of Arm
        The project itself first, then what it is compared with.
    found_errors : tuple of FoundError
        The gallery. A project with more of them than it shows says so in
        `num_found_errors`; None means that these are all.
    queue : mapping of str to int
        What became of the questions, for example ``{"asked": 25, "answered": 20}``.
    waiting_for : str
        Where answers are expected; empty when none are.
    verdicts : mapping of int to Verdict
        By round number.
    versions : tuple of DatasetVersion
        Oldest first.
    champion : str
        Checksum of the model in force; empty without one.
    audit : mapping
        What the audit of the last round found, as the ledger keeps it; empty without one.
    """

    title: str
    made_at: str
    class_names: tuple[str, ...]
    labeled_counts: tuple[int, ...]
    arms: tuple[Arm, ...] = ()
    start_counts: tuple[int, ...] | None = None
    rare_counts: tuple[int, ...] | None = None
    found_errors: tuple[FoundError, ...] = ()
    num_found_errors: int | None = None
    queue: Mapping[str, int] = field(default_factory=dict)
    waiting_for: str = ""
    verdicts: Mapping[int, Verdict] = field(default_factory=dict)
    versions: tuple[DatasetVersion, ...] = ()
    champion: str = ""
    config_digest: str = ""
    audit: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("labeled_counts", "start_counts", "rare_counts"):
            counts = getattr(self, name)
            if counts is not None and len(counts) != len(self.class_names):
                raise ValueError(
                    f"{name} has {len(counts)} entries for {len(self.class_names)} classes"
                )

    @property
    def rare(self) -> tuple[int, ...]:
        """Class ids of the rare classes."""
        return tuple(np.flatnonzero(rare_classes(self._rare_counts())).tolist())

    @property
    def line(self) -> float:
        """The rare-class line, in labels."""
        return rare_line(np.array(self.labeled_counts))

    @property
    def latest(self) -> RoundResult | None:
        """The project's last measured round."""
        measured = self.arms[0].measured() if self.arms else ()
        return measured[-1] if measured else None

    def class_label(self, k: int) -> str:
        """Return the name of a class, with a note where it is rare."""
        return f"{self.class_names[k]} (rare)" if k in self.rare else self.class_names[k]

    def flips(self) -> Mapping[str, Any]:
        """Return the newest comparison's negative flips; empty when there was none."""
        if not self.verdicts:
            return {}
        found: Mapping[str, Any] = self.verdicts[max(self.verdicts)].numbers.get(
            "negative_flips", {}
        )
        return found

    def rare_recall(self, metrics: Metrics) -> float | None:
        """Return the mean recall over the rare classes; None when there is none to measure."""
        return rare_recall(metrics.recall, self._rare_counts())

    def _rare_counts(self) -> Ids:
        counts = self.labeled_counts if self.rare_counts is None else self.rare_counts
        return np.array(counts, np.int64)


def to_json(data: ReportData) -> dict[str, Any]:
    """Return a report as plain JSON values: all its numbers, without the pictures."""
    return {
        "title": data.title,
        "made_at": data.made_at,
        "config_digest": data.config_digest,
        "champion": data.champion or None,
        "class_names": list(data.class_names),
        "labeled_counts": list(data.labeled_counts),
        "start_counts": None if data.start_counts is None else list(data.start_counts),
        "rare_line": data.line,
        "rare_ids": list(data.rare),
        "arms": [_arm_to_json(data, arm) for arm in data.arms],
        "found_errors": [
            {
                "sample_id": error.sample_id,
                "given": error.given,
                "corrected": error.corrected,
                "score": error.score,
                "who": error.who,
                "when": error.when,
            }
            for error in data.found_errors
        ],
        "num_found_errors": (
            len(data.found_errors) if data.num_found_errors is None else data.num_found_errors
        ),
        "queue": dict(data.queue),
        "waiting_for": data.waiting_for or None,
        "audit": dict(data.audit),
        "verdicts": {str(number): v.to_json() for number, v in data.verdicts.items()},
        "versions": [
            {
                "round": version.round_number,
                "labels": version.num_labels,
                "watermark": version.watermark,
                "digest": version.digest,
            }
            for version in data.versions
        ],
    }


def _arm_to_json(data: ReportData, arm: Arm) -> dict[str, Any]:
    forgotten = arm.forgetting()
    classes, _ = arm.recalls()
    drop_rk = arm.losses()
    rows = {result.number: row for row, result in enumerate(arm.measured())}
    kept = arm.retention
    return {
        "name": arm.name,
        "forgetting": None if kept is None else kept.forgetting.to_json(),
        "backward_transfer": None if kept is None else kept.backward_transfer.to_json(),
        "rounds": [
            {
                "round": result.number,
                "dataset_version": result.dataset_version,
                "labels_used": result.labels_used,
                "wrong_labels_found": result.wrong_labels_found,
                "seconds": result.seconds,
                "rare_recall": data.rare_recall(result.metrics) if result.metrics else None,
                "forgetting": forgotten.get(result.number),
                "forgetting_by_class": {
                    str(k): drop
                    for k, drop in zip(
                        classes.tolist(), drop_rk[rows[result.number]].tolist(), strict=True
                    )
                    if not np.isnan(drop)
                }
                if result.number in rows
                else {},
                "metrics": result.metrics.to_json() if result.metrics else None,
            }
            for result in arm.rounds
        ],
    }
