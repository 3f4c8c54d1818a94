"""The report about annotators says what the ledger says: edits, withdrawals and gold included."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from holdfast.cli.annotators import annotators
from holdfast.phases.annotators import summarize
from holdfast.project import Project
from holdfast.records import (
    BAD_IMAGE,
    NONE_OF_THESE,
    SKIPPED,
    Answer,
    Changes,
    Query,
    QueryItem,
    RecordedAnswer,
)
from holdfast.store import labels, rounds

NOON = datetime(2031, 5, 17, 12, tzinfo=UTC)
CLASSES = ("blue", "green", "red")


class Desk:
    """Answers put straight into the ledger of one project, as an oracle would deliver them."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.count = 0
        with project.ledger.write() as connection:
            self.round = rounds.start(connection, "0" * 64)
            table = labels.resolve(connection, labels.open_scope(connection))
        self.truth = dict(zip(table.sample_ids_n.tolist(), table.class_ids_n.tolist(), strict=True))
        self.ids = list(self.truth)

    def ask(self, batch: int, sample_ids: Sequence[int], reason: str = "uncertain") -> Query:
        items = tuple(QueryItem(sample_id=one, reason=reason, score=1.0) for one in sample_ids)
        query = Query(round_number=self.round, batch=batch, items=items)
        self.record(Changes(query=query))
        return query

    def say(
        self,
        query: Query,
        sample_id: int,
        who: str,
        class_id: int | None,
        *,
        key: str = "",
        withdrawn: bool = False,
        **details: object,
    ) -> None:
        self.count += 1
        answer = Answer(
            sample_id=sample_id,
            label=None if class_id is None else CLASSES[class_id],
            annotator=who,
            external_id=key or str(self.count),
            updated_at=str(self.count),
            **{"answered_at": (NOON - timedelta(hours=1)).isoformat(), **details},
        )
        self.record(
            Changes(
                answers=(
                    RecordedAnswer(
                        answer=answer,
                        query_key=query.key,
                        oracle="desk",
                        class_id=None if answer.problem else class_id,
                        withdrawn=withdrawn,
                    ),
                )
            )
        )

    def record(self, changes: Changes) -> None:
        with self.project.ledger.write() as connection:
            rounds.apply(connection, changes, self.round)

    def report(self):
        return summarize(self.project, NOON)

    def person(self, name: str):
        return next(one for one in self.report().annotators if one.name == name)


@pytest.fixture
def desk(tiny_project: Callable[[str], Path]):
    with Project.open(tiny_project("desk")) as project:
        yield Desk(project)


def test_report_without_answers_is_whole_and_empty(tiny_project: Callable[[str], Path]) -> None:
    root = tiny_project("silent")
    result = annotators(Namespace(config=root))
    assert result.data["report"]["annotators"] == ()
    assert result.data["report"]["alpha"] is None
    assert "Nobody has answered yet." in (root / "reports" / "annotators.html").read_text()
    assert "needs samples with answers of two people" in result.text


def test_report_counts_replies_by_what_they_say(desk: Desk) -> None:
    query = desk.ask(1, desk.ids[:8])
    for number, details in enumerate(
        (
            {},
            {"remark": NONE_OF_THESE},
            {"remark": BAD_IMAGE},
            {"remark": SKIPPED},
            {"problem": "two choices"},
        )
    ):
        desk.say(query, desk.ids[number], "anna", None, **details)
    desk.say(query, desk.ids[5], "anna", 1)
    desk.say(query, desk.ids[6], "anna", 1, answered_at=(NOON - timedelta(days=9)).isoformat())
    desk.say(query, desk.ids[7], "anna", 1, answered_at=None)
    report = desk.report()
    (anna,) = report.annotators
    said = anna.replies
    assert (said.labels, said.recent) == (3, 1)
    assert (said.cannot_tell, said.none_of_these, said.bad_image) == (1, 1, 1)
    assert (said.skipped, said.kept_aside) == (1, 1)
    assert report.days == {"2031-05-08": 1, "2031-05-17": 1}
    assert report.undated == 1
    assert report.problems == {"two choices": 1}


