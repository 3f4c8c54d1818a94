"""Who answers, how fast and how well: what the ledger says about annotators, put into one value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from holdfast.evaluation.annotator_data import (
    AnnotatorResult,
    AnnotatorsData,
    Replies,
    Speed,
)
from holdfast.evaluation.annotator_page import write
from holdfast.phases.annotator_agreement import (
    Votes,
    annotator_pairs,
    class_pairs,
    confusions_of,
    counts_mk,
    number,
    said_by_consensus,
    votes_of,
)
from holdfast.project import Project
from holdfast.quality.annotator_pairs import agreement_with_others
from holdfast.quality.annotators import AnnotatorQuality, annotator_quality
from holdfast.quality.kappa import (
    fleiss_kappa,
    krippendorff_alpha,
)
from holdfast.records import (
    BAD_IMAGE,
    NONE_OF_THESE,
    SKIPPED,
    LabelTable,
    RecordedAnswer,
)
from holdfast.store import answers, labels, queries

_RECENT = timedelta(days=7)
# Clocks of annotators' machines may be ahead by as much.
_SKEW = timedelta(days=1)
_REMARKS = {NONE_OF_THESE: "none_of_these", BAD_IMAGE: "bad_image", SKIPPED: "skipped"}


def write_annotators(
    project: Project, moment: datetime | None = None
) -> tuple[Path, Path, AnnotatorsData]:
    """Write `reports/annotators.html` and `.json`; return both paths and what they show.

    Parameters
    ----------
    moment : datetime, optional
        Seen from when, with a time zone; now by default.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    project.reports.mkdir(exist_ok=True)
    page, numbers = project.reports / "annotators.html", project.reports / "annotators.json"
    data = summarize(project, moment or datetime.now(UTC))
    write(page, numbers, data)
    return page, numbers, data


def summarize(project: Project, moment: datetime) -> AnnotatorsData:
    """Return who answered, how fast and how well, as the ledger has it.

    Cost: linear in the number of answers, and the sweeps of one consensus.
    """
    with project.ledger.read() as connection:
        replies = answers.current_answers(connection)
        class_names = labels.class_names(connection)
        asked_as_gold = set(queries.asked_because(connection, "gold"))
        known = _known(labels.resolve(connection, labels.open_scope(connection)))
    votes = votes_of(replies)
    gold = {
        one.answer.sample_id: known[one.answer.sample_id]
        for one in replies
        if (one.query_key, one.answer.sample_id) in asked_as_gold and one.answer.sample_id in known
    }
    quality = annotator_quality(
        votes.sample_ids_a,
        votes.annotators_a,
        votes.class_ids_a,
        num_annotators=len(votes.names),
        gold_ids_g=np.array(list(gold), np.int64),
        gold_classes_g=np.array(list(gold.values()), np.int64),
    )
    dated = Counter(_day(one, moment) for one in replies if one.class_id is not None)
    undated = dated.pop(None, 0)
    problems = Counter(one.answer.problem for one in replies if one.answer.problem)
    return AnnotatorsData(
        title=project.root.name,
        made_at=moment.astimezone().strftime("%d %B %Y, %H:%M"),
        annotators=_annotators(replies, votes, quality, class_names, asked_as_gold, known, moment),
        alpha=number(krippendorff_alpha(votes.sample_ids_a, votes.class_ids_a)),
        fleiss=number(fleiss_kappa(counts_mk(votes))),
        alarm_below=project.config.agreement.alarm_below,
        class_pairs=class_pairs(votes, class_names, project.config.agreement.alarm_below),
        annotator_pairs=annotator_pairs(votes),
        said=said_by_consensus(quality, class_names),
        days={day: dated[day] for day in sorted(day for day in dated if day is not None)},
        undated=undated,
        problems=dict(problems.most_common()),
    )


def _known(table: LabelTable) -> dict[int, int]:
    return dict(zip(table.sample_ids_n.tolist(), table.class_ids_n.tolist(), strict=True))


def _annotators(
    replies: Sequence[RecordedAnswer],
    votes: Votes,
    quality: AnnotatorQuality,
    class_names: Sequence[str],
    asked_as_gold: set[tuple[str, int]],
    known: Mapping[int, int],
    moment: datetime,
) -> tuple[AnnotatorResult, ...]:
    said: dict[str, list[RecordedAnswer]] = {name: [] for name in votes.names}
    for one in replies:
        said[one.answer.annotator].append(one)
    others = agreement_with_others(
        votes.sample_ids_a,
        votes.annotators_a,
        votes.class_ids_a,
        num_annotators=len(votes.names),
    )
    found = []
    for j, name in enumerate(votes.names):
        judged = [
            one.class_id == known[one.answer.sample_id]
            for one in said[name]
            if one.class_id is not None
            and (one.query_key, one.answer.sample_id) in asked_as_gold
            and one.answer.sample_id in known
        ]
        # Without anything to compare with, an estimate only says what was assumed.
        compared = bool(others.num_shared_j[j] or judged)
        found.append(
            AnnotatorResult(
                name=name,
                replies=_replies(said[name], moment),
                speed=_speed(said[name]),
                accuracy=float(quality.accuracy_j[j]) if compared else None,
                interval=(float(quality.low_j[j]), float(quality.high_j[j])) if compared else None,
                num_shared=int(others.num_shared_j[j]),
                kappa=number(others.kappa_j[j]),
                gold_right=sum(judged),
                gold_asked=len(judged),
                confusions=confusions_of(quality, j, class_names),
                weight=float(quality.weight_j[j]) if compared else None,
                is_spammer=compared and bool(quality.is_spammer_j[j]),
            )
        )
    return tuple(sorted(found, key=lambda one: (-one.replies.labels, one.name)))


def _replies(said: Sequence[RecordedAnswer], moment: datetime) -> Replies:
    kinds = Counter(_kind(one) for one in said)
    recent = sum(
        (when := _given_at(one)) is not None and -_SKEW <= moment - when <= _RECENT
        for one in said
        if one.class_id is not None
    )
    return Replies(recent=recent, **kinds)


def _kind(one: RecordedAnswer) -> str:
    if not one.counts:
        return "kept_aside"
    return "labels" if one.class_id is not None else _REMARKS.get(one.answer.remark, "cannot_tell")


def _speed(said: Sequence[RecordedAnswer]) -> Speed | None:
    seconds = [
        one.answer.seconds
        for one in said
        if one.answer.seconds is not None and one.counts and one.answer.remark != SKIPPED
    ]
    if not seconds:
        return None
    low, median, high = np.percentile(seconds, [25, 50, 75]).tolist()
    return Speed(low=low, median=median, high=high, number=len(seconds))


def _day(one: RecordedAnswer, moment: datetime) -> str | None:
    """Return the day of an answer; None without one, and for a day that is still to come."""
    when = _given_at(one)
    return None if when is None or when > moment + _SKEW else when.date().isoformat()


def _given_at(one: RecordedAnswer) -> datetime | None:
    try:
        when = datetime.fromisoformat(one.answer.answered_at or "")
    except ValueError:
        return None
    return when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
