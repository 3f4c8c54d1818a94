"""`holdfast audit` at the command line, and the audit inside a round."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from holdfast.phases.found import KINDS
from holdfast.project import Project
from holdfast.records import LABEL_FINDINGS
from holdfast.store import intake, rounds, samples

COLORS = {"blue": (30, 60, 200), "green": (40, 180, 60), "red": (200, 40, 40)}


def paint(path: Path, color: str, rng: np.random.Generator) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.asarray(COLORS[color]) + rng.integers(-30, 30, size=(8, 8, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture
def flawed(person, tmp_path: Path):
    """Three colors with two wrong labels, copies (one across the split) and poor images."""
    rng = np.random.default_rng(1)
    shelf = tmp_path / "flawed"
    lines = []

    def add(name: str, label: str, split: str = "train") -> Path:
        lines.append({"path": name, "label": label, "split": split})
        return shelf / name

    for color in COLORS:
        for number in range(30):
            name = f"{color}-{number}.png"
            label = "red" if name in {"blue-3.png", "blue-7.png"} else color
            paint(add(name, label, "holdout" if number < 6 else "train"), color, rng)
    with Image.open(shelf / "red-0.png") as held_out:
        # The same pixels in other bytes, on the other side.
        held_out.save(add("copy-of-red-0.bmp", "red"))
    with Image.open(shelf / "green-20.png") as image:
        nearly = np.asarray(image) + rng.integers(0, 2, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(nearly).save(add("nearly-green-20.png", "blue"))
    Image.new("RGB", (16, 16), COLORS["green"]).save(add("large.png", "green"))
    Image.new("RGB", (8, 8), (2, 2, 3)).save(add("night.png", "blue"))
    with (shelf / "all.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label", "split"])
        writer.writeheader()
        writer.writerows(lines)
    person.succeed("ingest", str(shelf / "all.csv"))
    return person


def names_of(data: dict, kind: str | None = None) -> set[str]:
    return {Path(row["source"]).name for row in data["findings"] if kind in (None, row["kind"])}


def test_audit_finds_what_is_wrong(flawed) -> None:
    data = flawed.succeed("audit", "--csv", str(flawed.root / "all.csv"))
    assert {"blue-3.png", "blue-7.png"} <= names_of(data)
    assert data["flagged_by_class"]["red"] >= 2
    with (flawed.root / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["kind"] for row in rows} == {k for k, n in data["found"].items() if n}
    of = {kind: {Path(r["source"]).name for r in rows if r["kind"] == kind} for kind in KINDS}
    assert of["exact_duplicate"] == {"red-0.png", "copy-of-red-0.bmp"}
    assert of["duplicate_across_splits"] == of["exact_duplicate"]
    assert of["near_duplicate"] == {"green-20.png", "nearly-green-20.png"}
    assert of["duplicate_conflict"] == of["near_duplicate"]
    assert "night.png" in of["dark"]
    assert of["odd_size"] == {"large.png"}
    wrong = {Path(r["source"]).name: r for r in rows if r["kind"] == "label_error"}
    assert (wrong["blue-3.png"]["given"], wrong["blue-3.png"]["suggested"]) == ("red", "blue")


def test_audit_names_both_sides_of_a_leak_and_what_to_do(flawed) -> None:
    (error,) = flawed.succeed("audit")["errors"]
    assert "red-0.png is copy-of-red-0.bmp" in error
    assert "group column" in error


def test_audit_leaves_the_ledger_as_it_was(flawed) -> None:
    before = flawed.digest()
    first = flawed.succeed("audit")
    assert flawed.digest() == before
    again = flawed.succeed("audit")
    assert first | {"seconds": 0} == again | {"seconds": 0}
    assert flawed.succeed("status")["round"] is None


def test_audit_shows_a_page_of_suspects(flawed) -> None:
    page = Path(flawed.succeed("audit")["page"]).read_text()
    assert page.count("<img") >= 6
    assert "<del>red</del> → <ins>blue</ins>" in page
    assert "red-0.png is copy-of-red-0.bmp" in page


@pytest.mark.parametrize("kind", list(KINDS))
def test_audit_of_one_kind_lists_that_kind_alone(flawed, kind: str) -> None:
    everything = flawed.succeed("audit")
    data = flawed.succeed("audit", "--kind", kind, "--top", "1")
    assert data["found"] == {kind: everything["found"][kind]}
    assert len(data["findings"]) == min(1, data["found"][kind])


def test_audit_prints_tables_for_people(flawed) -> None:
    flawed.capture.readouterr()
    from holdfast.__main__ import main

    assert main(["--config", str(flawed.root), "audit", "--top", "2"]) == 0
    out = flawed.capture.readouterr().out
    assert "label looks wrong, worst first" in out
    assert "error: 1 picture lies in the holdout" in out
    assert "blue-3.png" in out


def test_audit_without_images_says_what_to_do(person) -> None:
    assert "holdfast ingest" in person.fail("audit")


def test_audit_without_labels_offers_the_images(person, shelf) -> None:
    person.succeed("ingest", str(shelf.unlabeled))
    assert "--kind near_duplicate" in person.fail("audit")
    assert person.succeed("audit", "--kind", "near_duplicate")["found"] == {"near_duplicate": 0}


def test_audit_of_an_unknown_kind_suggests_one(flawed) -> None:
    assert "did you mean label_error?" in flawed.fail("audit", "--kind", "label_eror")


@pytest.mark.parametrize("colors", [["red"], ["red", "blue"]])
def test_audit_of_next_to_nothing_finds_nothing(person, tmp_path: Path, colors) -> None:
    person.set({"data.classes": '["red", "blue"]'})
    for color in colors:
        paint(tmp_path / "few" / color / "a.png", color, np.random.default_rng(0))
    person.succeed("ingest", str(tmp_path / "few"))
    found = person.succeed("audit")["found"]
    assert not any(number for kind, number in found.items() if kind != "label_error")


def test_audit_lists_contents_with_two_labels(person, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for number in range(12):
        for color in COLORS:
            paint(tmp_path / "in" / color / f"{number}.png", color, rng)
    shutil.copy(tmp_path / "in" / "red" / "0.png", tmp_path / "in" / "blue" / "same.png")
    person.succeed("ingest", str(tmp_path / "in"))
    data = person.succeed("audit", "--kind", intake.CONFLICT)
    (row,) = data["findings"]
    assert {row["given"], row["suggested"]} == {"red", "blue"}


def test_round_records_findings_once_and_asks_only_about_labels(flawed) -> None:
    flawed.truth.update(truth_of(flawed))
    flawed.play("round-1")
    with Project.open(flawed.root) as project, project.ledger.read() as connection:
        found = rounds.findings(connection, kinds=None)
        kinds = {row.finding.kind for row in found}
        outcome = next(r.outcome for r in rounds.phases(connection, 1) if r.phase == "audit")
    assert {"exact_duplicate", "duplicate_across_splits", "odd_size"} <= kinds
    # A person's answer about a label settles nothing about the image.
    settled = {row.finding.kind for row in found if row.outcome is not None}
    assert settled <= set(LABEL_FINDINGS)
    assert outcome["images"]["across_splits"]["sets"] == 1
    assert outcome["images"]["found"]["exact_duplicate"] == 2
    json.dumps(outcome)
    flawed.play("round-2")
    with Project.open(flawed.root) as project, project.ledger.read() as connection:
        again = [
            row
            for row in rounds.findings(connection, 2, kinds=None)
            if row.finding.kind not in LABEL_FINDINGS
        ]
        second = next(r.outcome for r in rounds.phases(connection, 2) if r.phase == "audit")
    assert again == []
    assert second["images"] == outcome["images"]


def test_round_looks_at_images_again_when_new_ones_came(flawed, tmp_path: Path) -> None:
    flawed.truth.update(truth_of(flawed))
    flawed.play("round-1")
    Image.new("RGB", (8, 8), (2, 2, 4)).save(tmp_path / "later.png")
    (tmp_path / "later").mkdir()
    shutil.move(tmp_path / "later.png", tmp_path / "later")
    flawed.succeed("ingest", str(tmp_path / "later"))
    assert flawed.run()[0] == 75
    with Project.open(flawed.root) as project, project.ledger.read() as connection:
        new = rounds.findings(connection, 2, kinds=("dark",))
        ids = np.array([row.finding.sample_id for row in new], np.int64)
        sources = samples.sources_of(connection, ids)
    assert [Path(one).name for one in sources] == ["later.png"]


def truth_of(person) -> dict[str, str]:
    """The color of each ingested image, by uid; what shows none is blue."""
    with Project.open(person.root) as project, project.ledger.read() as connection:
        ids = np.union1d(
            samples.usable_ids(connection, "train"), samples.usable_ids(connection, "holdout")
        )
        uids = samples.uids_of(connection, ids)
        names = [Path(one).stem for one in samples.sources_of(connection, ids)]
    return {
        uid: next((color for color in COLORS if color in name), "blue")
        for uid, name in zip(uids, names, strict=True)
    }
