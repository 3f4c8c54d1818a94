"""Every code block of the README does what it says."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
SHELL = [text for kind, text in BLOCKS if kind == "sh"]
WAITING = 75
PATH = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
# Under `make test` the tests run inside make, and a make inside that would say so.
NOT_MADE = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
NOT_MADE.pop("MFLAGS", None)
OFFLINE = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


def shell(script: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-ec", script],
        cwd=folder,
        env={**NOT_MADE, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def block(beginning: str) -> str:
    (found,) = [text for text in SHELL if text.startswith(beginning)]
    return found


def shape(text: str) -> list[str]:
    """The lines of an output with numbers, spaces, rules and places masked."""
    masked = re.sub(r"/\S+", "PATH", text)
    masked = re.sub(r"[+-]?\d+(\.\d+)?", "#", masked)
    masked = re.sub(r"[─━]+", "-", re.sub(r"\s+", " ", re.sub(r" *\n", "\n", masked), flags=re.A))
    return masked.split()


def test_every_shell_block_is_run_by_a_test_below() -> None:
    known = (
        "make demo",
        "make test",
        "make label-studio",
        "export PATH=",
        "holdfast run",
        "holdfast audit",
        "holdfast rollback",
        "holdfast init",
        "holdfast web",
        "holdfast label-studio",
        "holdfast queue",
        "export PREFECT",
    )
    assert sorted(text.split("\n")[0] for text in SHELL) == sorted(
        text.split("\n")[0] for text in SHELL if text.startswith(known)
    )
    assert len(SHELL) == len(known)


def test_make_test_is_what_continuous_integration_runs() -> None:
    planned = shell("make --dry-run test", ROOT)
    assert planned.returncode == 0
    assert "-m pytest" in planned.stdout
    assert block("make test").strip() in (ROOT / ".ci" / "run").read_text()


@pytest.mark.slow
def test_make_demo_prints_what_the_readme_shows() -> None:
    (shown,) = [text for kind, text in BLOCKS if kind == "text"]
    ran = shell(block("make demo"), ROOT)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert shape(ran.stdout) == shape(shown)
    for name in ("report.html", "report.json"):
        assert (ROOT / "demo" / name).stat().st_size > 10_000


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two kinds of pictures that are easy to tell apart."""
    rng = np.random.default_rng(0)
    for kind, brightness in (("cat", 60), ("dog", 190)):
        folder = tmp_path / "photos" / kind
        folder.mkdir(parents=True)
        for number in range(60):  # enough for the questions of two rounds
            pixels = rng.integers(brightness - 40, brightness + 40, size=(24, 24, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{kind}-{number}.png")
    return tmp_path / "photos"


def answer_all(sheet: Path, answer: Callable[[dict[str, str]], str]) -> None:
    with sheet.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label"] = answer(row)
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.slow
def test_own_images_in_five_commands(photos: Path) -> None:
    commands = block("export PATH=").replace("$PWD/.venv", str(ROOT / ".venv"))
    first = shell(commands, photos.parent)
    assert first.returncode == WAITING, first.stderr
    assert "waiting for answers" in first.stderr
    project = photos.parent / "animals"
    assert (project / "queries" / "round-1.html").exists()
    answer_all(
        project / "queries" / "round-1.csv", lambda row: row["image"].split()[1].split("-")[0]
    )
    going_on = shell(block("holdfast run"), project, PATH=PATH)
    assert going_on.returncode == 0, going_on.stderr
    assert "round-1" in going_on.stdout
    assert (project / "reports" / "round-1.html").exists()
    looked_at = shell(block("holdfast audit"), project, PATH=PATH)
    assert looked_at.returncode == 0, looked_at.stderr
    for name in ("reports/audit.html", "queries/preview-round-2.html"):
        assert (project / name).exists()
    undone = shell(block("holdfast rollback"), project, PATH=PATH)
    assert undone.returncode == 0, undone.stderr


@contextmanager
def running(command: str, folder: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command that keeps running, as in a terminal of its own; ends it afterwards."""
    process = subprocess.Popen(
        ["bash", "-ec", f"exec {command}"],
        cwd=folder,
        env={**NOT_MADE, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """Read lines until one has a pattern; what its group holds."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if found := re.search(pattern, line):
            return found[1]
    raise AssertionError("".join(said))


def configure(config: Path, settings: str) -> None:
    """Set what a piece of TOML sets, each in the line that `holdfast init` wrote for it."""
    lines, section = config.read_text().splitlines(), ""
    place = {}
    for number, line in enumerate(lines):
        section = line if line.startswith("[") else section
        place[section, line.partition(" = ")[0]] = number
    for line in settings.splitlines():
        section = line if line.startswith("[") else section
        if " = " in line:
            lines[place[section, line.partition(" = ")[0]]] = line
    config.write_text("\n".join(lines))


def answer_in_label_studio(address: str, token: str, truth: dict[str, str]) -> int:
    """Answer every task of a project, over the API; how many there were."""
    url, number = re.fullmatch(r"(.+)/projects/(\d+)/data", address).groups()  # type: ignore[union-attr]
    said = {"from_name": "label", "to_name": "image", "type": "choices"}
    headers = {"Authorization": f"Token {token}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        listed = client.get("/api/tasks", params={"project": number, "page_size": 1000})
        tasks = listed.json()["tasks"]
        for task in tasks:
            result = [said | {"value": {"choices": [truth[task["data"]["uid"]]]}}]
            path = f"/api/tasks/{task['id']}/annotations"
            client.post(path, json={"result": result}).raise_for_status()
    return len(tasks)


@pytest.mark.slow
@pytest.mark.service
def test_annotate_with_label_studio(photos: Path) -> None:
    folder, project = photos.parent, photos.parent / "birds"
    home = folder / ".label-studio"
    planned = shell(f"{block('make label').strip()} --dry-run PORT=0 FILES={folder}", ROOT)
    start = planned.stdout.splitlines()[-1].strip().removeprefix("exec ")
    (settings,) = [text for kind, text in BLOCKS if kind == "toml"]
    with running(f"{start} --home {home}", ROOT) as server:
        url = read_until(server, r"answers at (\S+)\. ")
        made = shell(block("holdfast init"), folder, PATH=PATH)
        assert made.returncode == 0, made.stderr
        configure(project / "holdfast.toml", settings.replace("http://127.0.0.1:8080", url))
        configure(project / "holdfast.toml", f"[web]\nport = {free_port()}")
        with running(block("holdfast web"), project, PATH=PATH) as web:
            read_until(web, "(listening)")
            asked = shell(block("holdfast label"), project, PATH=PATH)
            assert asked.returncode == WAITING, asked.stderr
            (address,) = re.findall(r"answer in (\S+),", asked.stderr)
            truth = {
                hashlib.sha256(path.read_bytes()).hexdigest(): path.parent.name
                for path in photos.rglob("*.png")
            }
            assert answer_in_label_studio(address, (home / "token").read_text().strip(), truth)
            finished = shell(block("holdfast queue"), project, PATH=PATH)
            assert finished.returncode == 0, finished.stderr
            assert "round-1" in finished.stdout
    assert (project / "reports" / "round-1.html").exists()


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def prefect_port(tmp_path: Path) -> Iterator[int]:
    """The port of a Prefect server of its own."""
    port = free_port()
    server = subprocess.Popen(
        [ROOT / ".venv" / "bin" / "prefect", "server", "start", "--port", str(port)],
        env={**os.environ, "PREFECT_HOME": str(tmp_path / "prefect"), **OFFLINE},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/api/health").status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.5)
        yield port
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.mark.slow
@pytest.mark.service
def test_schedule_commands_deploy_the_flows(
    photos: Path, tmp_path: Path, prefect_port: int
) -> None:
    environment = {"PATH": PATH, "PREFECT_HOME": str(tmp_path / "prefect"), **OFFLINE}
    assert shell("holdfast init animals", photos.parent, **environment).returncode == 0
    commands = block("export PREFECT").replace("4200", str(prefect_port))
    commands = commands.replace("../deployments", str(ROOT / "deployments"))
    ran = shell(commands + "prefect deployment ls", photos.parent / "animals", **environment)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    for name in ("closed-loop/", "ask/", "learn/"):
        assert name in ran.stdout
