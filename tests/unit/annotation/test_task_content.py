import re

import pytest

from holdfast.annotation.labeling_interface import LabelingInterface
from holdfast.annotation.oracle import Card
from holdfast.annotation.task_content import (
    new_task,
    prediction,
    queries_of,
    read_answers,
    task_data,
    uid_of,
)
from holdfast.records import BAD_IMAGE, NONE_OF_THESE, SKIPPED

INTERFACE = LabelingInterface(
    control="kind",
    image="photo",
    image_field="url",
    choices=("cat", "dog"),
    fields=("site", "url", "why"),
)
CARD = Card(
    sample_id=7, uid="ab", reason="uncertain", guess="cat", confidence=0.5, model="m1", label="dog"
)


def _choices(*names, control="kind"):
    return {
        "from_name": control,
        "to_name": "photo",
        "type": "choices",
        "value": {"choices": list(names)},
    }


def _annotation(number, result, *, person=1, at="2026-01-01T00:00:00.000001Z", **fields):
    return {
        "id": number,
        "result": result,
        "completed_by": person,
        "updated_at": at,
        "created_at": at,
        "was_cancelled": False,
        "lead_time": 1.5,
        **fields,
    }


def _read(*annotations, people=None):
    return read_answers(7, annotations, "kind", ("cat", "dog"), people or {1: "anna@x"})


def test_new_task_holds_image_uid_question_and_reason_and_nothing_that_tells_gold():
    task = new_task(CARD, "http://i", "round-1", INTERFACE)
    assert task["data"] == {
        "url": "http://i",
        "uid": "ab",
        "question": "round-1",
        "why": CARD.why,
        "site": "",
    }


def test_prediction_is_of_the_control_with_score_and_model():
    assert prediction(CARD, INTERFACE) == {
        "model_version": "m1",
        "score": 0.5,
        "result": [_choices("cat")],
    }


@pytest.mark.parametrize("guess", [None, "emu"])
def test_prediction_that_nobody_can_choose_is_left_out(guess):
    card = Card(sample_id=7, uid="ab", reason="random", guess=guess)
    assert prediction(card, INTERFACE) is None
    assert new_task(card, "http://i", "round-1", INTERFACE)["predictions"] == []


def test_queries_of_task_data_are_those_it_was_made_with():
    keys = ("round-1", "round-1.2", "round-10")
    assert queries_of(task_data(CARD, "", keys, INTERFACE)) == keys
    assert queries_of({}) == queries_of({"question": 3}) == queries_of({"question": ""}) == ()


@pytest.mark.parametrize("data", [None, [], "ab", {}, {"uid": 3}, {"uid": ""}])
def test_uid_of_a_foreign_task_is_none(data):
    assert uid_of({"data": data}) is None
    assert uid_of({"data": {"uid": "ab"}}) == "ab"


def test_read_answers_of_an_annotation_says_who_what_and_when():
    said = [_choices("cat"), {"type": "textarea", "value": {"text": ["two \n", "lines"]}}]
    [answer] = _read(_annotation(4, said))
    assert (answer.sample_id, answer.label, answer.annotator) == (7, "cat", "anna@x")
    assert (answer.external_id, answer.updated_at) == ("4", "2026-01-01T00:00:00.000001Z")
    assert (answer.comment, answer.seconds, answer.problem) == ("two lines", 1.5, None)
    assert answer.answered_at == "2026-01-01T00:00:00.000001Z"


def test_read_answers_of_hidden_people_keep_them_apart():
    answers = _read(
        _annotation(1, [_choices("cat")], person=8), _annotation(2, [_choices("dog")], person=9)
    )
    assert [one.annotator for one in answers] == ["user 8", "user 9"]


@pytest.mark.parametrize("name", [NONE_OF_THESE, BAD_IMAGE])
def test_read_answers_of_special_choices_are_remarks(name):
    [answer] = _read(_annotation(1, [_choices(name)]))
    assert (answer.label, answer.remark, answer.problem) == (None, name, None)


def test_read_answers_of_a_skip_is_no_label_whatever_it_holds():
    [answer] = _read(_annotation(1, [_choices("cat")], was_cancelled=True))
    assert (answer.label, answer.remark, answer.problem) == (None, SKIPPED, None)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ([], "empty"),
        ([{"type": "textarea", "value": {"text": ["hm"]}}], "empty"),
        ([_choices()], "empty"),
        ([_choices("cat", "dog")], "several classes: cat, dog"),
        ([_choices("cat"), _choices("dog")], "several classes: cat, dog"),
        ([_choices("cat"), _choices(BAD_IMAGE)], "several classes: bad image, cat"),
        ([_choices("cat", control="other")], r"another control \(other\)"),
        (None, "not in the form"),
        ("cat", "not in the form"),
        ([3], "not in the form"),
        ([{"type": "choices", "from_name": "kind"}], "not in the form"),
        (
            [{"type": "choices", "from_name": "kind", "value": {"choices": "cat"}}],
            "not in the form",
        ),
        ([{"type": "choices", "from_name": "kind", "value": {"choices": [3]}}], "not in the form"),
    ],
)
def test_read_answers_that_cannot_count_say_why(result, words):
    [answer] = _read(_annotation(1, result))
    assert answer.label is None
    assert re.search(words, answer.problem)


def test_read_answers_of_an_unknown_class_keep_its_name_beside_the_problem():
    [answer] = _read(_annotation(1, [_choices("emu")]))
    assert (answer.label, answer.problem) == ("emu", '"emu" is no class of this project')


def test_read_answers_naming_one_class_twice_count():
    [answer] = _read(_annotation(1, [_choices("cat"), _choices("cat")]))
    assert (answer.label, answer.problem) == ("cat", None)


def test_read_answers_count_the_latest_of_each_person_whatever_their_order():
    late = "2026-01-02T00:00:00Z"
    annotations = [
        _annotation(1, [_choices("cat")], at=late),
        _annotation(2, [_choices("dog")]),
        _annotation(3, [_choices("dog")], person=2),
        _annotation(4, [_choices("cat")], person=2),
    ]
    for given in (annotations, annotations[::-1]):
        assert [one.external_id for one in _read(*given)] == ["1", "4"]


def test_read_answers_of_nothing_is_nothing():
    assert _read() == ()
