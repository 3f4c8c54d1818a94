"""The README's commands for a schedule."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.architecture.readme import PATH, ROOT, block, free_port, shell

OFFLINE = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}


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
