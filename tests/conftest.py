"""A tiny project: three colors to tell apart, and annotators who know them."""

from __future__ import annotations

import holdfast  # noqa: F401  # first: it settles how many threads numpy loads with

# isort: split
import csv
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from holdfast.data.ingest import ingest
from holdfast.project import Project

COLORS = {"blue": (30, 60, 200), "green": (40, 180, 60), "red": (200, 40, 40)}
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


@pytest.fixture(scope="session")
def ingested_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a project that has taken in its images; copy it before use."""
    root = tmp_path_factory.mktemp("ingested") / "project"
    root.mkdir()
    (root / "holdfast.toml").write_text(CONFIG)
    rng = np.random.default_rng(0)
    truth = []
    for name, color in COLORS.items():
        for number in range(NUM_LABELED + NUM_UNLABELED):
            kind = f"labeled/{name}" if number < NUM_LABELED else "unlabeled"
            path = root / "images" / kind / f"{name}-{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.asarray(color) + rng.integers(-30, 30, size=(8, 8, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(path)
            truth.append((hashlib.sha256(path.read_bytes()).hexdigest(), name))
    with (root / "truth.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("uid", "label"), *truth])
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
