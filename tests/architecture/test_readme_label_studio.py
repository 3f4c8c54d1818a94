"""The README's walk through Label Studio."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.architecture.readme import (
    BLOCKS,
    NOT_MADE,
    PATH,
    ROOT,
    WAITING,
    block,
    free_port,
    shell,
)


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
