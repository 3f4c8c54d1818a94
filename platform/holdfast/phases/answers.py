"""What was answered: collect, consensus."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from holdfast import catalog
from holdfast.errors import AnnotationsPendingError, AnswerError
from holdfast.failpoints import reach
from holdfast.phases.oracles import cards_of, newest_query, open_oracle
from holdfast.phases.pool import Pool, read_pool
from holdfast.phases.turn import PhaseResult, Turn
from holdfast.quality.agreement import Decisions, decide
from holdfast.records import (
    Changes,
    Floats,
    Ids,
    LabelEvent,
    Query,
    QueryItem,
    RecordedAnswer,
    Settlement,
)
from holdfast.store import labels, queries, rounds


def collect(turn: Turn) -> PhaseResult:
    """Take in the answers to the newest query, each once.

    Raises
    ------
    AnnotationsPendingError
        While too few are answered.
    AnswerError
        When an answer names a class that does not exist.
    """
    project = turn.project
    asked = newest_query(turn)
    oracle = open_oracle(project)
    answers = oracle.collect(asked)
    reach("collect:fetched")
    answered = {answer.sample_id for answer in answers}
    if len(answered) < project.config.annotation.enough * len(asked.items):
        # Nothing changes for those who were asked, but a file that was lost comes back.
        oracle.send(asked, cards_of(project, asked))
        raise AnnotationsPendingError(
            turn.round_number, len(answered), len(asked.items), oracle.where(asked)
        )
    with project.ledger.read() as connection:
        known = {
            (one.answer.external_id, one.answer.updated_at)
            for one in queries.answers_of(connection, turn.round_number)
            if one.oracle == oracle.name
        }
        names = labels.class_names(connection)
    # The config may have gained a class since the round began.
    names += [name for name in project.config.data.classes if name not in names]
    place = {name: k for k, name in enumerate(names)}
    unknown = sorted(a.label for a in answers if a.label is not None and a.label not in place)
    if unknown:
        number = "1 answer names" if len(unknown) == 1 else f"{len(unknown)} answers name"
        raise AnswerError(
            f"{oracle.where(asked)}: {number} no known class, for example "
            f'"{unknown[0]}"; {catalog.suggestion(unknown[0], names)}. Correct the answer, or add '
            "a new class to data.classes, and run again"
        )
    fresh = tuple(
        RecordedAnswer(
            answer=answer,
            query_key=asked.key,
            oracle=oracle.name,
            class_id=None if answer.label is None else place[answer.label],
        )
        for answer in answers
        if (answer.external_id, answer.updated_at) not in known
    )
    return PhaseResult(
        changes=Changes(classes=tuple(names), answers=fresh),
        outcome={"query": asked.key, "answers": len(fresh)},
    )


def consensus(turn: Turn) -> PhaseResult:
    """Make labels of the round's answers, or ask one more person where they disagree."""
    project = turn.project
    with project.ledger.read() as connection:
        asked = queries.queries_of(connection, turn.round_number)
        answers = queries.answers_of(connection, turn.round_number)
        everything = queries.all_answers(connection)
        pool = read_pool(connection)
        names = labels.class_names(connection)
        found = rounds.open_findings(connection, turn.round_number)
    items = {item.sample_id: item for one in reversed(asked) for item in one.items}
    left = max(int(turn.outcome("query")["budget"]) - len(answers), 0)
    decided = _decide(items, answers, everything, pool, len(names), turn)
    # "Cannot tell" votes for nothing, but uses up a question.
    _, heard_m = np.unique([one.answer.sample_id for one in answers], return_counts=True)
    more_m = decided.ask_more_m & (heard_m < project.config.agreement.max_answers)
    doubtful = np.flatnonzero(more_m)
    doubtful = doubtful[np.argsort(decided.confidence_m[doubtful], kind="stable")][:left]
    if len(doubtful):
        again = Query(
            round_number=turn.round_number,
            batch=len(asked) + 1,
            items=tuple(
                replace(items[sample_id], reason="disagreement")
                for sample_id in decided.sample_ids_m[doubtful].tolist()
            ),
        )
        return PhaseResult(
            changes=Changes(query=again),
            outcome={"query": again.key, "asked": len(again.items)},
            back_to="send",
        )
    decided = _decide(items, answers, everything, pool, len(names), turn, final=True)
    settled = dict(zip(decided.sample_ids_m.tolist(), decided.class_ids_m.tolist(), strict=True))
    return PhaseResult(
        changes=Changes(
            label_events=_label_events(turn.round_number, answers, settled),
            settlements=tuple(
                Settlement(
                    sample_id=row.finding.sample_id,
                    outcome=_outcome(row.finding.given, settled[row.finding.sample_id]),
                )
                for row in found
                if row.finding.sample_id in settled
            ),
        ),
        outcome={
            "labeled": sum(class_id >= 0 for class_id in settled.values()),
            "unresolved": sum(class_id < 0 for class_id in settled.values()),
            "answers": len(answers),
            "unspent": left,
            "random": _agreement_at_random(items, settled),
        },
    )


