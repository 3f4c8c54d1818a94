"""A real server, a real worker and the deployments as they are shipped."""

from __future__ import annotations

import contextlib
import datetime
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from holdfast.loop import PHASES, exclusive
from holdfast.project import Project
from holdfast.store import rounds

ROOT = Path(__file__).parents[2]
PREFECT = Path(sys.executable).with_name("prefect")
# Each on two busy cores: a server with an empty database is up in 15 s, a round (half of
# it spent on imports) is through in 60 s.
SERVER_SECONDS = 120
ROUND_SECONDS = 300
COMMAND_SECONDS = 120
EXIT_SECONDS = 20

pytestmark = [pytest.mark.slow, pytest.mark.service]


class Service:
    """A Prefect server of this test alone, and what is started beside it."""

    def __init__(self, folder: Path, config: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.folder = folder
        self.url = f"http://127.0.0.1:{self.port}/api"
        self.environment = {
            **{name: value for name, value in os.environ.items() if "PREFECT" not in name},
            "PREFECT_HOME": str(folder / "home"),
            "PREFECT_API_URL": self.url,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            # A minute by default, in which the one run due soon would be missed.
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
            "DO_NOT_TRACK": "1",
            "HOLDFAST_CONFIG": str(config),
            "NO_COLOR": "1",
        }
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: str) -> None:
        with (self.folder / f"{arguments[0]}.log").open("wb") as log:
            process = subprocess.Popen(
                [PREFECT, *arguments],
                cwd=ROOT,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)

    def command(self, *arguments: str) -> None:
        done = subprocess.run(
            [PREFECT, *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def request(self, method: str, path: str, content: Any = None) -> Any:
        # The server answers 503 while another writer holds its SQLite file; its own client
        # asks again too.
        for _ in range(20):
            reply = httpx.request(method, f"{self.url}{path}", json=content, timeout=30)
            if reply.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(0.5)
        reply.raise_for_status()
        return reply.json() if reply.content else None

    def flow_runs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.request(
            "POST", "/flow_runs/filter", {"sort": "EXPECTED_START_TIME_ASC"}
        )
        return found

    def stop(self) -> None:
        # A worker gives each run a session of its own, which killing the worker spares. A
        # run that has reported its end still needs the server to leave in good order.
        started = self._started_by_worker()
        deadline = time.monotonic() + EXIT_SECONDS
        while any(map(_is_alive, started)) and time.monotonic() < deadline:
            time.sleep(0.2)
        for number in [*started, *(process.pid for process in reversed(self.processes))]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(number, signal.SIGKILL)
        for process in self.processes:
            process.wait()

    def _started_by_worker(self) -> list[int]:
        try:
            runs = self.flow_runs()
        except httpx.HTTPError:
            return []
        return [int(run["infrastructure_pid"]) for run in runs if run["infrastructure_pid"]]


def _is_alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(what: str, condition: Callable[[], Any], seconds: float) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := condition():
                return found
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise AssertionError(f"{what} did not happen within {seconds} seconds")


@pytest.fixture
def service(tmp_path: Path, tiny_project: Callable[[str], Path]) -> Iterator[Service]:
    service = Service(tmp_path, tiny_project("project") / "holdfast.toml")
    try:
        service.start("server", "start", "--port", str(service.port))
        wait_for("server", lambda: service.request("GET", "/health"), SERVER_SECONDS)
        service.command("work-pool", "create", "holdfast", "--type", "process")
        service.command("deploy", "--all", "--prefect-file", "deployments/prefect.yaml")
        yield service
    finally:
        service.stop()


def test_scheduled_run_finishes_a_round_and_one_that_meets_another_ends_as_busy(
    service: Service, tmp_path: Path
) -> None:
    deployments = {
        deployment["name"]: deployment
        for deployment in service.request("POST", "/deployments/filter", {})
    }
    assert {"closed-loop", "ask", "learn"} == set(deployments)
    for name, deployment in deployments.items():
        assert deployment["parameters"] == {"config": service.environment["HOLDFAST_CONFIG"]}
        active = [schedule["active"] for schedule in deployment["schedules"]]
        assert active == [name != "closed-loop"]
        paused = {"paused": True}
        service.request("PATCH", f"/deployments/{deployment['id']}", paused)

    service.start("worker", "start", "--pool", "holdfast")
    config = Path(service.environment["HOLDFAST_CONFIG"])
    identity = deployments["closed-loop"]["id"]
    with Project.open(config) as project, exclusive(project):
        meeting = service.request("POST", f"/deployments/{identity}/create_flow_run", {})

        def ended() -> dict[str, Any] | None:
            run: dict[str, Any] = service.request("GET", f"/flow_runs/{meeting['id']}")
            return run if run["state_type"] not in ("SCHEDULED", "PENDING", "RUNNING") else None

        met = wait_for("end of the run that met another", ended, ROUND_SECONDS)
    assert (met["state_type"], met["state_name"]) == ("COMPLETED", "Busy")
    service.request("PATCH", f"/deployments/{identity}", {"paused": False})
    # Only the first of these will run: the next is due long after the test's end. Asked of the
    # server itself, for a busy machine may take longer to start a command than there is time.
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=40)
    every_hour = {"interval": 3600, "anchor_date": soon.isoformat()}
    schedules = [{"active": True, "schedule": every_hour}]
    service.request("POST", f"/deployments/{identity}/schedules", schedules)

    def scheduled() -> dict[str, Any] | None:
        runs = [run for run in service.flow_runs() if run["auto_scheduled"]]
        return next((run for run in runs if run["state_type"] == "RUNNING"), None)

    first = wait_for("scheduled run", scheduled, ROUND_SECONDS)

    def finished() -> dict[str, Any] | None:
        run: dict[str, Any] = service.request("GET", f"/flow_runs/{first['id']}")
        ended = run["state_type"] not in ("PENDING", "RUNNING")
        return run if ended else None

    run = wait_for("end of the round", finished, ROUND_SECONDS)
    log = (tmp_path / "worker.log").read_text()
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Completed"), log
    with Project.open(config) as project, project.ledger.read() as connection:
        newest = rounds.newest(connection)
        done = rounds.phases(connection, 1)
    assert newest is not None
    assert (newest.number, newest.state) == (1, "finished")
    assert {record.phase for record in done} == set(PHASES)

    def all_tasks_shown() -> bool:
        query = {"flow_runs": {"id": {"any_": [first["id"]]}}}
        tasks = service.request("POST", "/task_runs/filter", query)
        completed = [task for task in tasks if task["state_type"] == "COMPLETED"]
        return len(completed) == len(done)

    wait_for("every phase as a task", all_tasks_shown, SERVER_SECONDS)
