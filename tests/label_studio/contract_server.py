"""A Label Studio, fake or real, as the contract suite talks to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.label_studio.fake import FakeLabelStudio

IMAGE = '<Image name="image" value="$image"/>'
CAT, DOG = '<Choice value="cat"/>', '<Choice value="dog"/>'
CONFIG = (
    f'<View>{IMAGE}<Choices name="label" toName="image" choice="single">{CAT}{DOG}</Choices>'
    '<TextArea name="comment" toName="image"/></View>'
)
NOBODY = 999_999_999


@dataclass(frozen=True)
class Person:
    """Somebody with a legacy token."""

    id: int
    email: str
    token: str


class Server:
    """A server, fake or real, as a client with a token sees it."""

    def __init__(self, url: str, token: str, new_person: Callable[[], Person]) -> None:
        self.url, self.token, self.new_person = url, token, new_person
        self.http = httpx.Client(
            base_url=url, headers={"Authorization": f"Token {token}"}, timeout=60.0
        )

    def call(self, method: str, path: str, body: object = None, **params: Any) -> httpx.Response:
        """Send a request; a body is sent as JSON."""
        content = {} if body is None else {"json": body}
        return self.http.request(method, f"/api/{path}", params=params or None, **content)

    def ok(self, method: str, path: str, body: object = None, **params: Any) -> Any:
        """Return what a request answers; it has to succeed."""
        answer = self.call(method, path, body, **params)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def project(self, **fields: object) -> int:
        """Make a project with cats and dogs."""
        return self.ok("POST", "projects", {"title": "contract", "label_config": CONFIG, **fields})[
            "id"
        ]

    def put(self, project: int, *tasks: object) -> list[int]:
        """Import tasks and return their ids; a text is a task with this uid."""
        rows = [task if isinstance(task, dict) else row(str(task)) for task in tasks]
        created = self.ok("POST", f"projects/{project}/import", rows, return_task_ids="true")
        return created["task_ids"]

    def task(self, task: int) -> Any:
        """Return a task with everything."""
        return self.ok("GET", f"tasks/{task}")

    def list(self, project: int, query: object = None, **params: Any) -> Any:
        """Return a page of tasks; the query is sent as a JSON string."""
        asked = {} if query is None else {"query": json.dumps(query)}
        return self.ok("GET", "tasks", project=project, **asked, **params)

    def ids(self, project: int, query: object = None, **params: Any) -> list[int]:
        """Return the ids of the tasks on a page."""
        return [task["id"] for task in self.list(project, query, **params)["tasks"]]

    def annotate(self, task: int, choice: str = "cat", **fields: object) -> Any:
        """Answer a task."""
        body = {"result": said(choice), "lead_time": 1.5, **fields}
        return self.ok("POST", f"tasks/{task}/annotations", body)


@contextmanager
def fake_server() -> Iterator[Server]:
    """Start a stand-in, to which people can be added."""
    with FakeLabelStudio() as fake:

        def add() -> Person:
            user = fake.add_user(f"annotator-{len(fake.state.users)}@example.com")
            return Person(user.id, user.email, user.token)

        made = Server(fake.url, fake.token, add)
        with made.http:
            yield made


def said(choice: str, name: str = "label") -> list[dict[str, object]]:
    return [
        {"from_name": name, "to_name": "image", "type": "choices", "value": {"choices": [choice]}}
    ]


def row(uid: str, **more: object) -> dict[str, object]:
    return {"data": {"image": "https://example.com/a.png", "uid": uid}, **more}


def guess(result: object, **fields: object) -> dict[str, object]:
    return {"result": result, "score": 0.5, "model_version": "m1", **fields}


def where(name: str, operator: str, value: object, kind: str = "Number") -> dict[str, object]:
    item = {"filter": f"filter:tasks:{name}", "operator": operator, "type": kind, "value": value}
    return {"filters": {"conjunction": "and", "items": [item]}}
