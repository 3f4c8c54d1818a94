"""What Label Studio calls and exports: one suite over the real server and the fake."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.label_studio.contract_server import CONFIG, Server, said


@dataclass
class Listener:
    """A server of ours that Label Studio calls; `heard` holds path, headers and body."""

    url: str
    heard: list[tuple[str, dict[str, str], Any]]


@pytest.fixture
def listener() -> Iterator[Listener]:
    heard: list[tuple[str, dict[str, str], Any]] = []

    class Ear(BaseHTTPRequestHandler):
        def listen(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            heard.append((self.path, dict(self.headers), json.loads(body) if body else None))
            reply = json.dumps({"status": "UP", "model_version": "m1"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(reply)))
            self.end_headers()
            self.wfile.write(reply)

        def log_message(self, *_: object) -> None:
            pass

        do_GET = do_POST = listen  # noqa: N815

    with HTTPServer(("127.0.0.1", 0), Ear) as ear:
        thread = threading.Thread(target=ear.serve_forever, args=(0.02,))
        thread.start()
        yield Listener(f"http://127.0.0.1:{ear.server_port}", heard)
        ear.shutdown()
        thread.join()


def test_webhook_tells_of_annotations_with_its_own_headers(
    server: Server, listener: Listener
) -> None:
    project = server.project()
    (task,) = server.put(project, "a")
    actions = ["ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_DELETED"]
    hook = {
        "url": f"{listener.url}/hook",
        "project": project,
        "headers": {"X-Secret": "s"},
        "send_for_all_actions": False,
        "actions": actions,
    }
    made = server.ok("POST", "webhooks/", hook)
    assert [found["id"] for found in server.ok("GET", "webhooks/", project=project)] == [made["id"]]
    given = server.annotate(task)
    server.ok("PATCH", f"annotations/{given['id']}", {"result": said("dog")})
    server.ok("DELETE", f"annotations/{given['id']}")
    server.put(project, "b")
    assert [body["action"] for _, _, body in listener.heard] == actions
    path, headers, body = listener.heard[0]
    assert (path, headers["X-Secret"]) == ("/hook", "s")
    assert (body["annotation"]["id"], body["project"]["id"]) == (given["id"], project)


def test_webhook_that_nobody_hears_changes_nothing(server: Server) -> None:
    project = server.project()
    (task,) = server.put(project, "a")
    server.ok("POST", "webhooks/", {"url": "http://127.0.0.1:1/hook", "project": project})
    server.annotate(task)
    assert server.task(task)["total_annotations"] == 1


def test_webhook_patched_without_actions_loses_them(server: Server, listener: Listener) -> None:
    hook = {"url": listener.url, "project": server.project(), "actions": ["ANNOTATION_CREATED"]}
    made = server.ok("POST", "webhooks/", hook)
    changed = server.ok("PATCH", f"webhooks/{made['id']}/", {"is_active": False})
    assert (changed["is_active"], changed["actions"]) == (False, [])
    assert server.call("DELETE", f"webhooks/{made['id']}/").status_code == 204


def test_backend_is_asked_for_health_and_setup_when_it_is_made(
    server: Server, listener: Listener
) -> None:
    project = server.project()
    body = {"url": listener.url, "project": project, "title": "holdfast"}
    made = server.ok("POST", "ml/", body)
    assert [found["id"] for found in server.ok("GET", "ml/", project=project)] == [made["id"]]
    assert [path for path, _, _ in listener.heard][:2] == ["/health", "/setup"]
    setup = listener.heard[1][2]
    assert (setup["schema"], setup["access_token"]) == (CONFIG, server.token)
    assert server.call("DELETE", f"ml/{made['id']}").status_code == 204


def test_backend_that_does_not_answer_is_refused(server: Server, listener: Listener) -> None:
    body = {"url": "http://127.0.0.1:1", "project": server.project()}
    answer = server.call("POST", "ml/", body)
    assert answer.status_code == 400
    assert "health check failed" in str(answer.json()["validation_errors"])
    assert listener.heard == []


def test_export_holds_answered_tasks_with_annotations_whole(server: Server) -> None:
    project = server.project()
    tasks = server.put(project, *"ab")
    given = server.annotate(tasks[1])
    (exported,) = server.ok("GET", f"projects/{project}/export", exportType="JSON")
    assert (exported["id"], exported["data"]["uid"]) == (tasks[1], "b")
    same = ("id", "result", "completed_by", "updated_at", "lead_time")
    assert [exported["annotations"][0][k] for k in same] == [given[k] for k in same]
    every = server.ok(
        "GET", f"projects/{project}/export", exportType="JSON", download_all_tasks="true"
    )
    assert [task["id"] for task in every] == tasks


def test_backend_sets_an_empty_model_version_and_is_known_by_its_title(
    server: Server, listener: Listener
) -> None:
    project = server.project()
    body = {
        "url": listener.url,
        "project": project,
        "title": "holdfast",
        "auth_method": "BASIC_AUTH",
        "basic_auth_user": "u",
        "basic_auth_pass": "p",
    }
    made = server.ok("POST", "ml", body)
    assert (made["state"], made["model_version"]) == ("CO", "m1")
    assert server.ok("GET", f"projects/{project}")["model_version"] == "holdfast"
    assert {headers["Authorization"] for _, headers, _ in listener.heard} == {"Basic dTpw"}
    assert "basic_auth_pass" not in made
    server.ok("PATCH", f"projects/{project}", {"model_version": ""})
    server.ok("PATCH", f"projects/{project}", {"model_version": "holdfast"})


def test_backend_patched_without_credentials_is_checked_without(
    server: Server, listener: Listener
) -> None:
    body = {"url": listener.url, "project": server.project(), "title": "holdfast"}
    login = {"auth_method": "BASIC_AUTH", "basic_auth_user": "u", "basic_auth_pass": "p"}
    made = server.ok("POST", "ml", body | login)
    listener.heard.clear()
    server.ok("PATCH", f"ml/{made['id']}", body)
    assert None in {headers.get("Authorization") for _, headers, _ in listener.heard}
