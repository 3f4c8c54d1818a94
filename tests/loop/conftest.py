"""Images of three colors, people who know them, and the command line in this process."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from holdfast.__main__ import main
from holdfast.project import Project

COLORS = {"blue": (30, 60, 200), "green": (40, 180, 60), "red": (200, 40, 40)}
NUM_LABELED = 12
NUM_UNLABELED = 8

TINY = {
    "data.image_size": "8",
    "network.width": "4",
    "network.device": '"cpu"',
    "query.budget": "6",
    "learning.steps": "4",
    "learning.batch_size": "8",
    "learning.consolidation.samples": "8",
    "gate.resamples": "200",
}


@dataclass(frozen=True)
class Shelf:
    """Folders `labeled` (one per color) and `unlabeled`, and the color of each uid."""

    root: Path
    truth: Mapping[str, str] = field(default_factory=dict)

    @property
    def labeled(self) -> Path:
        return self.root / "labeled"

    @property
    def unlabeled(self) -> Path:
        return self.root / "unlabeled"


@dataclass(frozen=True)
class Person:
    """Somebody at the command line of one project, who knows the true colors."""

    root: Path
    truth: Mapping[str, str]
    capture: pytest.CaptureFixture[str]

    def call(self, *argv: str) -> tuple[int, dict[str, Any]]:
        """Run a command with `--json`; exit code and what it printed."""
        self.capture.readouterr()
        exit_code = main(["--config", str(self.root), *argv, "--json"])
        return exit_code, json.loads(self.capture.readouterr().out)

    def succeed(self, *argv: str) -> dict[str, Any]:
        exit_code, data = self.call(*argv)
        assert exit_code == 0, data
        return data

    def run(self) -> tuple[int, dict[str, Any]]:
        return self.call("run", "--no-prefect")

    def fail(self, *argv: str, exit_code: int = 2) -> str:
        """Run a command that must fail; its message, which is one line on stderr."""
        self.capture.readouterr()
        assert main(["--config", str(self.root), *argv]) == exit_code
        out, err = self.capture.readouterr()
        assert out == ""
        assert "Traceback" not in err
        # A run says which phases are done before it says what stopped it.
        lines = [line for line in err.splitlines() if not line.startswith("round ")]
        assert len(lines) == 1, err
        assert lines[0].startswith("holdfast: ")
        return lines[0].removeprefix("holdfast: ")

    def sheet(self, key: str) -> Path:
        return self.root / "queries" / f"{key}.csv"

    def questions(self, key: str) -> list[dict[str, str]]:
        with self.sheet(key).open(newline="") as file:
            return list(csv.DictReader(file))

    def answer(
        self,
        key: str,
        say: Callable[[int, str], str] | None = None,
        into: Path | None = None,
    ) -> None:
        """Fill in the last column: the true color, or what `say(row, color)` makes of it."""
        rows = self.questions(key)
        for number, row in enumerate(rows):
            color = self.truth[row["uid"]]
            row["label"] = color if say is None else say(number, color)
        with (into or self.sheet(key)).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    def play(self, key: str) -> dict[str, Any]:
        """Run a round to its end, answering truly on the way."""
        assert self.run()[0] == 75
        self.answer(key)
        exit_code, data = self.run()
        assert exit_code == 0, data
        return data

    def set(self, settings: Mapping[str, str]) -> None:
        """Change lines of `holdfast.toml`, each named `section.key`."""
        path = self.root / "holdfast.toml"
        lines, section, left = path.read_text().splitlines(), "", dict(settings)
        for number, line in enumerate(lines):
            key = line.removeprefix("# ").partition(" =")[0]
            if line.startswith("["):
                section = line.strip("[]")
            elif f"{section}.{key}" in left:
                lines[number] = f"{key} = {left.pop(f'{section}.{key}')}"
        assert not left, left
        path.write_text("\n".join(lines) + "\n")

    def digest(self) -> str:
        with Project.open(self.root) as project:
            return project.ledger.digest()


def paint(path: Path, color: str, rng: np.random.Generator) -> str:
    """Write a noisy image of one color; its uid."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.asarray(COLORS[color]) + rng.integers(-30, 30, size=(8, 8, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    root, truth = tmp_path_factory.mktemp("shelf"), {}
    rng = np.random.default_rng(0)
    for color in COLORS:
        for number in range(NUM_LABELED + NUM_UNLABELED):
            kind = f"labeled/{color}" if number < NUM_LABELED else "unlabeled"
            truth[paint(root / kind / f"{color}-{number}.png", color, rng)] = color
    return Shelf(root, truth)


@pytest.fixture
def person(tmp_path: Path, shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> Person:
    """Somebody who has just run `holdfast init` and made the settings tiny."""
    root = tmp_path / "project"
    assert main(["init", str(root)]) == 0
    one = Person(root, shelf.truth, capsys)
    one.set(TINY)
    return one
