import json
from collections.abc import Iterator

import jwt
import pytest

from holdfast.annotation.label_studio_client import LabelStudioClient, connect
from holdfast.annotation.labeling_interface import build_interface
from holdfast.annotation.task_filters import ids_filter, number_filter, text_filter
from holdfast.errors import ConfigError, TransientError
from tests.label_studio.fake import FakeLabelStudio
from tests.label_studio.proxy import FaultProxy


@pytest.fixture
def server() -> Iterator[FakeLabelStudio]:
    with FakeLabelStudio() as running:
        yield running


@pytest.fixture
def client(server: FakeLabelStudio) -> Iterator[LabelStudioClient]:
    with connect(server.url, server.token, page_size=2) as opened:
        yield opened


def _project(client: LabelStudioClient, num_tasks: int) -> tuple[int, list[int]]:
    config = build_interface(["cat", "dog"])
    body = {"title": "client", "label_config": config}
    project = client.request("POST", "/api/projects", json=body)["id"]
    tasks = [{"image": "x", "why": "", "uid": f"{number:03}"} for number in range(num_tasks)]
    if not tasks:
        return project, []
    path, params = f"/api/projects/{project}/import", {"return_task_ids": "true"}
    return project, client.request("POST", path, params=params, json=tasks)["task_ids"]


@pytest.mark.parametrize("num_tasks", [0, 1, 2, 3, 4, 5])
def test_tasks_of_several_pages_come_once_each_by_rising_id(client, num_tasks):
    project, ids = _project(client, num_tasks)
    assert [task["id"] for task in client.tasks(project, include=("id",))] == ids


def test_tasks_that_fit_the_filters_come_alone(client):
    project, ids = _project(client, 6)
    some = [
        number_filter("id", "greater", ids[0]),
        text_filter("data.uid", "regex", "[0-4]$"),
        ids_filter([ids[0], ids[2], ids[4], ids[5]]),
    ]
    assert [task["id"] for task in client.tasks(project, some, include=("id",))] == [ids[2], ids[4]]


def test_tasks_hold_what_was_asked_for_and_no_more(client):
    project, _ = _project(client, 1)
    [task] = client.tasks(project, include=("id", "data"))
    assert sorted(task) == ["data", "id"]


@pytest.mark.parametrize(
    "answer",
    [
        {"total": 3, "tasks": []},
        {"total": 2, "tasks": [{"id": 5}, {"id": 4}]},
        {"total": 2, "tasks": [{"id": 5}, {"id": 5}]},
    ],
)
def test_tasks_that_do_not_fit_their_count_are_not_believed(server, answer):
    body = json.dumps({**answer, "total_annotations": 0, "total_predictions": 0}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    with FaultProxy(server.url) as proxy, connect(proxy.url, server.token) as client:
        proxy.on(lambda exchange: exchange.reply(head + body), path="/api/tasks")
        with pytest.raises(TransientError, match="run again"):
            list(client.tasks(1, include=("id",)))


def test_newest_task_comes_with_all_counts_and_the_servers_time(client):
    project, ids = _project(client, 3)
    head = client.newest(project)
    assert ([task["id"] for task in head.tasks], head.total) == ([ids[-1]], 3)
    assert head.server_time.tzinfo is not None


def test_project_that_does_not_exist_has_no_newest_task_and_no_pages(client):
    assert client.newest(99) is None
    assert client.find("/api/projects/99") is None
    with pytest.raises(TransientError, match="project 99 is gone"):
        client.page(99)
    with pytest.raises(TransientError, match="answered 404 to GET /api/projects/99"):
        client.request("GET", "/api/projects/99")


def test_request_that_the_server_does_not_take_gives_its_reason(client):
    with pytest.raises(ConfigError, match="at least 3 characters"):
        client.request("POST", "/api/projects", json={"title": "x"})


@pytest.mark.parametrize("token", ["", " \n"])
def test_connect_without_a_token_is_an_error(token):
    with pytest.raises(ConfigError, match="access token is empty"):
        connect("http://127.0.0.1:9", token)


def test_connect_with_a_personal_token_that_ended_is_an_error():
    ended = jwt.encode({"exp": 1, "token_type": "refresh"}, "x" * 32, "HS256")
    with pytest.raises(ConfigError, match="refuses the personal access token"):
        connect("http://127.0.0.1:9", ended)


def test_connect_takes_a_token_as_files_hold_it(server):
    with connect(f"{server.url}/", f" {server.token}\n") as client:
        assert client.find("/api/projects/99") is None
