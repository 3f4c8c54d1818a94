"""The README's walk from images of one's own to a second round, and back."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.architecture.readme import PATH, ROOT, WAITING, block, shell


def answer_all(sheet: Path, answer: Callable[[dict[str, str]], str]) -> None:
    with sheet.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label"] = answer(row)
    with sheet.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.slow
def test_own_images_in_five_commands(photos: Path) -> None:
    commands = block("export PATH=").replace("$PWD/.venv", str(ROOT / ".venv"))
    first = shell(commands, photos.parent)
    assert first.returncode == WAITING, first.stderr
    assert "waiting for answers" in first.stderr
    project = photos.parent / "animals"
    assert (project / "queries" / "round-1.html").exists()
    answer_all(
        project / "queries" / "round-1.csv", lambda row: row["image"].split()[1].split("-")[0]
    )
    going_on = shell(block("holdfast run"), project, PATH=PATH)
    assert going_on.returncode == 0, going_on.stderr
    assert "round-1" in going_on.stdout
    assert (project / "reports" / "round-1.html").exists()
    looked_at = shell(block("holdfast audit"), project, PATH=PATH)
    assert looked_at.returncode == 0, looked_at.stderr
    for name in ("reports/audit.html", "queries/preview-round-2.html"):
        assert (project / name).exists()
    undone = shell(block("holdfast rollback"), project, PATH=PATH)
    assert undone.returncode == 0, undone.stderr