def test_report_shows_an_edited_answer_as_it_is_now_and_none_that_was_taken_back(
    desk: Desk,
) -> None:
    query = desk.ask(1, desk.ids[:2])
    desk.say(query, desk.ids[0], "anna", 0, key="edited")
    desk.say(query, desk.ids[0], "anna", 2, key="edited")
    desk.say(query, desk.ids[1], "anna", 1, key="gone")
    desk.say(query, desk.ids[1], "anna", None, key="gone", withdrawn=True)
    report = desk.report()
    assert report.replies.labels == 1
    assert report.said == {"red": {"red": 1}}


def test_report_of_one_person_claims_no_accuracy(desk: Desk) -> None:
    query = desk.ask(1, desk.ids[:5])
    for sample_id in desk.ids[:5]:
        desk.say(query, sample_id, "anna", desk.truth[sample_id])
    report = desk.report()
    (anna,) = report.annotators
    assert (anna.accuracy, anna.interval, anna.kappa, anna.weight) == (None, None, None, None)
    assert not anna.is_spammer
    assert (report.alpha, report.fleiss) == (None, None)


def test_report_times_what_people_answered_and_not_what_they_skipped(desk: Desk) -> None:
    query = desk.ask(1, desk.ids[:6])
    for sample_id, seconds in zip(desk.ids[:5], (1.0, 2.0, 3.0, 4.0, None), strict=True):
        desk.say(query, sample_id, "anna", 0, seconds=seconds)
    desk.say(query, desk.ids[5], "anna", None, remark=SKIPPED, seconds=900.0)
    speed = desk.person("anna").speed
    assert speed is not None
    assert (speed.low, speed.median, speed.high, speed.number) == (1.75, 2.5, 3.25, 4)


def test_report_counts_gold_by_the_question_and_not_by_the_sample(desk: Desk) -> None:
    first, second = desk.ids[:2]
    usual = desk.ask(1, [first])
    desk.say(usual, first, "anna", desk.truth[first])
    gold = desk.ask(2, [first, second], reason="gold")
    desk.say(gold, first, "ben", desk.truth[first])
    desk.say(gold, second, "ben", (desk.truth[second] + 1) % 3)
    assert (desk.person("anna").gold_right, desk.person("anna").gold_asked) == (0, 0)
    assert (desk.person("ben").gold_right, desk.person("ben").gold_asked) == (1, 2)


def test_report_tells_a_spammer_from_people_who_look(desk: Desk) -> None:
    rng = np.random.default_rng(0)
    query = desk.ask(1, desk.ids)
    for sample_id in desk.ids:
        for who in ("anna", "ben", "chloe"):
            wrong = rng.random() < 0.05
            desk.say(query, sample_id, who, (desk.truth[sample_id] + wrong) % 3)
        desk.say(query, sample_id, "spam", int(rng.integers(3)))
    report = desk.report()
    people = {one.name: one for one in report.annotators}
    assert [name for name, one in people.items() if one.is_spammer] == ["spam"]
    spam = people.pop("spam")
    for one in people.values():
        assert one.accuracy > 0.85
        assert one.weight > spam.weight
        assert one.kappa > spam.kappa
        assert one.interval[0] <= one.accuracy <= one.interval[1]
        assert one.num_shared == len(desk.ids)
    assert spam.confusions[0].number >= spam.confusions[-1].number
    assert {(pair.first, pair.second) for pair in report.annotator_pairs} >= {("anna", "ben")}
    assert 0.3 < report.alpha < 0.9


def test_command_writes_what_it_prints_as_json(desk: Desk) -> None:
    query = desk.ask(1, desk.ids[:9])
    for sample_id in desk.ids[:9]:
        desk.say(query, sample_id, "anna\x1b[2J", desk.truth[sample_id])
        desk.say(query, sample_id, "<b>ben", desk.truth[sample_id])
    before = desk.project.ledger.digest()
    result = annotators(Namespace(config=desk.project.root))
    assert desk.project.ledger.digest() == before
    assert "\x1b" not in result.text
    assert "answers        18 by 2 annotators" in result.text
    page, numbers = Path(result.data["html"]), Path(result.data["json"])
    assert "<b>ben" not in page.read_text()
    assert json.loads(numbers.read_text()) == json.loads(result.render(as_json=True))["report"]
