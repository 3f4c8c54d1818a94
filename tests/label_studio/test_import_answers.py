"""Annotations of a project that is taken in are answers: edited and withdrawn as they are there."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from holdfast.phases.label_studio_import import import_project
from holdfast.project import Project
from holdfast.records import LabelEvent
from holdfast.store import answers, labels
from tests.image_server import png
from tests.label_studio.contract_server import Person, Server, fake_server, said


@pytest.fixture
def server() -> Iterator[Server]:
    with fake_server() as made:
        yield made


@pytest.fixture
def ours(server: Server, tmp_path: Path) -> Iterator[Project]:
    (tmp_path / "holdfast.toml").write_text(
        f'[annotation.label_studio]\nurl = "{server.url}"\ntoken_file = "token"\n'
    )
    (tmp_path / "token").write_text(server.token)
    with Project.open(tmp_path) as opened:
        yield opened


def photo(seed: int) -> dict[str, Any]:
    image = base64.b64encode(png(seed)).decode()
    return {"data": {"image": f"data:image/png;base64,{image}"}}


def annotate(server: Server, person: Person, task: int, choice: str) -> int:
    """Answer a task as somebody else; the answer's number."""
    reply = httpx.post(
        f"{server.url}/api/tasks/{task}/annotations",
        json={"result": said(choice), "lead_time": 4.0},
        headers={"Authorization": f"Token {person.token}"},
        timeout=60.0,
    )
    return int(reply.raise_for_status().json()["id"])


def held(project: Project) -> list[tuple[str, str | None]]:
    with project.ledger.read() as connection:
        replies = answers.current_answers(connection)
    return sorted((one.answer.annotator.partition("@")[0], one.answer.label) for one in replies)


def current(project: Project, sample_id: int = 1) -> tuple[str, bool] | None:
    with project.ledger.read() as connection:
        names = labels.class_names(connection)
        table = labels.resolve(connection, labels.open_scope(connection))
    found = {
        one: (names[k], bool(verified))
        for one, k, verified in zip(
            table.sample_ids_n.tolist(), table.class_ids_n, table.verified_n, strict=True
        )
    }
    return found.get(sample_id)


def test_answers_come_with_annotator_and_seconds_and_once(server: Server, ours: Project) -> None:
    number = server.project()
    task, other = server.put(number, photo(1), photo(2))
    people = [server.new_person() for _ in range(3)]
    for person, choice in zip(people, ("cat", "dog", "cat"), strict=True):
        annotate(server, person, task, choice)
    annotate(server, people[0], other, "dog")
    report = import_project(ours, number)
    assert (report.num_labeled, report.num_answers, report.num_withdrawn) == (4, 4, 0)
    assert [label for _, label in held(ours)] == ["cat", "dog", "dog", "cat"]
    assert current(ours) == ("cat", False)
    with ours.ledger.read() as connection:
        rows = answers.current_answers(connection)
    assert {(one.query_key, one.answer.seconds) for one in rows} == {(None, 4.0)}
    assert all(one.answer.answered_at for one in rows)
    digest = ours.ledger.digest()
    again = import_project(ours, number)
    assert (again.num_answers, again.num_known, again.num_withdrawn) == (0, 2, 0)
    assert ours.ledger.digest() == digest


def test_deleted_answer_is_withdrawn_and_its_label_with_it(server: Server, ours: Project) -> None:
    number = server.project()
    task, other = server.put(number, photo(1), photo(2))
    people = [server.new_person() for _ in range(3)]
    made = [
        annotate(server, who, task, say)
        for who, say in zip(people, ("cat", "cat", "dog"), strict=True)
    ]
    annotate(server, people[0], other, "dog")
    import_project(ours, number)
    with ours.ledger.write() as connection:
        event = LabelEvent(
            sample_id=1, kind="consensus", class_id=0, annotator="consensus", source_key="c"
        )
        labels.append(connection, [event], 1)
    assert current(ours) == ("cat", True)
    for gone, left in ((0, ("cat", False)), (1, ("dog", False)), (2, None)):
        server.ok("DELETE", f"annotations/{made[gone]}")
        assert import_project(ours, number).num_withdrawn == 1
        assert current(ours) == left
        assert import_project(ours, number).num_withdrawn == 0
    assert [label for _, label in held(ours)] == ["dog"]


def test_answer_edited_to_no_class_is_withdrawn_and_comes_back(
    server: Server, ours: Project
) -> None:
    number = server.project()
    task, other = server.put(number, photo(1), photo(2))
    person = server.new_person()
    made = annotate(server, person, task, "cat")
    annotate(server, person, other, "dog")
    import_project(ours, number)
    for result, num_answers, num_withdrawn, left in (
        ([], 0, 1, None),
        (said("dog"), 1, 0, ("dog", False)),
        (said("cat"), 1, 0, ("cat", False)),
    ):
        server.ok("PATCH", f"annotations/{made}", {"result": result})
        report = import_project(ours, number)
        assert (report.num_answers, report.num_withdrawn) == (num_answers, num_withdrawn)
        assert current(ours) == left


def test_deleted_task_changes_nothing(server: Server, ours: Project) -> None:
    number = server.project()
    task, other = server.put(number, photo(1), photo(2))
    person = server.new_person()
    annotate(server, person, task, "cat")
    annotate(server, person, other, "dog")
    import_project(ours, number)
    server.ok("DELETE", f"tasks/{task}")
    assert import_project(ours, number).num_withdrawn == 0
    assert current(ours) == ("cat", False)
    assert [label for _, label in held(ours)] == ["cat", "dog"]
