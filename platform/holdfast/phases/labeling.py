"""Settled answers -> what the label log gains, and which images go aside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy.engine import Connection

from holdfast.records import BAD_IMAGE, Ids, LabelEvent, RecordedAnswer
from holdfast.store import labels, samples

# How the reason of a quarantine begins that annotators asked for: they can end it again.
BAD_IMAGE_REASON = f"{BAD_IMAGE}, says"


@dataclass(frozen=True, kw_only=True, slots=True)
class Labeling:
    """What the answers change.

    Attributes
    ----------
    quarantined : mapping of int to str
        Images that most annotators call bad, with the reason.
    released : tuple of int
        Images that no longer are: somebody changed an answer.
    """

    events: tuple[LabelEvent, ...]
    quarantined: Mapping[int, str]
    released: tuple[int, ...]


def label(
    connection: Connection,
    round_number: int,
    replies: Sequence[RecordedAnswer],
    settled: Mapping[int, int],
    revised: Ids,
) -> Labeling:
    """Turn settled answers into label events: one per answer, and a consensus of several.

    Parameters
    ----------
    replies : sequence of RecordedAnswer
        Every answer about the samples that counts, oldest first.
    settled : mapping of int to int
        Class id by sample id; -1 for a sample without a consensus, whose label goes.
    revised : ndarray of int64
        Samples whose answers changed after they had been settled.
    """
    said: dict[int, list[RecordedAnswer]] = {sample_id: [] for sample_id in settled}
    for one in replies:
        if one.answer.sample_id in said:
            said[one.answer.sample_id].append(one)
    ids = np.array(sorted(said), np.int64)
    again = set(revised.tolist()) | labels.withdrawn_ids(connection, ids)
    verified = labels.verified_at(connection, ids)
    given = labels.came_with(connection, ids)
    events: list[LabelEvent] = []
    for sample_id, class_id in settled.items():
        votes = [one for one in said[sample_id] if one.class_id is not None]
        # One person's word that came with the data stands on record; it confirms nothing.
        counts = len(votes) > 1 or any(one.query_key is not None for one in votes)
        if class_id >= 0 and counts:
            events += _agreed(round_number, sample_id, class_id, votes, sample_id in again)
        elif len({one.class_id for one in votes}) > 1:
            # Disputed: neither an answer nor the label on record is trained on.
            if sample_id in verified or sample_id in given:
                events.append(_withdrawn(round_number, sample_id))
        elif sample_id in verified and sample_id in again:
            # Whoever confirmed the label took it back: what the record said holds again.
            events.append(_withdrawn(round_number, sample_id))
            if sample_id in given:
                events.append(_given(round_number, sample_id, given[sample_id]))
    return Labeling(
        events=tuple(events),
        quarantined=_bad(said),
        released=_good_again(connection, said, revised),
    )


def _agreed(
    round_number: int, sample_id: int, class_id: int, votes: list[RecordedAnswer], again: bool
) -> list[LabelEvent]:
    events = [
        LabelEvent(
            sample_id=sample_id,
            kind="annotation",
            class_id=one.class_id,
            annotator=one.answer.annotator,
            source_key=f"answer/{one.id}",
        )
        for one in votes
        # What came with the data has its event since then.
        if one.query_key is not None
    ]
    # After an edit a consensus of its own outranks what older events say.
    if again or len(votes) > 1 or votes[0].class_id != class_id:
        events.append(
            LabelEvent(
                sample_id=sample_id,
                kind="consensus",
                class_id=class_id,
                annotator="consensus",
                source_key=f"consensus/{round_number}/{sample_id}",
            )
        )
    return events


def _withdrawn(round_number: int, sample_id: int) -> LabelEvent:
    return LabelEvent(
        sample_id=sample_id,
        kind="withdrawn",
        class_id=None,
        annotator="consensus",
        source_key=f"withdrawn/{round_number}/{sample_id}",
    )


def _given(round_number: int, sample_id: int, class_id: int) -> LabelEvent:
    return LabelEvent(
        sample_id=sample_id,
        kind="given",
        class_id=class_id,
        annotator="record",
        source_key=f"given again/{round_number}/{sample_id}",
    )


def _calls_it_bad(replies: Sequence[RecordedAnswer]) -> bool:
    bad = sum(one.answer.remark == BAD_IMAGE for one in replies)
    return bad > sum(one.class_id is not None for one in replies)


def _bad(said: Mapping[int, Sequence[RecordedAnswer]]) -> dict[int, str]:
    found = {}
    for sample_id, replies in said.items():
        if _calls_it_bad(replies):
            who = sorted({r.answer.annotator for r in replies if r.answer.remark == BAD_IMAGE})
            found[sample_id] = f"{BAD_IMAGE_REASON} {', '.join(who)}"
    return found


def _good_again(
    connection: Connection, said: Mapping[int, Sequence[RecordedAnswer]], revised: Ids
) -> tuple[int, ...]:
    reasons = samples.reasons_of(connection, revised)
    return tuple(
        sample_id
        for sample_id, reason in sorted(reasons.items())
        if reason.startswith(BAD_IMAGE_REASON) and not _calls_it_bad(said.get(sample_id, ()))
    )
