from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.errors import (
    AnnotationsPendingError,
    AnswerError,
    BusyError,
    ConfigError,
    LedgerError,
    PoolExhaustedError,
    TransientError,
)
from holdfast.flows.session import Session, prefect_session

# isort: split
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Running

from holdfast.flows import phase_tasks, reconcile
from holdfast.flows.ask import ask
from holdfast.flows.closed_loop import closed_loop, run
from holdfast.flows.learn import learn
from holdfast.loop import ASK, LEARN, PHASES, RoundOutcome, exclusive, run_round
from holdfast.project import Project
from holdfast.store.rounds import PhaseRecord

MakeProject = Callable[[str], Path]

pytestmark = [pytest.mark.slow, pytest.mark.service]


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    # Never the server of whoever runs the tests.
    with (
        pytest.MonkeyPatch.context() as patch,
        temporary_settings(restore_defaults=[PREFECT_API_URL]),
    ):
        patch.delenv("PREFECT_HOME", raising=False)
        with prefect_session(tmp_path_factory.mktemp("prefect")) as session:
            session.wait()
            yield session


@pytest.fixture
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = {
        phase: task.with_options(retry_delay_seconds=0) for phase, task in phase_tasks.TASKS.items()
    }
    monkeypatch.setattr(phase_tasks, "TASKS", tasks)


def advance_with(monkeypatch: pytest.MonkeyPatch, outcomes: list[Exception | None]) -> list[str]:
    """Replace the phases by these outcomes in turn (None: done); return what was called."""
    calls: list[str] = []

    def next_phase(project: Project, number: int) -> str | None:  # noqa: ARG001
        return None if not outcomes else "audit"

    def advance(project: Project, number: int, progress: object) -> PhaseRecord:  # noqa: ARG001
        calls.append("audit")
        if (error := outcomes.pop(0)) is not None:
            raise error
        return PhaseRecord(
            round_number=number, step=1, phase="audit", next_phase=None, outcome={}, seconds=0.0
        )

    monkeypatch.setattr(phase_tasks, "next_phase", next_phase)
    monkeypatch.setattr(phase_tasks, "advance", advance)
    return calls


def newest_run() -> FlowRun:
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC, limit=1)[0]


def digest(root: Path) -> str:
    with Project.open(root) as project:
        return project.ledger.digest()


def test_run_through_prefect_leaves_the_same_ledger_as_without(
    prefect: Session,  # noqa: ARG001
    tiny_project: MakeProject,
) -> None:
    with_prefect, without = tiny_project("with"), tiny_project("without")
    seen: list[str] = []
    outcome = run(with_prefect, lambda record: seen.append(record.phase))
    with Project.open(without) as project:
        expected = run_round(project)
    assert outcome.finished
    assert digest(with_prefect) == digest(without)
    assert seen == [record.phase for record in outcome.phases]
    assert seen == [record.phase for record in expected.phases]
    assert set(seen) == set(PHASES)
    assert newest_run().state_name == "Completed"


def test_ask_then_learn_leave_the_same_ledger_as_the_whole_loop(
    prefect: Session,  # noqa: ARG001
    tiny_project: MakeProject,
) -> None:
    halves, whole = tiny_project("halves"), tiny_project("whole")
    asked = ask(str(halves), return_state=True).result()
    again = ask(str(halves), return_state=True)
    learned = learn(str(halves), return_state=True).result()
    run(whole)
    assert {record.phase for record in asked.phases} == set(ASK)
    assert again.name == phase_tasks.NOTHING_TO_DO
    assert [record.phase for record in learned.phases] == list(LEARN)
    assert digest(halves) == digest(whole)


def test_learn_without_an_open_round_starts_none(
    prefect: Session,  # noqa: ARG001
    tiny_project: MakeProject,
) -> None:
    root = tiny_project("project")
    before = digest(root)
    state = learn(str(root), return_state=True)
    assert state.is_completed()
    assert state.name == phase_tasks.NOTHING_TO_DO
    assert digest(root) == before


