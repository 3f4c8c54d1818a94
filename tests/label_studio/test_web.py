"""A real Label Studio reads images and guesses from `holdfast web`, and hints at answers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from deployments.label_studio.server import LabelStudioServer
from holdfast.annotation.image_links import ImageLinks, load_key
from holdfast.annotation.label_studio_client import LabelStudioClient, connect
from holdfast.annotation.label_studio_hooks import SECRET_HEADER, TITLE, hint_secret, register
from holdfast.annotation.labeling_interface import build_interface
from holdfast.errors import AnnotationsPendingError, ConfigError
from holdfast.loop import run_round
from holdfast.phases.label_studio import join
from holdfast.project import Project
from holdfast.store import answers, samples
from tests.asked_project import ask, crown

PATIENCE = 60.0
CLASSES = ("blue", "green", "red")

pytestmark = [pytest.mark.service, pytest.mark.slow]


@dataclass
class Site:
    """A project that asked about three samples, its `holdfast web`, and its Label Studio."""

    project: Project
    client: LabelStudioClient
    process: subprocess.Popen[bytes]
    log: Path
    key: bytes
    asked: list[str]
    board: int
    tasks: list[int]

    @property
    def url(self) -> str:
        return self.project.config.web.base

    def register(self) -> Any:
        return register(self.client, self.board, self.url, self.key)

    def get(self, path: str) -> Any:
        return self.client.request("GET", path)

    def wait_for(self, line: str, times: int = 1) -> None:
        wait_for(self.log, line, self.process, times)


@contextmanager
def serving(root: Path, token: str) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run `holdfast web` in a process of its own; gives it and its log once it listens."""
    log = root.with_name("web.log")
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "holdfast", "--config", str(root), "web"],
            stderr=file,
            env=os.environ | {"LABEL_STUDIO_API_KEY": token},
        )
    try:
        wait_for(log, "listening", process)
        yield process, log
    finally:
        process.kill()
        process.wait()


def wait_for(log: Path, line: str, process: subprocess.Popen[bytes], times: int = 1) -> None:
    """Return once a log holds a line so many times."""
    deadline = time.monotonic() + PATIENCE
    while (said := log.read_text()).count(line) < times:
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.1)


@pytest.fixture
def root(label_studio: LabelStudioServer, tiny_project: Callable[[str], Path]) -> Path:
    """Folder of a project that names the server, and a free port for its own."""
    made = tiny_project("project")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    config = made / "holdfast.toml"
    asks_people = config.read_text().replace('"simulated"\ntruth = "truth.csv"', '"label-studio"')
    ours = f'[annotation.label_studio]\nurl = "{label_studio.url}"\n[web]\nport = {port}\n'
    config.write_text(asks_people + ours)
    return made


@pytest.fixture
def site(label_studio: LabelStudioServer, root: Path) -> Iterator[Site]:
    with (
        Project.open(root) as project,
        connect(label_studio.url, label_studio.token) as client,
        serving(root, label_studio.token) as (process, log),
    ):
        asked = ask(project, 3)
        key = load_key(project.state / "web.key")
        links = ImageLinks(key, project.config.web.base)
        board = client.request(
            "POST", "/api/projects", json={"title": "web", "label_config": build_interface(CLASSES)}
        )["id"]
        sent = client.request(
            "POST",
            f"/api/projects/{board}/import",
            params={"return_task_ids": "true"},
            json=[
                {"data": {"image": links.task_link(uid), "uid": uid, "why": "to test"}}
                for uid in [*asked, "f" * 64]
            ],
        )
        yield Site(project, client, process, log, key, asked, board, sent["task_ids"])
        client.request("DELETE", f"/api/projects/{board}")


def answer(client: LabelStudioClient, task: int, label: str = "red") -> int:
    """Answer as a person does; the id of the annotation."""
    said = {"from_name": "label", "to_name": "image", "type": "choices"}
    result = [said | {"value": {"choices": [label]}}]
    made = client.request("POST", f"/api/tasks/{task}/annotations", json={"result": result})
    return int(made["id"])


def guesses(task: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        (one["model_version"], one["result"][0]["value"]["choices"][0])
        for one in task["predictions"]
    ]


def test_registering_again_changes_nothing(site: Site) -> None:
    first = site.register()
    again = site.register()
    assert (first.changed, again.changed) == (True, False)
    assert (first.webhook, first.backend) == (again.webhook, again.backend)
    (webhook,) = site.get(f"/api/webhooks/?project={site.board}")
    assert webhook["url"] == f"{site.url}/webhook"
    assert webhook["headers"] == {SECRET_HEADER: hint_secret(site.key)}
    assert webhook["send_payload"] is False
    (backend,) = site.get(f"/api/ml?project={site.board}")
    assert (backend["url"], backend["title"], backend["state"]) == (site.url, TITLE, "CO")


