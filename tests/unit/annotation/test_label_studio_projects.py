"""What a task of somebody else's project says."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.annotation.label_studio_projects import ForeignProject, ForeignTask, read_task
from holdfast.annotation.labeling_interface import read_interface

INTERFACE = """
<View><Image name="pic" value="$photo"/>
<Choices name="species" toName="pic" choice="single-radio">
<Choice value="cat"/><Choice value="dog" alias="hound"/><Choice value="none of these"/>
</Choices></View>
"""
PEOPLE = {1: "ann@example.com", 2: "bob@example.com"}


def project() -> ForeignProject:
    return ForeignProject(
        id=3,
        title="animals",
        name="http://studio/projects/3/data",
        interface=read_interface(INTERFACE),
        classes=("cat", "hound"),
        unusable={},
        people=PEOPLE,
        num_tasks=1,
    )


def annotation(number: int, who: int | None, *names: object, **fields: Any) -> dict[str, Any]:
    return {
        "id": number,
        "completed_by": who,
        "created_at": "2026-01-01T00:00:00.000000Z",
        "updated_at": f"2026-01-01T00:00:{number:02d}.000000Z",
        "result": [
            {
                "from_name": "species",
                "to_name": "pic",
                "type": "choices",
                "value": {"choices": list(names)},
            }
        ],
        **fields,
    }


def task(*annotations: dict[str, Any], data: object = None, number: int = 5) -> dict[str, Any]:
    given = {"photo": "/data/upload/a.png"} if data is None else data
    return {"id": number, "data": given, "annotations": list(annotations)}


def read(*annotations: dict[str, Any], data: object = None) -> ForeignTask:
    return read_task(project(), task(*annotations, data=data))


def said(found: ForeignTask) -> list[tuple[str, str]]:
    return [(one.annotator, one.label) for one in found.statements]


def test_each_persons_answer_is_a_statement_that_holds_its_time():
    found = read(annotation(10, 1, "cat"), annotation(11, 2, "hound"))
    assert said(found) == [("ann@example.com", "cat"), ("bob@example.com", "hound")]
    first, second = (one.key for one in found.statements)
    assert first.startswith("http://studio/projects/3/data?task=5&image=")
    assert "&annotation=10@2026-01-01T00:00:10.000000Z" in first
    assert "&annotation=11@2026-01-01T00:00:11.000000Z" in second


def test_later_answer_of_the_same_person_replaces_the_earlier():
    found = read(annotation(10, 1, "cat"), annotation(11, 1, "hound"))
    assert said(found) == [("ann@example.com", "hound")]
    assert found.num_replaced == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (annotation(10, 1, was_cancelled=True), "no class was named: skipped"),
        (annotation(10, 1, result=[]), "nothing was chosen"),
        (annotation(10, 1), "nothing was chosen"),
        (annotation(10, 1, "cat", "hound"), "several classes: cat, hound"),
        (annotation(10, 1, "owl"), '"owl" is no class'),
        (annotation(10, 1, "none of these"), "no class was named: none of these"),
        (annotation(10, 1, ["cat", "big"]), "not in the form"),
        (annotation(10, 1, result="cat"), "not in the form"),
        (annotation(10, 1, result=[{"type": "choices", "from_name": "x"}]), "another control"),
        (annotation(10, 1, result=[{"type": "brushlabels"}]), "nothing was chosen"),
    ],
)
def test_answer_that_names_no_class_is_set_aside_with_the_reason(answer, reason):
    found = read(answer, annotation(11, 2, "cat"))
    assert said(found) == [("bob@example.com", "cat")]
    assert len(found.set_aside) == 1
    assert reason in found.set_aside[0]
    assert found.set_aside[0].endswith("(ann@example.com)")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ("text", "the task has no data"),
        ({}, 'its field "photo" is empty'),
        ({"photo": None}, 'its field "photo" is empty'),
        ({"photo": "  "}, 'its field "photo" is empty'),
        ({"photo": []}, 'its field "photo" is empty'),
        ({"other": "/a.png"}, 'its field "photo" is empty'),
        ({"photo": ["/a.png", "/b.png"]}, "2 images"),
        ({"photo": {"url": "/a.png"}}, "no address but a dict"),
        ({"photo": 0}, "no address but a int"),
    ],
)
def test_task_without_an_image_says_why(data, problem):
    found = read(data=data)
    assert found.address == ""
    assert problem in found.problem


@pytest.mark.parametrize(
    "data", [{"photo": " /a.png "}, {"photo": ["/a.png"]}, {"$undefined$": "/a.png"}]
)
def test_address_of_the_image_is_found(data):
    found = read(data=data)
    assert (found.address, found.problem) == ("/a.png", "")


def test_task_that_takes_the_number_of_a_deleted_one_has_another_name():
    before = read(data={"photo": "/a.png"})
    assert read(data={"photo": "/b.png"}).name != before.name
    assert read(annotation(10, 1, "cat"), data={"photo": "/a.png"}).name == before.name


def test_every_statement_is_new_once_one_of_several_changes():
    alone = {one.key for one in read(annotation(10, 1, "cat")).statements}
    both = [annotation(10, 1, "cat"), annotation(11, 2, "cat")]
    keys = {one.key for one in read(*both).statements}
    edited = annotation(11, 2, "hound", updated_at="2026-01-02T00:00:00.000000Z")
    later = {one.key for one in read(both[0], edited).statements}
    assert len(alone | keys | later) == 5
    assert {one.key for one in read(*reversed(both)).statements} == keys
