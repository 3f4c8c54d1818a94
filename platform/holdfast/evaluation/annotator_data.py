"""What the report about annotators shows, as one frozen value and as plain JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from holdfast.evaluation.resampling import Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Replies:
    """How many replies of each kind somebody gave that hold now.

    Attributes
    ----------
    labels : int
        Those that name a class and count.
    recent : int
        Of these, given within the last 7 days.
    kept_aside : int
        Those that cannot count, whatever they say.
    """

    labels: int = 0
    recent: int = 0
    cannot_tell: int = 0
    none_of_these: int = 0
    bad_image: int = 0
    skipped: int = 0
    kept_aside: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """Quartiles of the seconds from seeing a question to answering it; `number` were timed."""

    low: float
    median: float
    high: float
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusion:
    """How often one class was said where the consensus is another; both are names."""

    said: str
    consensus: str
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatorResult:
    """One annotator.

    Attributes
    ----------
    speed : Speed or None
        None where nothing was timed.
    accuracy : float or None
        Share of answers expected to be right by the consensus, in [0, 1]; low is bad. None
        where there is nobody and nothing to compare with.
    interval : (float, float) or None
        The true accuracy lies in it in 90 % of cases.
    num_shared : int
        Samples that somebody else answered as well.
    kappa : float or None
        Agreement with the others beyond chance: 1 perfect, 0 as by chance, below worse.
    gold_right, gold_asked : int
        Questions whose answer was known, asked without saying so.
    confusions : tuple of Confusion
        The most frequent first.
    weight : float or None
        How far one answer lifts its class over the others in the consensus, in nats; low is
        bad, 0 is nothing.
    is_spammer : bool
        The answers say nothing about the images.
    """

    name: str
    replies: Replies = field(default_factory=Replies)
    speed: Speed | None = None
    accuracy: float | None = None
    interval: Interval | None = None
    num_shared: int = 0
    kappa: float | None = None
    gold_right: int = 0
    gold_asked: int = 0
    confusions: tuple[Confusion, ...] = ()
    weight: float | None = None
    is_spammer: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassPair:
    """How well annotators tell two classes apart; `alarmed` where it is surely too little."""

    first: str
    second: str
    kappa: float | None
    alpha: float | None
    num_samples: int
    alarmed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatorPair:
    """Cohen's kappa of two annotators over the samples that both answered."""

    first: str
    second: str
    kappa: float
    num_samples: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatorsData:
    """Everything the report shows; the parts that are missing show why.

    Attributes
    ----------
    made_at : str
        Date and time as they should be read.
    annotators : tuple of AnnotatorResult
        Those with the most answers first.
    alpha : float or None
        Krippendorff's alpha of the project: 1 perfect, 0 as by chance, below worse.
    fleiss : float or None
        Fleiss' kappa, on the same scale.
    alarm_below : float
        Agreement below it raises an alarm.
    class_pairs : tuple of ClassPair
        Those that were confused: under alarm first, then the least agreement.
    annotator_pairs : tuple of AnnotatorPair
        Of the annotators with the most answers.
    said : mapping of str to mapping of str to int
        Answers by the consensus of their sample, then by the class they name.
    days : mapping of str to int
        Answers given on each day, UTC, as in ``2031-05-17``; days in between may be missing.
    undated : int
        Answers of which nobody knows the day.
    problems : mapping of str to int
        Why answers were kept aside, and how many.
    """

    title: str
    made_at: str
    annotators: tuple[AnnotatorResult, ...] = ()
    alpha: float | None = None
    fleiss: float | None = None
    alarm_below: float = 0.6
    class_pairs: tuple[ClassPair, ...] = ()
    annotator_pairs: tuple[AnnotatorPair, ...] = ()
    said: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    days: Mapping[str, int] = field(default_factory=dict)
    undated: int = 0
    problems: Mapping[str, int] = field(default_factory=dict)

    @property
    def replies(self) -> Replies:
        """Of all annotators together."""
        names = [one.name for one in dataclasses.fields(Replies)]
        return Replies(
            **{name: sum(getattr(one.replies, name) for one in self.annotators) for name in names}
        )

    @property
    def gold(self) -> tuple[int, int]:
        """Gold questions answered right, and all that were answered."""
        right = sum(one.gold_right for one in self.annotators)
        return right, sum(one.gold_asked for one in self.annotators)

    def confusions(self) -> tuple[Confusion, ...]:
        """Return what is said where the consensus is another class, the most frequent first."""
        found = [
            Confusion(said=said, consensus=consensus, number=number)
            for consensus, row in self.said.items()
            for said, number in row.items()
            if said != consensus and number
        ]
        return tuple(sorted(found, key=lambda one: (-one.number, one.consensus, one.said)))


def to_json(data: AnnotatorsData) -> dict[str, Any]:
    """Return the report as plain JSON values, all annotators and all pairs."""
    right, asked = data.gold
    return {
        **dataclasses.asdict(data),
        "replies": dataclasses.asdict(data.replies),
        "gold_right": right,
        "gold_asked": asked,
        "confusions": [dataclasses.asdict(one) for one in data.confusions()],
    }