@pytest.mark.usefixtures("prefect", "no_delay")
def test_transient_error_is_retried_until_the_phase_succeeds(
    tiny_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = advance_with(monkeypatch, [TransientError("net"), TransientError("net"), None])
    assert isinstance(run(tiny_project("project")), RoundOutcome)
    assert len(calls) == 3


@pytest.mark.usefixtures("prefect", "no_delay")
def test_transient_error_that_stays_is_raised_after_the_retries(
    tiny_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[Exception | None] = [TransientError("net") for _ in range(9)]
    calls = advance_with(monkeypatch, errors)
    with pytest.raises(TransientError, match="net"):
        run(tiny_project("project"))
    assert len(calls) == 1 + len(phase_tasks.RETRY_DELAYS)
    assert newest_run().state_type == StateType.FAILED


@pytest.mark.usefixtures("prefect", "no_delay")
@pytest.mark.parametrize(
    "error",
    [
        ConfigError("config"),
        LedgerError("ledger"),
        AnswerError("answer"),
        PoolExhaustedError(5, 3),
        ValueError("a mistake in the code"),
        OSError("disk full"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_other_error_is_raised_unchanged_and_not_retried(
    error: Exception, tiny_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = advance_with(monkeypatch, [error, None])
    with pytest.raises(type(error)) as caught:
        run(tiny_project("project"))
    assert caught.value is error
    assert len(calls) == 1
    failed = newest_run()
    assert failed.state_type == StateType.FAILED
    assert str(error) in str(failed.state and failed.state.message)


@pytest.mark.usefixtures("prefect", "no_delay")
def test_pending_answers_end_the_run_as_a_state_that_is_no_failure(
    tiny_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = advance_with(monkeypatch, [AnnotationsPendingError(1, 2, 6, "queue"), None])
    with pytest.raises(AnnotationsPendingError, match="2 of 6"):
        run(tiny_project("project"))
    assert len(calls) == 1
    waiting = newest_run()
    assert waiting.state_name == phase_tasks.WAITING
    assert waiting.state_type == StateType.COMPLETED
    assert "2 of 6" in str(waiting.state and waiting.state.message)


@pytest.mark.usefixtures("prefect")
def test_second_run_of_a_project_is_busy(tiny_project: MakeProject) -> None:
    root = tiny_project("project")
    with Project.open(root) as project, exclusive(project):
        state = closed_loop(str(root), return_state=True)
        with pytest.raises(BusyError):
            run(root)
    assert state.name == phase_tasks.BUSY
    assert state.is_completed()


@pytest.mark.usefixtures("prefect")
@pytest.mark.parametrize("is_gone", [True, False])
def test_run_of_a_killed_process_is_marked_as_crashed(
    is_gone: bool, tiny_project: MakeProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tiny_project("project")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with get_client(sync_client=True) as client:
        killed = client.create_flow_run(
            closed_loop, parameters={"config": str(root)}, state=Running()
        )
        labels = {
            reconcile.PROJECT: str(root.resolve()),
            reconcile.HOST: socket.gethostname(),
            reconcile.PROCESS: ended.pid if is_gone else os.getppid(),
        }
        client.update_flow_run_labels(killed.id, labels)
        advance_with(monkeypatch, [None])
        run(root)
        state = client.read_flow_run(killed.id).state_type
    assert state == (StateType.CRASHED if is_gone else StateType.RUNNING)


def test_run_says_nothing_and_leaves_no_pickle(
    prefect: Session,
    tiny_project: MakeProject,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    advance_with(monkeypatch, [None, ValueError("a mistake in the code")])
    with pytest.raises(ValueError, match="a mistake"):
        run(tiny_project("project"))
    assert capfd.readouterr() == ("", "")
    assert prefect.server is not None
    assert {path.name for path in prefect.server.log.parent.iterdir() if path.is_file()} <= {
        "embedded-server.log",
        "memo_store.toml",
        "prefect.db",
        "prefect.db-shm",
        "prefect.db-wal",
    }
    assert not (prefect.server.log.parent / "storage").exists()


def test_embedded_server_ends_when_its_process_is_killed(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "from holdfast.flows.embedded import EmbeddedServer\n"
        "print(EmbeddedServer(Path(sys.argv[1])).url, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    port = int(parent.stdout.readline().split(":")[-1].removesuffix("/api\n"))
    socket.create_connection(("127.0.0.1", port)).close()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 60
    with pytest.raises(ConnectionRefusedError):
        while time.monotonic() < deadline:
            socket.create_connection(("127.0.0.1", port)).close()
            time.sleep(0.2)
