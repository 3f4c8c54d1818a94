"""Answers that came with the data, beside those that were asked for."""

from __future__ import annotations

import pytest

from holdfast.records import Answer, LabelEvent, Query, QueryItem, RecordedAnswer
from holdfast.store import answers, labels, queries, rounds, samples, unasked
from holdfast.store.label_rule import Scope
from holdfast.store.ledger import Ledger
from holdfast.store.samples import NewSample


def came(sample_id: int, who: str, class_id: int | None, key: str, when: str = "1"):
    answer = Answer(
        sample_id=sample_id,
        label=None if class_id is None else "cat",
        annotator=who,
        external_id=key,
        updated_at=when,
    )
    return RecordedAnswer(
        answer=answer,
        query_key=None,
        oracle=unasked.ORACLE,
        class_id=class_id,
        withdrawn=class_id is None,
    )


def asked(sample_id: int, key: str):
    answer = Answer(
        sample_id=sample_id, label="cat", annotator="cho", external_id=key, updated_at="1"
    )
    return RecordedAnswer(answer=answer, query_key="round-1", oracle="csv", class_id=0)


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """Three samples, two classes, and a round that asked about the second."""
    with ledger.write() as connection:
        samples.register(
            connection,
            [
                NewSample(
                    uid=f"{n:064x}", num_bytes=1, width=8, height=8, channels=3, source=str(n)
                )
                for n in (1, 2, 3)
            ],
        )
        labels.add_classes(connection, ["cat", "dog"])
        number = rounds.start(connection, "0" * 64)
        item = QueryItem(sample_id=2, reason="random", score=0.0)
        queries.add_query(connection, Query(round_number=number, batch=1, items=(item,)))
    return ledger


def test_answer_recorded_again_stays_one(filled: Ledger) -> None:
    with filled.write() as connection:
        assert unasked.add(connection, [came(1, "ann", 0, "a"), came(1, "bob", 1, "b")]) == 2
        assert unasked.add(connection, [came(1, "ann", 0, "a"), came(3, "ann", 0, "c")]) == 1
        assert unasked.add(connection, []) == 0
        ids, who, classes = answers.votes(connection)
    assert (ids.tolist(), who, classes.tolist()) == ([1, 1, 3], ["ann", "bob", "ann"], [0, 1, 0])


def test_held_below_is_the_newest_of_each_that_was_not_withdrawn(filled: Ledger) -> None:
    with filled.write() as connection:
        unasked.add(
            connection,
            [
                came(1, "ann", 0, "p_1&1", "1"),
                came(1, "ann", 1, "p_1&1", "2"),
                came(1, "bob", 0, "p_1&2", "1"),
                came(1, "bob", None, "p_1&2", "1/withdrawn"),
                came(1, "bob", 0, "pX1&3", "1"),
            ],
        )
        assert unasked.held_below(connection, "p_1") == {"p_1&1": "2"}
        rows = unasked.rows_by_ids(connection, ["p_1&2"])
    assert [row.withdrawn for row in rows] == [False, True]


def test_unasked_answers_are_of_no_round_and_known_by_it(filled: Ledger) -> None:
    with filled.write() as connection:
        answers.add(connection, [asked(2, "x")])
        before = answers.last_id(connection)
        assert not unasked.came_since(connection, before)
        unasked.add(connection, [came(1, "ann", 0, "a"), came(2, "ann", 0, "b")])
        assert unasked.came_since(connection, before)
        assert len(answers.current_answers(connection)) == 3
        assert [one.answer.sample_id for one in answers.current_answers(connection, 1)] == [2]
        # News about a sample that a round asked about is for its next consensus.
        assert answers.changed_since(connection, before, 2).tolist() == [2]
        assert unasked.never_asked(connection, [1, 2, 3]) == {1, 3}
        assert unasked.spoken_of(connection, [1, 2, 3]) == {1, 2}
        assert unasked.asked_ids(connection).tolist() == [2]


def test_current_answers_of_a_round_and_of_samples_leave_out_what_was_replaced(
    filled: Ledger,
) -> None:
    with filled.write() as connection:
        unasked.add(connection, [came(1, "ann", 0, "a", "1"), came(1, "ann", 1, "a", "2")])
        held = answers.current_about(connection, [1])
        assert [(one.class_id, one.answer.updated_at) for one in held] == [(1, "2")]
        assert held == answers.current_answers(connection)


def event(sample_id: int, kind: str, class_id: int, key: str) -> LabelEvent:
    return LabelEvent(
        sample_id=sample_id, kind=kind, class_id=class_id, annotator="ann", source_key=key
    )


def test_annotation_that_came_with_the_data_counts_between_asked_and_given(filled: Ledger) -> None:
    with filled.write() as connection:
        labels.append(connection, [event(1, "annotation", 1, "a"), event(1, "given", 0, "b")], None)
        labels.append(connection, [event(2, "annotation", 0, "c")], 1)
        labels.append(connection, [event(2, "annotation", 1, "d")], None)
        labels.append(connection, [event(3, "given", 0, "e")], None)
        labels.append(connection, [event(3, "annotation", 1, "f")], None)
        scope = labels.open_scope(connection)
        for one in (scope, Scope(scope.watermark, scope.excluded)):
            table = labels.resolve(connection, one)
            assert table.class_ids_n.tolist() == [1, 0, 1]
            # A round asked for one of them.
            assert table.verified_n.tolist() == [False, True, False]
        assert set(labels.verified_at(connection, table.sample_ids_n)) == {2}
        assert labels.came_with(connection, table.sample_ids_n) == {1: 0, 2: 1, 3: 1}
        assert labels.given_of(connection, table.sample_ids_n) == {1: 0, 3: 0}
