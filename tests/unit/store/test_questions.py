"""Where questions stand: who may send them, what they become, what oracles remember."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from holdfast.errors import TransientError
from holdfast.processes import is_gone, this_process
from holdfast.records import Answer, Changes, Query, QueryItem, QuestionChange, RecordedAnswer
from holdfast.store import answers, labels, questions, rounds, samples
from holdfast.store.ledger import Ledger
from holdfast.store.samples import NewSample
from holdfast.store.schema import question


def ask(batch=1, sample_ids=(1, 2, 3)):
    items = tuple(QueryItem(sample_id=i, reason="random", score=0.0) for i in sample_ids)
    return Query(round_number=1, batch=batch, items=items)


def say(sample_id, external_id, updated_at="1", label="cat", **settings):
    return RecordedAnswer(
        answer=Answer(
            sample_id=sample_id,
            label=label,
            annotator="ann",
            external_id=external_id,
            updated_at=updated_at,
            problem=settings.pop("problem", None),
        ),
        query_key="round-1",
        oracle="label-studio",
        class_id=None if label is None else 0,
        **settings,
    )


@pytest.fixture
def connection(ledger):
    """Three samples and a query about them."""
    new = [
        NewSample(uid=c * 64, num_bytes=1, width=8, height=8, channels=3, source=c) for c in "abc"
    ]
    with ledger.write() as connection:
        samples.register(connection, new)
        labels.add_classes(connection, ["cat", "dog"])
        rounds.start(connection, "digest")
        rounds.apply(connection, Changes(query=ask()), 1)
        yield connection


def states(connection, key="round-1"):
    return questions.states_of(connection, key)


def set_lease(connection, owner, until):
    connection.execute(sa.update(question).values(lease_owner=owner, lease_until=until))


def test_query_opens_its_questions_and_lease_gives_them_in_order(connection):
    assert set(states(connection).values()) == {"open"}
    assert questions.lease(connection, "round-1") == [1, 2, 3]


def test_lease_of_this_process_can_be_taken_again(connection):
    questions.lease(connection, "round-1")
    assert questions.lease(connection, "round-1") == [1, 2, 3]


def test_lease_of_a_living_process_is_left_to_it(connection):
    other = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from holdfast.processes import this_process as t; print(t(), flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    owner = other.stdout.readline().strip()
    set_lease(connection, owner, "9999")
    with pytest.raises(TransientError, match="being sent by another process"):
        questions.lease(connection, "round-1")
    other.communicate()
    assert is_gone(owner)
    assert questions.lease(connection, "round-1") == [1, 2, 3]


def test_lease_that_ran_out_or_is_of_a_reused_process_number_is_taken_over(connection):
    host, _, started = this_process().rsplit("/", 2)
    set_lease(connection, "elsewhere/1/1", "2000-01-01")
    assert questions.lease(connection, "round-1") == [1, 2, 3]
    # A parent may have begun in the same tick, so the name says a later one.
    set_lease(connection, f"{host}/{os.getppid()}/{started}1", "9999")
    assert questions.lease(connection, "round-1") == [1, 2, 3]
    set_lease(connection, "elsewhere/1/1", "9999")
    with pytest.raises(TransientError):
        questions.lease(connection, "round-1")


def test_sent_questions_are_not_leased_again(connection):
    questions.mark_sent(connection, "round-1", {1: "11", 3: None})
    assert questions.lease(connection, "round-1") == [2]
    assert states(connection) == {1: "sent", 2: "open", 3: "sent"}
    found = {one.sample_id: one.external_id for one in questions.standing(connection)}
    assert found == {1: "11", 2: None, 3: None}


def test_answer_that_counts_marks_its_question_and_one_in_quarantine_does_not(connection):
    new = (say(1, "a"), say(2, "b", problem="two choices"), say(3, "c", label=None))
    rounds.apply(connection, Changes(answers=new), 1)
    assert states(connection) == {1: "answered", 2: "open", 3: "answered"}


def test_standing_gives_second_opinions_first(connection):
    rounds.apply(connection, Changes(query=ask(2, (3,))), 1)
    keys = [(one.query_key, one.sample_id) for one in questions.standing(connection)]
    assert keys == [("round-1.2", 3), ("round-1", 1), ("round-1", 2), ("round-1", 3)]
    assert questions.newest_state(connection, 3) == "open"
    questions.change(
        connection,
        [QuestionChange(query_key="round-1.2", sample_id=3, state="withdrawn", reason="gone")],
    )
    assert questions.newest_state(connection, 3) == "withdrawn"
    assert questions.newest_state(connection, 99) is None


def test_backlog_counts_each_state_in_the_order_of_its_life(connection):
    questions.mark_sent(connection, "round-1", {1: None})
    questions.change(
        connection, [QuestionChange(query_key="round-1", sample_id=2, state="settled")]
    )
    assert [(one.state, one.count) for one in questions.backlog(connection)] == [
        ("open", 1),
        ("sent", 1),
        ("settled", 1),
    ]


def test_newest_row_of_an_answer_holds_and_a_withdrawn_one_is_gone(connection):
    answers.add(connection, [say(1, "a"), say(2, "b")])
    answers.add(connection, [say(1, "a", "2", label="dog"), say(2, "b", "2", withdrawn=True)])
    (current,) = answers.current_answers(connection)
    assert (current.answer.external_id, current.answer.label) == ("a", "dog")
    assert answers.votes(connection)[0].tolist() == [1]
    assert len(answers.rows_of(connection, "label-studio", [1, 2])) == 4


def test_what_an_oracle_remembers_is_replaced_and_no_part_of_the_story(ledger):
    before = ledger.digest()
    with ledger.write() as connection:
        assert questions.remembered(connection, "label-studio") == {}
        questions.remember(connection, "label-studio", {"project": 3})
        questions.remember(connection, "label-studio", {"project": 4})
        assert questions.remembered(connection, "label-studio") == {"project": 4}
    assert ledger.digest() == before


def test_ledger_of_the_first_revision_learns_where_its_questions_stand(tmp_path):
    url = f"sqlite:///{tmp_path}/old.db"
    engine = sa.create_engine(url)
    config = Config()
    config.set_main_option("script_location", "holdfast.store:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    with engine.begin() as connection:
        for statement in (
            "INSERT INTO class VALUES (0, 'cat', 't')",
            "INSERT INTO round VALUES (1, 'finished', 'd', 't', 't'), (2, 'open', 'd', 't', NULL)",
            "INSERT INTO query VALUES ('round-1', 1, 1), ('round-2', 2, 1)",
            "INSERT INTO sample (id, uid, num_bytes, width, height, channels, source, split, state,"
            " created_at) VALUES (1, 'a', 1, 8, 8, 3, 'a', 'train', 'ok', 't'),"
            " (2, 'b', 1, 8, 8, 3, 'b', 'train', 'ok', 't')",
            "INSERT INTO query_item VALUES ('round-1', 0, 1, 'random', 0, '{}', NULL, 0),"
            " ('round-2', 0, 1, 'random', 0, '{}', NULL, 0),"
            " ('round-2', 1, 2, 'random', 0, '{}', NULL, 0)",
            "INSERT INTO answer (query_key, sample_id, oracle, external_id, updated_at, annotator,"
            " label, class_id, state, created_at)"
            " VALUES ('round-2', 2, 'csv', 'x', 'y', 'file', 'cat', 0, 'ok', 't')",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()
    ledger = Ledger(url)
    with ledger.read() as connection:
        assert states(connection) == {1: "settled"}
        assert states(connection, "round-2") == {1: "open", 2: "answered"}
        (kept,) = answers.current_answers(connection)
    ledger.close()
    assert (kept.answer.label, kept.answer.remark, kept.answer.seconds) == ("cat", "", None)
