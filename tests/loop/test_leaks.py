"""A leak found later moves the training side out, says so, and can be undone."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from PIL import Image

from holdfast.learning.replay import read_buffer
from holdfast.phases.leak_reasons import EXACT_REASON, NEAR_REASON
from holdfast.phases.scoring import load_state
from holdfast.project import Project
from holdfast.store import models, rounds, samples
from holdfast.store.schema import sample

COLORS = {"blue": (30, 60, 200), "green": (40, 180, 60), "red": (200, 40, 40), "rare": (90, 90, 20)}
NUM_TRAINING = {"blue": 14, "green": 14, "red": 14, "rare": 8}
NUM_HELD = 4


@dataclass
class Album:
    """Images in a folder, and what a manifest says of them."""

    root: Path
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))
    lines: list[dict[str, str]] = field(default_factory=list)

    def paint(self, name: str, color: str, split: str) -> None:
        pixels = np.asarray(COLORS[color]) + self.rng.integers(-30, 30, size=(8, 8, 3))
        self.save(name, pixels.clip(0, 255).astype(np.uint8), color, split)

    def save(self, name: str, pixels: np.ndarray, color: str, split: str) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(self.root / name)
        self.lines.append({"path": name, "label": color, "split": split})

    def pixels(self, name: str) -> np.ndarray:
        with Image.open(self.root / name) as image:
            return np.asarray(image)

    def paler(self, of: str, name: str, color: str, split: str) -> None:
        """Save a copy that is nearly as bright."""
        self.save(name, (self.pixels(of) * 0.95 + 4).astype(np.uint8), color, split)

    def manifest(self) -> Path:
        """Write down what was added since, and return where."""
        path = self.root / f"{len(list(self.root.glob('*.csv')))}.csv"
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["path", "label", "split"])
            writer.writeheader()
            writer.writerows(self.lines)
        self.lines.clear()
        return path


@pytest.fixture
def album(person, tmp_path: Path) -> Album:
    """Four classes in a project, of which the rarest has as few labels as may be."""
    person.set({"query.budget": "2"})
    made = Album(tmp_path / "album")
    for color, number in NUM_TRAINING.items():
        for row in range(number):
            made.paint(f"{color}-{row}.png", color, "train")
        for row in range(NUM_HELD):
            made.paint(f"{color}-held-{row}.png", color, "holdout")
    for row in range(8):
        made.paint(f"unlabeled-{row}.png", "red", "train")
        made.lines[-1]["label"] = ""
    return made


@pytest.fixture
def leaking(person, album: Album):
    """The same with copies of held-out images in training: exact, near, and of the rare class."""
    album.save("copy.bmp", album.pixels("red-held-0.png"), "red", "train")
    album.paler("green-held-0.png", "paler.png", "green", "train")
    album.paler("rare-held-0.png", "rare-paler.png", "rare", "train")
    album.lines = [line for line in album.lines if line["path"] != "rare-7.png"]
    return take_in(person, album)


def take_in(person, album: Album):
    """Ingest what was added, of which people know the color from now on."""
    person.succeed("ingest", str(album.manifest()))
    for uid, row in table_of(person).items():
        person.truth[uid] = next((c for c in COLORS if row["name"].startswith(c)), "red")
    return person


def table_of(person) -> dict[str, dict[str, Any]]:
    """Return name, split and state by uid."""
    with Project.open(person.root) as project, project.ledger.read() as connection:
        rows = connection.execute(
            sa.select(sample.c.uid, sample.c.source, sample.c.split, sample.c.state)
        )
        return {
            uid: {"name": Path(source).name, "split": split, "state": state}
            for uid, source, split, state in rows
        }


def named(person, name: str) -> str:
    return next(uid for uid, row in table_of(person).items() if row["name"] == name)


def aside(person) -> dict[str, str]:
    """Return why samples are in quarantine, by name."""
    listed = person.succeed("quarantine", "list")["samples"]
    return {Path(one["source"]).name: one["reason"] for one in listed}


def test_audit_of_a_round_moves_clear_copies_out_of_training(leaking) -> None:
    before = table_of(leaking)
    assert leaking.run()[0] == 75
    after = table_of(leaking)
    assert {uid: row["split"] for uid, row in after.items()} == {
        uid: row["split"] for uid, row in before.items()
    }
    assert {row["name"] for row in after.values() if row["state"] == "quarantined"} == {
        "copy.bmp",
        "paler.png",
    }
    reasons = aside(leaking)
    assert reasons["copy.bmp"].startswith(EXACT_REASON)
    assert reasons["paler.png"].startswith(NEAR_REASON)
    assert named(leaking, "red-held-0.png")[:12] in reasons["copy.bmp"]
    assert "quarantine release" in reasons["copy.bmp"]


def test_round_says_what_was_moved_and_what_stays(leaking) -> None:
    (error,) = leaking.succeed("audit")["errors"]
    assert "moves 2 of the training samples to quarantine" in error
    assert "leaves 1 because their classes have too few labels" in error
    leaking.play("round-1")
    assert leaking.succeed("status")["moved_out"] == 2
    audited = leaking.succeed("audit")
    assert audited["moved_out"] == 2
    assert "leaves 1 because" in audited["errors"][0]
    told = leaking.succeed("explain", named(leaking, "copy.bmp"))
    assert [(one["kind"], one["who"]) for one in told["quarantine"]] == [("set_aside", "audit")]
    assert told["label"] is None
    page = (leaking.root / "reports" / "round-1.html").read_text()
    assert "2 moved to quarantine (1 exact, 1 nearly so)" in page
    assert "1 left in training: few labels" in page
    with Project.open(leaking.root) as project, project.ledger.read() as connection:
        across = rounds.outcome_before(connection, 2, "audit")["images"]["across_splits"]
    assert (across["moved"], across["kept"]) == (2, {"few labels": 1})


def test_rare_class_keeps_its_last_labels(leaking) -> None:
    leaking.play("round-1")
    rare = next(one for one in leaking.succeed("status")["classes"] if one["name"] == "rare")
    assert rare["train"] == NUM_TRAINING["rare"]
    found = leaking.succeed("audit", "--kind", "duplicate_across_splits")["findings"]
    assert {Path(one["source"]).name for one in found} == {"rare-held-0.png", "rare-paler.png"}


def test_what_a_person_released_stays_released(leaking, album: Album) -> None:
    leaking.play("round-1")
    uid = named(leaking, "copy.bmp")
    leaking.succeed("quarantine", "release", uid)
    assert leaking.succeed("explain", uid)["label"] == "red"
    # New images make the next audit look at all of them again.
    album.paint("late.png", "blue", "train")
    take_in(leaking, album).play("round-2")
    assert table_of(leaking)[uid]["state"] == "ok"
    assert set(aside(leaking)) == {"paler.png"}
    assert "leaves 1 because a person has" in leaking.succeed("audit")["errors"][0]
    leaking.succeed("quarantine", "undo", uid)
    assert set(aside(leaking)) == {"paler.png", "copy.bmp"}


@pytest.fixture
def learned(person, album: Album):
    """A round learned from a sample, of which then a copy is held out; another round."""
    take_in(person, album).play("round-1")
    album.save("held-copy.bmp", album.pixels("red-3.png"), "red", "holdout")
    return take_in(person, album)


def buffers(person) -> list[set[int]]:
    """Return the samples that the model of each round keeps a copy of."""
    with Project.open(person.root) as project:
        with project.ledger.read() as connection:
            made = models.models(connection)
        tensors = [load_state(project, one.sha256).tensors for one in made]
        return [set(read_buffer(one).sample_ids_n.tolist()) for one in tensors]


def test_moved_exemplar_leaves_the_buffer(learned) -> None:
    with Project.open(learned.root) as project, project.ledger.read() as connection:
        (sample_id,) = samples.ids_of(connection, [named(learned, "red-3.png")]).values()
    assert sample_id in buffers(learned)[0]
    learned.play("round-2")
    assert set(aside(learned)) == {"red-3.png"}
    assert sample_id not in buffers(learned)[-1]


def test_rollback_leaves_it_moved_until_a_person_releases_it(learned) -> None:
    uid = named(learned, "red-3.png")
    before = learned.succeed("status")["classes"]
    learned.play("round-2")
    learned.succeed("rollback", "--to", "round-1")
    assert set(aside(learned)) == {"red-3.png"}
    learned.succeed("quarantine", "release", uid)
    assert learned.succeed("explain", uid)["label"] == "red"
    red = [one for one in learned.succeed("status")["classes"] if one["name"] == "red"]
    assert red[0]["train"] == next(one for one in before if one["name"] == "red")["train"]


def test_new_copy_of_a_held_out_sample_never_trains(person, album: Album) -> None:
    take_in(person, album)
    for held in ("red-held-0.png", "green-held-1.png"):
        album.paler(held, f"new-{held}", held.partition("-")[0], "")
    take_in(person, album)
    splits = {row["name"]: row["split"] for row in table_of(person).values()}
    assert splits["new-red-held-0.png"] == splits["new-green-held-1.png"] == "holdout"


def test_flat_copies_stay_in_training(person, album: Album) -> None:
    for name, split in (("red-flat.png", "holdout"), ("red-flat.bmp", "train")):
        album.save(name, np.full((8, 8, 3), 90, np.uint8), "red", split)
    take_in(person, album)
    data = person.succeed("audit", "--kind", "duplicate_across_splits")
    assert len(data["findings"]) == 2
    assert "leaves them there" in data["errors"][0]
    assert person.run()[0] == 75
    assert aside(person) == {}
