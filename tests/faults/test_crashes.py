"""A process killed anywhere loses nothing: started again, it ends where it would have ended."""

from __future__ import annotations

import multiprocessing
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from holdfast import failpoints
from holdfast.loop import PHASES, rollback, run_round
from holdfast.project import Project
from holdfast.store.schema import answer, model, promotion, query

ROOT = Path(__file__).parents[2]
EDGES = ("before", "worked", "recording", "recorded")
# An update has four steps, and puts itself down after the second.
STEPS = ("learn:step-1", "learn:step-2", "learn:step-3", "learn:step-4")
SNAPSHOT = ("snapshot:saved", "snapshot:indexed")
INSIDE = ("send:delivered", "collect:fetched", "learn:learned", "learn:saved", *STEPS, *SNAPSHOT)
# After its last phase a round is finished, and the next run is the next round.
FINISHED = "report:recorded"
OF_A_ROUND = [
    name
    for name in (*(f"{phase}:{edge}" for phase in PHASES for edge in EDGES), *INSIDE)
    if name != FINISHED
]
# Tested where they belong: tests/unit/data/test_ingest_crash.py.
OF_INGEST = ["ingest:images", "ingest:ledger"]
# Tested where they belong: tests/loop/test_cross_fit.py.
OF_FOLDS = ["cross-fit:fold-{fold}"]

# Torch must not be used before a fork, so the processes to kill come from a server that
# has imported everything and run nothing.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "holdfast.annotation.csv_files",
        "holdfast.annotation.simulated",
        "holdfast.learning.teaching",
        "holdfast.loop",
        "holdfast.phases.answers",
        "holdfast.phases.ask",
        "holdfast.phases.judge",
        "holdfast.phases.learn",
        "holdfast.quality.image_issues",
        "holdfast.query.uncertainty",
        "pytest",
        "sklearn.linear_model",
    ]
)


def play(root: Path, rounds: int, failpoint: str | None) -> None:
    if failpoint is not None:
        os.environ[failpoints.VARIABLE] = failpoint
    with Project.open(root) as project:
        for _ in range(rounds):
            run_round(project)


def undo(root: Path, failpoint: str | None) -> None:
    if failpoint is not None:
        os.environ[failpoints.VARIABLE] = failpoint
    with Project.open(root) as project:
        rollback(project, 1, "test")


def in_process(work: Callable[..., None], *arguments: object) -> int | None:
    # By file, not by name: Avalanche installs a package `tests`, which hides this folder.
    call = f"import runpy; runpy.run_path({__file__!r})[{work.__name__!r}](*arguments)"
    process = FORKS.Process(target=exec, args=(call, {"arguments": arguments}))
    process.start()
    process.join(timeout=300)
    return process.exitcode


def digest(root: Path) -> str:
    with Project.open(root) as project:
        return project.ledger.digest()


def count(root: Path, table: sa.Table) -> int:
    with Project.open(root) as project, project.ledger.read() as connection:
        return int(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


@pytest.fixture(scope="module")
def one_round(ingested_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that lived through a round undisturbed."""
    return _played(ingested_project, tmp_path_factory.mktemp("one") / "project", rounds=1)


@pytest.fixture(scope="module")
def two_rounds(ingested_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that lived through two rounds undisturbed."""
    return _played(ingested_project, tmp_path_factory.mktemp("two") / "project", rounds=2)


def _played(source: Path, target: Path, rounds: int) -> Path:
    shutil.copytree(source, target)
    assert in_process(play, target, rounds, None) == 0
    return target


def test_failpoints_of_the_code_are_all_tested() -> None:
    named = set()
    for path in [*ROOT.glob("platform/**/*.py"), *ROOT.glob("flows/*.py")]:
        named |= set(re.findall(r'reach\(f?"([^"]+)"\)', path.read_text()))
    named = {name for name in named if "{phase}" not in name}
    assert "learn:step-{update.done}" in named
    named = named - {"learn:step-{update.done}"} | set(STEPS)
    assert named == {*INSIDE, *OF_INGEST, *OF_FOLDS, "rollback:version"}


@pytest.mark.slow
@pytest.mark.parametrize("failpoint", OF_A_ROUND)
def test_round_killed_anywhere_ends_like_an_undisturbed_one(
    failpoint: str, tiny_project: Callable[[], Path], one_round: Path
) -> None:
    root = tiny_project()
    assert in_process(play, root, 1, failpoint) == -signal.SIGKILL
    assert in_process(play, root, 1, None) == 0
    assert digest(root) == digest(one_round)
    for table in (query, answer, model, promotion):
        assert count(root, table) == count(one_round, table)


@pytest.mark.slow
def test_round_killed_after_its_last_phase_is_finished(
    tiny_project: Callable[[], Path], two_rounds: Path
) -> None:
    root = tiny_project()
    assert in_process(play, root, 1, FINISHED) == -signal.SIGKILL
    assert in_process(play, root, 1, None) == 0
    assert digest(root) == digest(two_rounds)


@pytest.mark.slow
@pytest.mark.parametrize(
    "failpoint", ["learn:step-3", "learn:saved", "promote:recording", "consensus:worked"]
)
def test_later_round_killed_ends_like_an_undisturbed_one(
    failpoint: str, tiny_project: Callable[[], Path], two_rounds: Path
) -> None:
    root = tiny_project()
    assert in_process(play, root, 1, None) == 0
    assert in_process(play, root, 1, failpoint) == -signal.SIGKILL
    assert in_process(play, root, 1, None) == 0
    assert digest(root) == digest(two_rounds)


@pytest.mark.slow
def test_rollback_killed_halfway_leaves_the_champion_and_can_be_done_again(
    tiny_project: Callable[[], Path],
) -> None:
    root = tiny_project()
    assert in_process(play, root, 2, None) == 0
    before = digest(root)
    assert in_process(undo, root, "rollback:version") == -signal.SIGKILL
    assert digest(root) == before
    assert in_process(undo, root, None) == 0
    assert digest(root) != before


@pytest.mark.slow
@pytest.mark.parametrize("failpoint", ["send:before", "send:delivered", "send:recorded"])
def test_files_for_people_are_written_once(
    failpoint: str, tiny_project: Callable[[], Path]
) -> None:
    root = tiny_project()
    config = (root / "holdfast.toml").read_text()
    config = config.replace('oracle = "simulated"\ntruth = "truth.csv"', 'oracle = "csv"')
    (root / "holdfast.toml").write_text(config)
    assert in_process(play, root, 1, failpoint) == -signal.SIGKILL
    sheet = root / "queries" / "round-1.csv"
    begun = sheet.exists()
    if begun:
        sheet.write_text(sheet.read_text() + "\n")  # somebody has it open
        text = sheet.read_text()
    assert in_process(play, root, 1, None) == 1  # AnnotationsPendingError
    assert sheet.exists()
    assert not begun or sheet.read_text() == text
    assert [path.name for path in sheet.parent.glob("*.csv")] == ["round-1.csv"]
    assert count(root, query) == 1
