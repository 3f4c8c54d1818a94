"""A real Label Studio starts, lets people in, keeps what they say, and ends with its parent."""

from __future__ import annotations

import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.label_studio.accounts import (
    Account,
    access_token,
    allow_legacy_tokens,
    personal_access_token,
    sign_up,
)
from deployments.label_studio.server import LabelStudioServer
from holdfast.errors import ConfigError, HoldfastError
from tests.label_studio.proxy import FaultProxy

ROOT = Path(__file__).parents[2]
LABELS = (
    '<View><Image name="image" value="$image"/><Choices name="choice" toName="image">'
    '<Choice value="cat"/><Choice value="dog"/></Choices></View>'
)
CAT = [
    {"from_name": "choice", "to_name": "image", "type": "choices", "value": {"choices": ["cat"]}}
]
NUM_AT_ONCE = 64
SECONDS = 60.0
# A start takes 3 s on two idle cores.
START_SECONDS = 120.0

pytestmark = [pytest.mark.service, pytest.mark.slow]


@pytest.fixture
def client(label_studio: LabelStudioServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Token {label_studio.token}"}
    with httpx.Client(base_url=label_studio.url, headers=headers, timeout=SECONDS) as opened:
        yield opened


def new_project(client: httpx.Client, num_tasks: int) -> tuple[int, list[int]]:
    """Make a project and its tasks; return their ids."""
    made = client.post("/api/projects", json={"title": "server", "label_config": LABELS})
    project = int(made.raise_for_status().json()["id"])
    sent = client.post(
        f"/api/projects/{project}/import",
        params={"return_task_ids": "true"},
        json=[{"data": {"image": f"http://127.0.0.1/{number}.png"}} for number in range(num_tasks)],
    )
    return project, list(sent.raise_for_status().json()["task_ids"])


def status_with(server: LabelStudioServer, authorization: str) -> int:
    headers = {"Authorization": authorization}
    return httpx.get(f"{server.url}/api/projects", headers=headers, timeout=SECONDS).status_code


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=SECONDS).is_success
    except httpx.TransportError:
        return False


def wait_until_silent(url: str) -> None:
    until = time.monotonic() + SECONDS
    while answers(url):
        assert time.monotonic() < until, f"{url} still answers"
        time.sleep(0.05)


