"""What the fake Label Studio lets tests do beyond what the real one does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
import pytest

from tests.label_studio.contract_server import CONFIG, row, said
from tests.label_studio.fake import FakeLabelStudio, body_of

MOMENT = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture
def fake() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as server:
        yield server


@pytest.fixture
def http(fake: FakeLabelStudio) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Token {fake.token}"}
    with httpx.Client(base_url=fake.url, headers=headers) as client:
        yield client


def _project(http: httpx.Client) -> int:
    made = http.post("/api/projects", json={"title": "powers", "label_config": CONFIG})
    return int(made.json()["id"])


def _put(http: httpx.Client, *uids: str) -> list[int]:
    rows = [row(uid) for uid in uids]
    made = http.post(f"/api/projects/{_project(http)}/import?return_task_ids=true", json=rows)
    return list(made.json()["task_ids"])


def test_clock_that_stands_gives_all_rows_one_time(
    fake: FakeLabelStudio, http: httpx.Client
) -> None:
    fake.set_clock(lambda: MOMENT)
    tasks = _put(http, "a", "b")
    fake.answer(tasks[1], "cat", fake.add_user("b@example.com"))
    seen = [http.get(f"/api/tasks/{task}").json() for task in tasks]
    assert {task["updated_at"] for task in seen} == {"2026-03-01T12:00:00.250000Z"}
    assert seen[1]["annotations"][0]["updated_at"] == "2026-03-01T12:00:00.250000Z"


def test_clock_at_a_full_second_is_written_without_a_fraction(
    fake: FakeLabelStudio, http: httpx.Client
) -> None:
    fake.set_clock(lambda: MOMENT.replace(microsecond=0))
    (task,) = _put(http, "a")
    assert http.get(f"/api/tasks/{task}").json()["updated_at"] == "2026-03-01T12:00:00Z"


def test_clock_that_is_skewed_shows_in_the_date_of_answers(
    fake: FakeLabelStudio, http: httpx.Client
) -> None:
    fake.set_clock(lambda: datetime.now(UTC) + timedelta(hours=3))
    told = parsedate_to_datetime(http.get("/api/version").headers["Date"])
    assert timedelta(hours=2) < told - datetime.now(UTC) < timedelta(hours=4)


def test_answer_is_what_a_person_sends(fake: FakeLabelStudio, http: httpx.Client) -> None:
    tasks = _put(http, "a", "b")
    person = fake.add_user("b@example.com")
    fake.answer(tasks[0], "dog", person, lead_time=2.0)
    fake.answer(tasks[1], None, person)
    given, skipped = (http.get(f"/api/tasks/{task}").json() for task in tasks)
    assert given["annotations"][0]["result"] == said("dog")
    assert given["annotations"][0]["completed_by"]["email"] == "b@example.com"
    assert (given["annotations"][0]["lead_time"], given["is_labeled"]) == (2.0, True)
    assert (skipped["cancelled_annotations"], skipped["is_labeled"]) == (1, False)


def test_access_token_ends_after_the_seconds_set(fake: FakeLabelStudio, http: httpx.Client) -> None:
    token = http.post("/api/token/", json={}).json()["token"]

    def status() -> int:
        fresh = http.post("/api/token/refresh", json={"refresh": token}).json()["access"]
        bearer = {"Authorization": f"Bearer {fresh}"}
        return http.get("/api/projects", headers=bearer).status_code

    assert status() == 200
    fake.tokens.access_seconds = -1
    assert status() == 401


def test_requests_are_kept_in_order_with_their_answers(
    fake: FakeLabelStudio, http: httpx.Client
) -> None:
    project = _project(http)
    http.get("/api/tasks", params={"project": project, "page": 9})
    made, asked = fake.requests
    assert (made.method, made.path, made.status) == ("POST", "/api/projects", 201)
    assert body_of(made)["title"] == "powers"
    assert (asked.query, asked.status, body_of(asked)) == (f"project={project}&page=9", 404, None)


def test_request_that_is_not_modeled_is_refused_as_such(
    fake: FakeLabelStudio, http: httpx.Client
) -> None:
    project = _project(http)
    answer = http.get(f"/api/projects/{project}/export", params={"exportType": "CSV"})
    assert answer.status_code == 501
    assert "use the real one" in answer.json()["detail"]
    assert fake.requests[-1].status == 501


def test_server_left_ends_its_connections() -> None:
    with FakeLabelStudio() as fake:
        client = httpx.Client(base_url=fake.url)
        assert client.get("/api/version").json() == {"release": "1.23.2"}
    with contextlib.closing(client), pytest.raises(httpx.HTTPError):
        client.get("/api/version")
