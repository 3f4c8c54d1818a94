"""Questions that nobody needs an answer to any more are withdrawn, and no round waits for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from holdfast.errors import AnnotationsPendingError
from holdfast.loop import advance, collect_now, next_phase, open_round
from holdfast.phases.gold import gold_labels, mixed_in
from holdfast.phases.pool import read_pool
from holdfast.project import Project
from holdfast.records import Answer, LabelEvent, Query, QueryItem, RecordedAnswer
from holdfast.store import answers, labels, quarantine, queries, questions


@pytest.fixture
def asked(tiny_project: Callable[[], Path]) -> Iterator[Project]:
    """A project whose first round waits for answers in a file."""
    with Project.open(tiny_project()) as project:
        annotation = replace(project.config.annotation, oracle="csv", truth="")
        query = replace(project.config.query, floor_suspects=0.5)
        project.config = replace(project.config, annotation=annotation, query=query)
        number = open_round(project)
        while next_phase(project, number) != "collect":
            advance(project, number)
        yield project


def of_reason(project: Project, reason: str) -> list[int]:
    with project.ledger.read() as connection:
        (query,) = queries.queries_of(connection, 1)
    return [item.sample_id for item in query.items if item.reason == reason]


def wait(project: Project) -> tuple[int, int]:
    """Collect; how many are in, of how many."""
    with pytest.raises(AnnotationsPendingError) as waiting:
        advance(project, 1)
    return waiting.value.answered, waiting.value.asked


def states(project: Project) -> dict[int, str]:
    with project.ledger.read() as connection:
        return dict(questions.states_of(connection, "round-1"))


def answer_of(sample_id: int, class_id: int) -> RecordedAnswer:
    answer = Answer(
        sample_id=sample_id,
        label="any",
        annotator="a",
        external_id=str(sample_id),
        updated_at="1",
    )
    return RecordedAnswer(answer=answer, query_key="round-1", oracle="csv", class_id=class_id)


def test_question_of_a_sample_in_quarantine_is_withdrawn(asked: Project) -> None:
    assert wait(asked) == (0, 6)
    gone = next(iter(states(asked)))
    with asked.ledger.write() as connection:
        quarantine.set_aside(connection, {gone: "not ours"}, "test")
    assert wait(asked) == (0, 5)
    assert [one for one, state in states(asked).items() if state == "withdrawn"] == [gone]


def test_question_settled_elsewhere_is_withdrawn(asked: Project) -> None:
    gone = next(iter(states(asked)))
    event = LabelEvent(
        sample_id=gone, kind="annotation", class_id=0, annotator="elsewhere", source_key="e"
    )
    with asked.ledger.write() as connection:
        labels.append(connection, [event], 1)
        (row,) = [q for q in questions.standing(connection) if q.sample_id == gone]
    assert wait(asked) == (0, 5)
    with asked.ledger.read() as connection:
        (row,) = questions.standing(connection, ("withdrawn",))
    assert (row.sample_id, row.reason) == (gone, "its label was settled elsewhere")


def test_suspect_of_a_retired_class_is_withdrawn_and_a_new_sample_is_not(asked: Project) -> None:
    suspects = of_reason(asked, "suspect")
    assert suspects
    data = replace(asked.config.data, retired=("blue", "green", "red"))
    asked.config = replace(asked.config, data=data)
    assert wait(asked)[1] == 6 - len(suspects)
    assert {one for one, state in states(asked).items() if state == "withdrawn"} == set(suspects)


def test_round_goes_on_when_every_question_was_withdrawn(asked: Project) -> None:
    with asked.ledger.write() as connection:
        quarantine.set_aside(connection, dict.fromkeys(states(asked), "not ours"), "test")
    assert collect_now(asked)
    assert next_phase(asked, 1) == "consensus"
    assert advance(asked, 1).next_phase == "snapshot"
    with asked.ledger.read() as connection:
        assert answers.num_answers(connection) == 0


def test_gold_labels_are_those_two_statements_agree_on(asked: Project) -> None:
    first, second, third = of_reason(asked, "suspect")
    with asked.ledger.write() as connection:
        given = labels.given_of(connection, np.array([first, second, third]))
        # The record and an answer agree; an answer and nobody else; the record and no answer.
        confirmed = {first: given[first], second: (given[second] + 1) % 3, third: given[third]}
        events = [
            LabelEvent(
                sample_id=one, kind="annotation", class_id=k, annotator="a", source_key=str(one)
            )
            for one, k in confirmed.items()
        ]
        labels.append(connection, events, 1)
        answers.add(connection, [answer_of(one, confirmed[one]) for one in (first, second)])
        ids, classes = gold_labels(connection, read_pool(connection))
    assert (ids.tolist(), classes.tolist()) == ([first], [given[first]])


def test_gold_questions_mixed_in_leave_the_order_of_the_others() -> None:
    items = tuple(QueryItem(sample_id=i, reason="random", score=0.0) for i in range(9))
    gold = tuple(QueryItem(sample_id=i, reason="gold", score=0.0) for i in (20, 21))
    mixed = mixed_in(items, gold, np.random.default_rng(0))
    assert [one for one in mixed if one.reason != "gold"] == list(items)
    assert {one.sample_id for one in mixed} == {*range(9), 20, 21}
    assert Query(round_number=1, batch=1, items=mixed).key == "round-1"
