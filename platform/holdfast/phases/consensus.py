"""What the answers amount to: consensus."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from holdfast.phases.labeling import label
from holdfast.phases.pool import Pool, read_pool
from holdfast.phases.turn import PhaseResult, Turn
from holdfast.phases.unasked import settle_unasked
from holdfast.quality.agreement import Decisions, decide
from holdfast.quality.kappa import alarmed_pairs, class_pair_agreement, krippendorff_alpha
from holdfast.records import (
    Changes,
    Floats,
    Ids,
    Query,
    QueryItem,
    QuestionChange,
    RecordedAnswer,
    Settlement,
)
from holdfast.store import answers, labels, queries, questions, rounds, unasked
from holdfast.store.rounds import FindingRow


@dataclass(frozen=True, kw_only=True, slots=True)
class _Heard:
    """What is known when a round's answers are weighed.

    Attributes
    ----------
    replies : list of RecordedAnswer
        Every answer that counts, about the samples below.
    votes : three ndarrays of int64
        Sample ids, annotators numbered from 0, and class ids of all answers ever given.
    items : mapping of int to QueryItem
        What this round asked, by sample id, gold questions aside.
    gold_ids : ndarray of int64
        Samples ever asked as gold questions.
    late_ids : ndarray of int64
        Samples of earlier rounds whose answers changed since the last consensus.
    spoken_ids : ndarray of int64
        Samples asked about that had come with answers of people.
    since, up_to : int
        Numbers of the newest answers that the consensus before heard, and this one hears.
    """

    asked: list[Query]
    replies: list[RecordedAnswer]
    votes: tuple[Ids, Ids, Ids]
    pool: Pool
    num_classes: int
    findings: list[FindingRow]
    items: Mapping[int, QueryItem]
    gold_ids: Ids
    late_ids: Ids
    spoken_ids: Ids
    since: int
    up_to: int

    @property
    def answered_ids(self) -> Ids:
        """Return the samples of this round that somebody answered, ascending."""
        here = {one.answer.sample_id for one in self.replies} & set(self.items)
        return np.array(sorted(here), np.int64)


def consensus(turn: Turn) -> PhaseResult:
    """Make labels of the round's answers, or ask one more person where they disagree.

    Answers to earlier rounds that were edited, taken back or came late are settled anew, and
    those that came with the data since then are settled as far as they convince.
    """
    heard = _hear(turn)
    asked_ids = heard.answered_ids
    left = max(int(turn.outcome("query")["budget"]) - _num_answers(heard), 0)
    again = _ask_again(turn, heard, asked_ids, left)
    if again is not None:
        return again
    ids = np.union1d(asked_ids, heard.late_ids)
    decided = _decide(turn, heard, ids, final=True)
    settled = dict(zip(decided.sample_ids_m.tolist(), decided.class_ids_m.tolist(), strict=True))
    with turn.project.ledger.read() as connection:
        labeling = label(connection, turn.round_number, heard.replies, settled, heard.late_ids)
        states = {query.key: questions.states_of(connection, query.key) for query in heard.asked}
        config = turn.project.config.agreement
        came = settle_unasked(
            connection, turn.round_number, heard.votes, heard.pool, heard.since, config
        )
    ours = {sample_id: settled[sample_id] for sample_id in asked_ids.tolist()}
    return PhaseResult(
        changes=Changes(
            label_events=(*labeling.events, *came.events),
            quarantined=labeling.quarantined,
            released=labeling.released,
            questions=tuple(_closed(heard.asked, states, ours)),
            settlements=_settlements(heard.findings, settled),
        ),
        outcome={
            "labeled": sum(class_id >= 0 for class_id in ours.values()),
            "unresolved": sum(class_id < 0 for class_id in ours.values()),
            "answers": _num_answers(heard),
            "unspent": left,
            "late": len(heard.late_ids),
            "came_labeled": len(came.events),
            "came_open": came.num_open,
            "bad_images": len(labeling.quarantined),
            "disputed": int(decided.disputed_m[np.isin(ids, asked_ids)].sum()),
            "agreement": _agreement(heard, config.alarm_below),
            "random": _agreement_at_random(heard.items, ours),
            "answers_up_to": heard.up_to,
        },
    )


def _hear(turn: Turn) -> _Heard:
    with turn.project.ledger.read() as connection:
        asked = queries.queries_of(connection, turn.round_number)
        before = rounds.outcome_before(connection, turn.round_number, "consensus")
        up_to = answers.last_id(connection)
        since = int(str(before.get("answers_up_to", up_to if before else 0)))
        late = answers.changed_since(connection, since, turn.round_number)
        items = {
            item.sample_id: item
            for query in reversed(asked)
            for item in query.items
            if item.reason != "gold"
        }
        of_round = answers.current_answers(connection, turn.round_number)
        about_late = answers.current_about(connection, late.tolist())
        vote_ids, voters, vote_classes = answers.votes(connection)
        _, annotators = np.unique(np.array(voters, str), return_inverse=True)
        replies = {one.id: one for one in (*of_round, *about_late) if one.counts}
        return _Heard(
            asked=asked,
            replies=[replies[key] for key in sorted(replies, key=lambda key: key or 0)],
            votes=(vote_ids, annotators.astype(np.int64), vote_classes),
            pool=read_pool(connection),
            num_classes=len(labels.class_names(connection)),
            findings=rounds.open_findings(connection, turn.round_number),
            items=items,
            gold_ids=np.unique([one for _, one in queries.asked_because(connection, "gold")]),
            late_ids=late,
            spoken_ids=np.array(sorted(unasked.spoken_of(connection, list(items))), np.int64),
            since=since,
            up_to=up_to,
        )


def _num_answers(heard: _Heard) -> int:
    """Return how many answers this round got, those to gold questions included."""
    keys = {query.key for query in heard.asked}
    return sum(one.query_key in keys for one in heard.replies)


def _ask_again(turn: Turn, heard: _Heard, ids: Ids, left: int) -> PhaseResult | None:
    """Return the round's way back to send, None where no second opinion is wanted."""
    decided = _decide(turn, heard, ids)
    # "Cannot tell" votes for nothing, but uses up a question.
    counted = [one.answer.sample_id for one in heard.replies if one.answer.sample_id in heard.items]
    asked_m, heard_m = np.unique(counted, return_counts=True)
    heard_m = heard_m[np.isin(asked_m, ids)]
    more_m = decided.ask_more_m & (heard_m < turn.project.config.agreement.max_answers)
    doubtful = np.flatnonzero(more_m)
    doubtful = doubtful[np.argsort(decided.confidence_m[doubtful], kind="stable")][:left]
    if not len(doubtful):
        return None
    chosen = decided.sample_ids_m[doubtful].tolist()
    again = Query(
        round_number=turn.round_number,
        batch=len(heard.asked) + 1,
        items=tuple(replace(heard.items[one], reason="disagreement") for one in chosen),
    )
    earlier = {item.sample_id: query.key for query in heard.asked for item in query.items}
    return PhaseResult(
        changes=Changes(
            query=again,
            questions=tuple(
                QuestionChange(
                    query_key=earlier[one],
                    sample_id=one,
                    state="disputed",
                    reason=f"one more answer is asked for in {again.key}",
                )
                for one in chosen
            ),
        ),
        outcome={"query": again.key, "asked": len(again.items)},
        back_to="send",
    )