def start_command(home: Path, *, port: int = 0) -> subprocess.Popen[str]:
    """Start what `make label-studio` starts."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "deployments.label_studio"),
            *("--port", str(port), "--home", str(home), "--files", str(home / "files")),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def welcome_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """Read what it says once it answers; return where that is, and all of it."""
    assert process.stdout is not None
    text = ""
    while "It shows images" not in text:
        line = process.stdout.readline()
        assert line, f"the command ended after: {text}"
        text += line
    found = re.search(r"http://127\.0\.0\.1:\d+", text)
    assert found is not None
    return found.group(), text


def test_first_user_of_started_server_may_do_everything(client: httpx.Client) -> None:
    version = client.get("/api/version").json()
    assert version["release"] == "1.23.2"
    # Nobody was asked whether there is a newer one.
    assert version["label-studio-os-package"]["latest_version_from_pypi"] is None
    project, tasks = new_project(client, 2)
    assert len(tasks) == 2
    assert client.delete(f"/api/projects/{project}").status_code == 204


def test_secrets_of_first_user_are_for_their_owner_alone(label_studio: LabelStudioServer) -> None:
    home = label_studio.home
    for name in ("token", "password"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    assert (home / "token").read_text().strip() == label_studio.token


def test_hook_on_loopback_is_allowed(client: httpx.Client) -> None:
    project, _ = new_project(client, 1)
    hook = {"url": "http://127.0.0.1:1/hint", "project": project, "send_payload": False}
    assert client.post("/api/webhooks/", json=hook).status_code == 201


def test_image_in_folder_of_files_is_shown(
    label_studio: LabelStudioServer, client: httpx.Client
) -> None:
    folder = label_studio.home / "files" / "shown"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(b"pixels")
    project, _ = new_project(client, 1)
    storage = {"project": project, "path": str(folder), "use_blob_urls": True}
    client.post("/api/storages/localfiles", json=storage).raise_for_status()
    shown = client.get("/data/local-files/", params={"d": "shown/a.png"})
    assert (shown.status_code, shown.content) == (200, b"pixels")


def test_both_kinds_of_token_work_until_legacy_ones_are_switched_off(
    label_studio: LabelStudioServer, new_annotator: Callable[[], Account]
) -> None:
    person = new_annotator()
    personal = personal_access_token(label_studio.url, person.token)
    bearer = f"Bearer {access_token(label_studio.url, personal)}"
    assert status_with(label_studio, f"Token {person.token}") == 200
    assert status_with(label_studio, bearer) == 200
    allow_legacy_tokens(label_studio.url, personal, False)
    try:
        assert status_with(label_studio, f"Token {person.token}") == 401
        assert status_with(label_studio, bearer) == 200
    finally:
        allow_legacy_tokens(label_studio.url, personal, True)
    assert status_with(label_studio, f"Token {person.token}") == 200


def test_annotators_answer_under_their_own_names(
    label_studio: LabelStudioServer,
    client: httpx.Client,
    new_annotator: Callable[[], Account],
) -> None:
    _, (task,) = new_project(client, 1)
    people = [new_annotator(), new_annotator()]
    for person in people:
        httpx.post(
            f"{label_studio.url}/api/tasks/{task}/annotations/",
            headers={"Authorization": f"Token {person.token}"},
            json={"result": CAT},
            timeout=SECONDS,
        ).raise_for_status()
    said = client.get(f"/api/tasks/{task}/annotations/").json()
    assert {each["completed_by"] for each in said} == {person.user_id for person in people}


def test_address_that_is_known_cannot_sign_up_again(
    label_studio: LabelStudioServer, new_annotator: Callable[[], Account]
) -> None:
    person = new_annotator()
    with pytest.raises(ConfigError, match=person.email):
        sign_up(label_studio.url, label_studio.token, person.email)


def test_answers_that_come_at_once_are_each_kept_once(client: httpx.Client) -> None:
    project, tasks = new_project(client, NUM_AT_ONCE)
    together = threading.Barrier(NUM_AT_ONCE)
    statuses: list[int] = []

    def say(task: int) -> None:
        with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=300) as own:
            together.wait()
            sent = own.post(f"/api/tasks/{task}/annotations/", json={"result": CAT})
            statuses.append(sent.status_code)

    threads = [threading.Thread(target=say, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [201] * NUM_AT_ONCE
    page: dict[str, str | int] = {"project": project, "page_size": 1000, "fields": "all"}
    kept = client.get("/api/tasks", params=page).json()["tasks"]
    assert sorted(each["id"] for each in kept if len(each["annotations"]) == 1) == sorted(tasks)


def test_pages_through_proxy_equal_pages_of_server(
    client: httpx.Client, fault_proxy: FaultProxy
) -> None:
    for _ in range(2):
        new_project(client, 1)

    def pages(base: str, host: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        url = f"{base}/api/projects?page_size=1"
        while url and len(found) < 2:
            answer = httpx.get(url, headers={**client.headers, "Host": host}, timeout=SECONDS)
            found.append(answer.json())
            url = answer.json()["next"]
        return found

    through, host = fault_proxy.url, fault_proxy.url.removeprefix("http://")
    assert pages(through, host)[0]["next"].startswith(through)
    assert fault_proxy.count("GET", "/api/projects") == 2
    assert pages(through, host) == pages(str(client.base_url).rstrip("/"), host)


def test_restarted_server_knows_what_was_said(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with LabelStudioServer(home) as server:
        headers = {"Authorization": f"Token {server.token}"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=SECONDS) as client:
            project, _ = new_project(client, 3)
        server.kill()
        assert not answers(server.url)
        # Somebody removes a secret: it is made anew and holds from the next start on.
        (home / "token").unlink()
        with LabelStudioServer(home, port=server.port) as again:
            assert again.url == server.url
            assert again.token != server.token
            headers = {"Authorization": f"Token {again.token}"}
            url = f"{again.url}/api/projects/{project}"
            kept = httpx.get(url, headers=headers, timeout=SECONDS).json()
            assert kept["task_number"] == 3


def test_busy_port_is_an_error_that_names_it(
    label_studio: LabelStudioServer, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=rf"port {label_studio.port} .*PORT=9000"):
        LabelStudioServer(tmp_path, port=label_studio.port)
    process = start_command(tmp_path, port=label_studio.port)
    out, error = process.communicate(timeout=START_SECONDS)
    assert process.returncode == ConfigError.exit_code
    assert out == ""
    assert error.startswith(f"label-studio: port {label_studio.port} ")
    assert error.count("\n") == 1


def test_broken_data_folder_is_an_error_with_the_end_of_the_log(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "label_studio.sqlite3").write_bytes(b"no database" * 1000)
    with pytest.raises(HoldfastError, match=r"did not start .*server\.log ends with: .*database"):
        LabelStudioServer(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_command_ends_its_server_and_succeeds(tmp_path: Path, number: int) -> None:
    process = start_command(tmp_path)
    url, text = welcome_of(process)
    assert f'token_file = "{tmp_path}/token"' in text
    assert answers(url)
    process.send_signal(number)
    _, error = process.communicate(timeout=SECONDS)
    assert (process.returncode, error) == (0, "")
    wait_until_silent(url)


def test_killed_command_leaves_no_server_behind(tmp_path: Path) -> None:
    process = start_command(tmp_path)
    url, _ = welcome_of(process)
    process.kill()
    process.communicate(timeout=SECONDS)
    wait_until_silent(url)


def test_command_killed_while_server_starts_leaves_none_behind(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    process = start_command(tmp_path, port=port)
    log = tmp_path / "server.log"
    until = time.monotonic() + START_SECONDS
    while not (log.exists() and log.stat().st_size):
        assert time.monotonic() < until, "the server says nothing"
        time.sleep(0.05)
    process.kill()
    process.communicate(timeout=SECONDS)
    wait_until_silent(f"http://127.0.0.1:{port}")