def test_registering_repairs_what_was_there_without_a_secret(site: Site) -> None:
    # Registered by hand, a webhook sends all it knows, to whoever listens.
    wrong = {"project": site.board, "url": f"{site.url}/webhook", "is_active": False}
    site.client.request("POST", "/api/webhooks/", json=wrong)
    assert site.register().changed
    (webhook,) = site.get(f"/api/webhooks/?project={site.board}")
    assert webhook["headers"] == {SECRET_HEADER: hint_secret(site.key)}
    assert webhook["is_active"]
    assert not webhook["send_payload"]
    assert not site.register().changed


def test_registering_what_does_not_run_says_what_to_do(site: Site) -> None:
    site.process.kill()
    site.process.wait()
    with pytest.raises(ConfigError, match="see that `holdfast web` is running"):
        site.register()
    assert site.get(f"/api/ml?project={site.board}") == []


def test_annotators_see_the_live_guess_of_the_champion(site: Site) -> None:
    first = crown(site.project, 0)[:12]
    site.register()
    shown = site.get(f"/api/projects/{site.board}/next")
    assert [model for model, _ in guesses(shown)] == [first]
    assert guesses(shown)[0][1] in CLASSES
    assert guesses(site.get(f"/api/tasks/{site.tasks[1]}"))[0][0] == first
    second = crown(site.project, 1)[:12]
    # The same task again: what was stored is of a model that is champion no more.
    shown = site.get(f"/api/projects/{site.board}/next")
    assert [model for model, _ in guesses(shown)] == [second]


def test_guess_that_was_sent_with_the_task_is_not_made_again(site: Site) -> None:
    champion = crown(site.project, 0)[:12]
    site.register()
    said = {"from_name": "label", "to_name": "image", "type": "choices"}
    sent = {
        "task": site.tasks[0],
        "model_version": champion,
        "result": [said | {"value": {"choices": ["green"]}}],
    }
    site.client.request("POST", "/api/predictions", json=sent)
    shown = site.get(f"/api/projects/{site.board}/next")
    assert guesses(shown) == [(champion, "green")]
    assert "guessed" not in site.log.read_text()


def test_task_that_is_none_of_ours_gets_no_guess(site: Site) -> None:
    crown(site.project, 0)
    site.register()
    assert site.get(f"/api/tasks/{site.tasks[-1]}")["predictions"] == []
    assert "guessed 0 of 1 tasks" in site.log.read_text()


def test_labeling_goes_on_while_the_web_is_away(site: Site) -> None:
    crown(site.project, 0)
    site.register()
    site.process.kill()
    site.process.wait()
    shown = site.get(f"/api/projects/{site.board}/next")
    assert (shown["id"], shown["predictions"]) == (site.tasks[0], [])
    assert answer(site.client, shown["id"])


def test_image_of_a_task_is_there_for_the_page_of_label_studio(site: Site) -> None:
    image = site.get(f"/api/tasks/{site.tasks[0]}")["data"]["image"]
    page = {"Origin": site.client.url}
    answer = httpx.get(image, headers=page, follow_redirects=True, timeout=PATIENCE)
    assert answer.content == site.project.images.read([site.asked[0]])[0]
    for one in [*answer.history, answer]:
        assert one.headers["Access-Control-Allow-Origin"] == site.client.url


def test_answers_edits_and_deletions_are_hinted_at(site: Site) -> None:
    site.register()
    annotation = answer(site.client, site.tasks[0])
    site.wait_for("looked for answers", times=1)
    site.client.request("PATCH", f"/api/annotations/{annotation}", json={"result": []})
    site.wait_for("looked for answers", times=2)
    site.client.request("DELETE", f"/api/annotations/{annotation}")
    site.wait_for("looked for answers", times=3)


def test_tokens_and_secrets_are_neither_kept_nor_logged(
    site: Site, label_studio: LabelStudioServer
) -> None:
    crown(site.project, 0)
    site.register()
    answer(site.client, site.get(f"/api/projects/{site.board}/next")["id"])
    site.wait_for("looked for answers")
    said = site.log.read_bytes()
    assert b"guessed 1 of 1 tasks" in said
    assert label_studio.token.encode() not in said
    assert hint_secret(site.key).encode() not in said
    kept = [path for path in site.project.root.rglob("*") if path.is_file()]
    assert not [path for path in kept if label_studio.token.encode() in path.read_bytes()]


def test_answer_is_in_the_ledger_by_its_hint_alone(
    label_studio: LabelStudioServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    with (
        Project.open(root) as project,
        connect(label_studio.url, label_studio.token) as client,
        serving(root, label_studio.token) as (process, log),
    ):
        board = join(project, hooks=True).project
        with pytest.raises(AnnotationsPendingError):
            run_round(project)
        task = client.request("GET", f"/api/projects/{board}/next")
        shown = httpx.get(task["data"]["image"], follow_redirects=True, timeout=PATIENCE)
        assert shown.content == project.images.read([task["data"]["uid"]])[0]
        answer(client, task["id"], "green")
        wait_for(log, "looked for answers", process)
        with project.ledger.read() as connection:
            (recorded,) = answers.current_answers(connection, 1)
            (uid,) = samples.uids_of(connection, np.array([recorded.answer.sample_id]))
        assert (recorded.answer.label, uid) == ("green", task["data"]["uid"])
        client.request("DELETE", f"/api/projects/{board}")
