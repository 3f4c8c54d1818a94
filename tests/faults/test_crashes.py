"""A process killed anywhere loses nothing: started again, it ends where it would have ended."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from holdfast.data.ingest import ingest
from holdfast.loop import PHASES
from holdfast.project import Project
from holdfast.store import samples
from holdfast.store.schema import answer, model, promotion, quarantine_event, query
from tests.faults.killing import end_of, play, undo

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
OF_INGEST = ["ingest:images", "ingest:piece", "ingest:ledger"]
# Tested where they belong: tests/loop/test_cross_fit.py.
OF_FOLDS = ["cross-fit:fold-{fold}"]
# Tested where they belong: tests/label_studio/.
OF_LABEL_STUDIO = [
    "collect:withdrawn",
    "label-studio:{name}",
    "label-studio:{name}-done",
]
# Tested where they belong: tests/unit/data/test_export.py.
OF_EXPORT = ["export:written"]
# Tested where it belongs: tests/loop/test_synthetic.py.
OF_SYNTHETIC = ["snapshot:drawn"]


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
    assert end_of(play, target, rounds) == 0
    return target


def test_failpoints_of_the_code_are_all_tested() -> None:
    named = set()
    for path in [*ROOT.glob("platform/**/*.py"), *ROOT.glob("flows/*.py")]:
        named |= set(re.findall(r'reach\(f?"([^"]+)"\)', path.read_text()))
    named = {name for name in named if "{phase}" not in name}
    assert "learn:step-{update.done}" in named
    named = named - {"learn:step-{update.done}"} | set(STEPS)
    assert named == {
        *INSIDE,
        *OF_INGEST,
        *OF_FOLDS,
        *OF_LABEL_STUDIO,
        *OF_EXPORT,
        *OF_SYNTHETIC,
        "rollback:version",
    }


@pytest.mark.slow
@pytest.mark.parametrize("failpoint", OF_A_ROUND)
def test_round_killed_anywhere_ends_like_an_undisturbed_one(
    failpoint: str, tiny_project: Callable[[], Path], one_round: Path
) -> None:
    root = tiny_project()
    assert end_of(play, root, 1, failpoint=failpoint) == -signal.SIGKILL
    assert end_of(play, root, 1) == 0
    assert digest(root) == digest(one_round)
    for table in (query, answer, model, promotion):
        assert count(root, table) == count(one_round, table)


def leaking(root: Path) -> Path:
    """Add a copy of a held-out sample to training, from beside the project."""
    with Project.open(root) as project:
        with project.ledger.read() as connection:
            (held_out, *_) = samples.usable_ids(connection, "holdout")
            (uid,) = samples.uids_of(connection, np.array([held_out]))
        with Image.open(BytesIO(project.images.read([uid])[0])) as image:
            image.save(root.parent / "copy.bmp")
        (root.parent / "copy.csv").write_text("path,label,split\ncopy.bmp,red,train\n")
        ingest(project, root.parent / "copy.csv")
    return root


@pytest.mark.slow
def test_audit_killed_while_it_moves_a_leak_ends_like_an_undisturbed_one(
    tiny_project: Callable[[str], Path],
) -> None:
    whole, killed = leaking(tiny_project("whole")), leaking(tiny_project("killed"))
    assert end_of(play, whole, 1) == 0
    for edge in ("worked", "recording"):
        assert end_of(play, killed, 1, failpoint=f"audit:{edge}") == -signal.SIGKILL
        assert count(killed, quarantine_event) == 0
    assert end_of(play, killed, 1) == 0
    assert digest(killed) == digest(whole)
    assert count(killed, quarantine_event) == count(whole, quarantine_event) == 1


@pytest.mark.slow
def test_round_killed_after_its_last_phase_is_finished(
    tiny_project: Callable[[], Path], two_rounds: Path
) -> None:
    root = tiny_project()
    assert end_of(play, root, 1, failpoint=FINISHED) == -signal.SIGKILL
    assert end_of(play, root, 1) == 0
    assert digest(root) == digest(two_rounds)


@pytest.mark.slow
@pytest.mark.parametrize(
    "failpoint", ["learn:step-3", "learn:saved", "promote:recording", "consensus:worked"]
)
def test_later_round_killed_ends_like_an_undisturbed_one(
    failpoint: str, tiny_project: Callable[[], Path], two_rounds: Path
) -> None:
    root = tiny_project()
    assert end_of(play, root, 1) == 0
    assert end_of(play, root, 1, failpoint=failpoint) == -signal.SIGKILL
    assert end_of(play, root, 1) == 0
    assert digest(root) == digest(two_rounds)


@pytest.mark.slow
def test_rollback_killed_halfway_leaves_the_champion_and_can_be_done_again(
    tiny_project: Callable[[], Path],
) -> None:
    root = tiny_project()
    assert end_of(play, root, 2) == 0
    before = digest(root)
    assert end_of(undo, root, failpoint="rollback:version") == -signal.SIGKILL
    assert digest(root) == before
    assert end_of(undo, root) == 0
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
    assert end_of(play, root, 1, failpoint=failpoint) == -signal.SIGKILL
    sheet = root / "queries" / "round-1.csv"
    begun = sheet.exists()
    if begun:
        sheet.write_text(sheet.read_text() + "\n")  # somebody has it open
        text = sheet.read_text()
    assert end_of(play, root, 1) == 1  # AnnotationsPendingError
    assert sheet.exists()
    assert not begun or sheet.read_text() == text
    assert [path.name for path in sheet.parent.glob("*.csv")] == ["round-1.csv"]
    assert count(root, query) == 1
