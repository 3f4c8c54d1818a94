"""A tiny project, and a real Label Studio with people in it, for whoever asks."""

from __future__ import annotations

import holdfast  # noqa: F401  # first: it settles how many threads numpy loads with

# isort: split
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deployments.label_studio.accounts import Account, sign_up
from deployments.label_studio.server import LabelStudioServer
from holdfast.data.ingest import ingest
from holdfast.project import Project
from tests.colored_images import COLORS, write_images
from tests.label_studio.proxy import FaultProxy

NUM_LABELED = 14
NUM_UNLABELED = 12

CONFIG = """
[data]
image_size = 8
[network]
width = 4
device = "cpu"
[query]
budget = 6
[annotation]
oracle = "simulated"
truth = "truth.csv"
[learning]
steps = 4
batch_size = 8
checkpoint_every = 2
[learning.consolidation]
samples = 8
[gate]
resamples = 200
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long, so that no worker ends alone with one of them."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def ingested_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a project that has taken in its images; copy it before use."""
    root = tmp_path_factory.mktemp("ingested") / "project"
    root.mkdir()
    (root / "holdfast.toml").write_text(CONFIG)
    write_images(root, dict.fromkeys(COLORS, NUM_LABELED), NUM_UNLABELED)
    with Project.open(root) as project:
        ingest(project, root / "images" / "labeled")
        ingest(project, root / "images" / "unlabeled")
    return root


@pytest.fixture
def tiny_project(ingested_project: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Make a fresh copy of the ingested project under a name."""

    def make(name: str = "project") -> Path:
        return Path(shutil.copytree(ingested_project, tmp_path / name))

    return make


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabelStudioServer]:
    """One server for the whole run, which shows images from `files` in its home."""
    home = tmp_path_factory.mktemp("label-studio")
    with LabelStudioServer(home, files=home / "files") as server:
        yield server


@pytest.fixture(scope="session")
def new_annotator(label_studio: LabelStudioServer) -> Callable[[], Account]:
    """Sign a further person up on the server."""
    numbers = itertools.count(1)

    def make() -> Account:
        email = f"annotator-{next(numbers)}@example.com"
        return sign_up(label_studio.url, label_studio.token, email)

    return make


@pytest.fixture
def fault_proxy(label_studio: LabelStudioServer) -> Iterator[FaultProxy]:
    """A proxy of this test alone before the server."""
    with FaultProxy(label_studio.url) as proxy:
        yield proxy
