"""What people answered: collect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from holdfast import catalog
from holdfast.annotation.oracle import Collected, Oracle
from holdfast.errors import AnnotationsPendingError, AnswerError
from holdfast.failpoints import reach
from holdfast.phases.oracles import newest_query, open_oracle
from holdfast.phases.turn import PhaseResult, Turn
from holdfast.phases.withdrawing import outdated
from holdfast.project import Project
from holdfast.records import Answer, Changes, Query, QuestionChange, RecordedAnswer
from holdfast.store import answers, labels, queries, questions


@dataclass(frozen=True, slots=True)
class _News:
    """What an oracle delivered that the ledger does not have yet.

    Attributes
    ----------
    recorded : tuple of RecordedAnswer
        New and edited answers, and the end of those that were taken back.
    holding : list of RecordedAnswer
        Every answer that holds once these are recorded, about the samples delivered.
    """

    recorded: tuple[RecordedAnswer, ...]
    holding: list[RecordedAnswer]


def collect(turn: Turn) -> PhaseResult:
    """Take in what was answered since the last time, each answer once.

    Waiting for more, what is there is kept, with the oracle's watermark, in one transaction.

    Raises
    ------
    AnswerError
        When an answer names a class that does not exist.
    TransientError
        When the oracle cannot be reached. Nothing counts as collected then.
    """
    project = turn.project
    asked = newest_query(turn)
    oracle = open_oracle(project)
    collected = oracle.collect(asked)
    reach("collect:fetched")
    names = _class_names(project)
    news = _news(project, oracle, collected, names, asked)
    answered = _answered(project, asked, news)
    gone = outdated(turn, answered)
    wanted = _wanted(project, asked, {one.sample_id for one in gone})
    done = len(wanted & answered)
    waits = done < project.config.annotation.enough * len(wanted)
    again = [one for one in collected.missing if one in wanted - answered] if waits else []
    if gone:
        oracle.withdraw({one.sample_id: one.external_id for one in gone if one.external_id})
        reach("collect:withdrawn")
    changes = Changes(
        classes=tuple(names),
        answers=news.recorded,
        questions=(
            *(QuestionChange(query_key=asked.key, sample_id=one, state="open") for one in again),
            *(question.withdrawn for question in gone),
        ),
        oracle_state=None if collected.state is None else (oracle.name, collected.state),
    )
    outcome = {"query": asked.key, "answers": len(news.recorded), "withdrawn": len(gone)}
    if again:
        return PhaseResult(changes=changes, outcome=outcome, back_to="send")
    if not waits:
        return PhaseResult(changes=changes, outcome=outcome)
    return PhaseResult(
        changes=changes,
        outcome=outcome,
        pending=AnnotationsPendingError(turn.round_number, done, len(wanted), oracle.where(asked)),
    )


def _class_names(project: Project) -> list[str]:
    with project.ledger.read() as connection:
        names = labels.class_names(connection)
    # The config may have gained a class since the round began.
    return names + [name for name in project.config.data.classes if name not in names]


def _news(
    project: Project, oracle: Oracle, collected: Collected, names: list[str], asked: Query
) -> _News:
    about = sorted({one.sample_id for one in collected.answers} | set(collected.complete_for))
    with project.ledger.read() as connection:
        rows = answers.rows_of(connection, oracle.name, about)
        keys = queries.newest_keys(connection, about)
    newest = {row.answer.external_id: row for row in rows}
    taken = {(row.answer.external_id, row.answer.updated_at) for row in rows}
    place = {name: k for k, name in enumerate(names)}
    _check_classes(collected.answers, names, oracle.where(asked))
    recorded, delivered = [], set()
    for answer in collected.answers:
        delivered.add(answer.external_id)
        before = newest.get(answer.external_id)
        if before is not None and _same(before, answer):
            continue
        recorded.append(
            RecordedAnswer(
                answer=_renamed(answer, taken),
                # An edit stays with the question that was answered.
                query_key=keys[answer.sample_id] if before is None else before.query_key,
                oracle=oracle.name,
                class_id=None if answer.label is None else place.get(answer.label),
            )
        )
    complete = set(collected.complete_for)
    recorded += [
        _taken_back(row, taken)
        for external_id, row in newest.items()
        if external_id not in delivered and row.answer.sample_id in complete and not row.withdrawn
    ]
    newest |= {one.answer.external_id: one for one in recorded}
    return _News(tuple(recorded), [one for one in newest.values() if one.counts])


def _same(row: RecordedAnswer, answer: Answer) -> bool:
    """Whether a row says what an answer says; its `updated_at` may carry a number."""
    return not row.withdrawn and row.answer.updated_at.partition("#")[0] == answer.updated_at


def _renamed(answer: Answer, taken: set[tuple[str, str]]) -> Answer:
    """Number an answer whose identity is in the ledger: said, changed, and said again."""
    number, updated_at = 1, answer.updated_at
    while (answer.external_id, updated_at) in taken:
        number += 1
        updated_at = f"{answer.updated_at}#{number}"
    taken.add((answer.external_id, updated_at))
    return replace(answer, updated_at=updated_at)


def _taken_back(row: RecordedAnswer, taken: set[tuple[str, str]]) -> RecordedAnswer:
    ended = replace(row.answer, updated_at=f"{row.answer.updated_at}/withdrawn", problem=None)
    return replace(
        row, answer=_renamed(replace(ended, label=None), taken), class_id=None, withdrawn=True
    )


def _check_classes(given: Sequence[Answer], names: Iterable[str], where: str) -> None:
    known = set(names)
    unknown = sorted(
        one.label
        for one in given
        if one.label is not None and one.label not in known and one.problem is None
    )
    if unknown:
        number = "1 answer names" if len(unknown) == 1 else f"{len(unknown)} answers name"
        raise AnswerError(
            f'{where}: {number} no known class, for example "{unknown[0]}"; '
            f"{catalog.suggestion(unknown[0], known)}. Correct the answer, or add "
            "a new class to data.classes, and run again"
        )


def _wanted(project: Project, asked: Query, gone: set[int]) -> set[int]:
    """Return the samples of a query that the round waits for.

    Not those withdrawn, and no gold questions: perhaps everybody has answered them before.
    """
    with project.ledger.read() as connection:
        states = questions.states_of(connection, asked.key)
    return {
        item.sample_id
        for item in asked.items
        if item.reason != "gold"
        and item.sample_id not in gone
        and states.get(item.sample_id) != "withdrawn"
    }


def _answered(project: Project, asked: Query, news: _News) -> set[int]:
    """Return the samples of a query with an answer that counts, given to this query."""
    with project.ledger.read() as connection:
        before = answers.current_answers(connection, asked.round_number)
    said: Mapping[str, RecordedAnswer] = {
        f"{one.oracle}/{one.answer.external_id}": one for one in (*before, *news.recorded)
    }
    return {
        one.answer.sample_id for one in said.values() if one.query_key == asked.key and one.counts
    }