def _decide(
    items: dict[int, QueryItem],
    answers: list[RecordedAnswer],
    everything: tuple[Ids, list[str], Ids],
    pool: Pool,
    num_classes: int,
    turn: Turn,
    *,
    final: bool = False,
) -> Decisions:
    """Weigh all answers ever given about the samples of this round."""
    config = turn.project.config.agreement
    asked = np.array(sorted({one.answer.sample_id for one in answers}), np.int64)
    earlier_ids, earlier_by, earlier_classes = everything
    _, annotators = np.unique(earlier_by, return_inverse=True) if earlier_by else (None, [])
    record = np.full(len(asked), -1, np.int64)
    _, here, there = np.intersect1d(asked, pool.labeled.sample_ids_n, return_indices=True)
    record[here] = pool.labeled.class_ids_n[there]
    return decide(
        earlier_ids,
        np.asarray(annotators, np.int64),
        earlier_classes,
        sample_ids_m=asked,
        record_m=record,
        config=replace(config, max_answers=1, reserve_share=0.0) if final else config,
        pred_probs_mk=_believed(items, asked, num_classes),
        class_ids_k=np.arange(num_classes),
    )


def _believed(items: dict[int, QueryItem], asked_m: Ids, num_classes: int) -> Floats:
    """Return probabilities as far as the query kept them: the guess, the rest spread evenly."""
    probs = np.full((len(asked_m), num_classes), 1.0 / num_classes, np.float32)
    for row, sample_id in enumerate(asked_m.tolist()):
        item = items.get(sample_id)
        if item is not None and item.guess is not None:
            probs[row] = (1.0 - item.confidence) / max(num_classes - 1, 1)
            probs[row, item.guess] = item.confidence
    return probs


def _label_events(
    round_number: int, answers: list[RecordedAnswer], settled: dict[int, int]
) -> tuple[LabelEvent, ...]:
    """Return one annotation per answer, and a consensus where there were several."""
    said: dict[int, list[RecordedAnswer]] = {}
    for one in answers:
        if one.class_id is not None:
            said.setdefault(one.answer.sample_id, []).append(one)
    events = []
    for sample_id, replies in said.items():
        if settled.get(sample_id, -1) < 0:
            continue
        events += [
            LabelEvent(
                sample_id=sample_id,
                kind="annotation",
                class_id=one.class_id,
                annotator=one.answer.annotator,
                source_key=f"answer/{one.oracle}/{one.answer.external_id}/{one.answer.updated_at}",
            )
            for one in replies
        ]
        if len(replies) > 1 or replies[0].class_id != settled[sample_id]:
            events.append(
                LabelEvent(
                    sample_id=sample_id,
                    kind="consensus",
                    class_id=settled[sample_id],
                    annotator="consensus",
                    source_key=f"consensus/{round_number}/{sample_id}",
                )
            )
    return tuple(events)


def _outcome(given: int | None, class_id: int) -> Literal["corrected", "confirmed", "unresolved"]:
    if class_id < 0:
        return "unresolved"
    return "confirmed" if class_id == given else "corrected"


def _agreement_at_random(items: dict[int, QueryItem], settled: dict[int, int]) -> dict[str, int]:
    """Count how often the model was right on the random slice: the only unbiased look."""
    judged = [
        item.guess == settled[item.sample_id]
        for item in items.values()
        if item.reason == "random" and settled.get(item.sample_id, -1) >= 0
    ]
    return {"judged": len(judged), "right": sum(judged)}