def _decide(turn: Turn, heard: _Heard, ids: Ids, *, final: bool = False) -> Decisions:
    """Weigh all answers ever given about some samples."""
    config = turn.project.config.agreement
    vote_ids, annotators, vote_classes = heard.votes
    record = np.full(len(ids), -1, np.int64)
    labeled = heard.pool.labeled
    _, here, there = np.intersect1d(ids, labeled.sample_ids_n, return_indices=True)
    record[here] = labeled.class_ids_n[there]
    # What people said before must not count twice: as their answers and as the record.
    record[np.isin(ids, np.union1d(heard.late_ids, heard.spoken_ids))] = -1
    gold = np.isin(labeled.sample_ids_n, heard.gold_ids)
    return decide(
        vote_ids,
        annotators,
        vote_classes,
        sample_ids_m=ids,
        record_m=record,
        config=replace(config, max_answers=1, reserve_share=0.0) if final else config,
        pred_probs_mk=_believed(heard.items, ids, heard.num_classes),
        class_ids_k=np.arange(heard.num_classes),
        gold_ids_g=labeled.sample_ids_n[gold],
        gold_classes_g=labeled.class_ids_n[gold],
        alarmed_pairs=() if final else _alarmed(heard, config.alarm_below),
    )


def _alarmed(heard: _Heard, below: float) -> list[tuple[int, int]]:
    """Return the pairs of classes that annotators confuse."""
    return alarmed_pairs(class_pair_agreement(*heard.votes, heard.num_classes), below)


