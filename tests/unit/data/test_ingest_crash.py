"""An ingest that is killed leaves nothing half-written, and ingesting again completes it."""

import os
import signal
import subprocess
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from holdfast.data.ingest import ingest
from holdfast.failpoints import VARIABLE
from holdfast.project import Project
from holdfast.store import samples

INGEST = """
import sys
from pathlib import Path
from holdfast.data import examine, ingest
from holdfast.project import Project
examine.BATCH_ROWS = 4
ingest.PIECE = 7
with Project.open(Path(sys.argv[1])) as project:
    ingest.ingest(project, Path(sys.argv[2]))
"""


@pytest.fixture
def images(tmp_path):
    """Thirty images; the last six are paler copies of the first, which belong together."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (24, 8, 8), dtype=np.uint8)
    pixels = np.concatenate([pixels, pixels[:6] // 2 + 60])
    for number in range(30):
        path = tmp_path / "in" / ("cat" if number % 2 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = BytesIO()
        Image.fromarray(pixels[number]).save(buffer, "PNG")
        path.write_bytes(buffer.getvalue())
    return tmp_path / "in"


def make_project(folder):
    folder.mkdir()
    (folder / "holdfast.toml").touch()
    Project.open(folder).close()
    return folder


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch):
    monkeypatch.setattr("holdfast.data.ingest.PIECE", 7)


def ingest_here(folder, images):
    with Project.open(folder) as project:
        ingest(project, images)
    return digest_and_samples(folder)


def start_ingest(folder, images, failpoint=""):
    run = [sys.executable, "-c", INGEST, str(folder), str(images)]
    environment = {**os.environ, VARIABLE: failpoint}
    return subprocess.Popen(run, env=environment, stderr=subprocess.PIPE)


def digest_and_samples(folder):
    with Project.open(folder) as project, project.ledger.read() as connection:
        ids = np.concatenate([samples.usable_ids(connection, s) for s in ("train", "holdout")])
        uids = samples.uids_of(connection, ids)
        assert project.images.missing(uids) == []
        groups = [group for group in samples.groups_of(connection, ids) if group]
        assert len(uids) < 30 or len(groups) == 2 * len(set(groups)) == 12
        return project.ledger.digest(), len(uids)


@pytest.mark.parametrize(
    ("failpoint", "left"), [("ingest:images", 0), ("ingest:piece", 7), ("ingest:ledger", 30)]
)
def test_ingest_killed_and_repeated_equals_one_that_was_not(tmp_path, images, failpoint, left):
    killed = make_project(tmp_path / "killed")
    writer = start_ingest(killed, images, failpoint)
    assert (writer.communicate()[1], writer.returncode) == (b"", -signal.SIGKILL)
    assert digest_and_samples(killed)[1] == left
    whole = ingest_here(make_project(tmp_path / "whole"), images)
    assert ingest_here(killed, images) == whole


def test_ingest_by_two_processes_at_once_equals_one(tmp_path, images):
    both = make_project(tmp_path / "both")
    writers = [start_ingest(both, images) for _ in range(2)]
    errors = [writer.communicate()[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], errors
    assert digest_and_samples(both) == ingest_here(make_project(tmp_path / "whole"), images)