def _agreement(heard: _Heard, below: float) -> dict[str, object]:
    """Say how far annotators agree, for the ledger and the reports."""
    vote_ids, _, vote_classes = heard.votes
    alpha = krippendorff_alpha(vote_ids, vote_classes)
    return {
        "alpha": alpha if math.isfinite(alpha) else None,
        "alarm": alpha < below,
        "alarmed_pairs": [list(pair) for pair in _alarmed(heard, below)],
    }


def _believed(items: Mapping[int, QueryItem], asked_m: Ids, num_classes: int) -> Floats:
    """Return probabilities as far as the query kept them: the guess, the rest spread evenly."""
    probs = np.full((len(asked_m), num_classes), 1.0 / num_classes, np.float32)
    for row, sample_id in enumerate(asked_m.tolist()):
        item = items.get(sample_id)
        if item is not None and item.guess is not None:
            probs[row] = (1.0 - item.confidence) / max(num_classes - 1, 1)
            probs[row, item.guess] = item.confidence
    return probs


def _closed(
    asked: list[Query],
    states: Mapping[str, Mapping[int, str]],
    settled: Mapping[int, int],
) -> Iterable[QuestionChange]:
    """Close the questions of the round that were answered; the others stay before people."""
    for query in asked:
        for item in query.items:
            state = states[query.key].get(item.sample_id)
            gold = item.reason == "gold" and state == "answered"
            if state == "withdrawn" or not (gold or item.sample_id in settled):
                continue
            resolved = gold or settled[item.sample_id] >= 0
            yield QuestionChange(
                query_key=query.key,
                sample_id=item.sample_id,
                state="settled" if resolved else "disputed",
                reason=None if resolved else "the answers name no class they agree on",
            )


def _settlements(found: Iterable[FindingRow], settled: Mapping[int, int]) -> tuple[Settlement, ...]:
    return tuple(
        Settlement(
            sample_id=row.finding.sample_id,
            outcome=_outcome(row.finding.given, settled[row.finding.sample_id]),
        )
        for row in found
        if row.finding.sample_id in settled
    )


def _outcome(given: int | None, class_id: int) -> Literal["corrected", "confirmed", "unresolved"]:
    if class_id < 0:
        return "unresolved"
    return "confirmed" if class_id == given else "corrected"


def _agreement_at_random(
    items: Mapping[int, QueryItem], settled: Mapping[int, int]
) -> dict[str, int]:
    """Count how often the model was right on the random slice: the only unbiased look."""
    judged = [
        item.guess == settled[item.sample_id]
        for item in items.values()
        if item.reason == "random" and settled.get(item.sample_id, -1) >= 0
    ]
    return {"judged": len(judged), "right": sum(judged)}
