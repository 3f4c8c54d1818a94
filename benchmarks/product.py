"""The arm under test: Holdfast itself, in a project folder of its own."""

from __future__ import annotations

import csv
import hashlib
import json
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scoreboard import Row, Scoreboard
from benchmarks.world import World, encode, to_nchw
from holdfast.config import FILE_NAME, parse
from holdfast.data.ingest import ingest_images
from holdfast.errors import ConfigError
from holdfast.loop import run_round
from holdfast.model.ensemble import restore_model
from holdfast.model.inference import predict
from holdfast.phases.scoring import champion_state
from holdfast.phases.turn import Progress
from holdfast.project import Project
from holdfast.records import Ids
from holdfast.store import answers, labels, samples
from holdfast.store.rounds import PhaseRecord

ARM = "holdfast"

# Starts a round of the project in a folder, for example through Prefect.
Runner = Callable[[Path, Callable[[PhaseRecord], None], Progress], object]


class Product:
    """One project that lives through a world.

    Parameters
    ----------
    folder : Path
        Where the project is made; must not hold one.
    recipe : mapping
        Settings as in `holdfast.toml`; what the world decides is added to them.
    """

    def __init__(self, world: World, folder: Path, recipe: dict[str, Any]) -> None:
        self.world = world
        self.folder = folder
        self.payloads = encode(world.source.train_images_n)
        self.uids = [hashlib.sha256(payload).hexdigest() for payload in self.payloads]
        self.scoreboard = Scoreboard(ARM, world)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE_NAME).write_text(to_toml(self._settings(recipe)), encoding="utf-8")
        self._write_truth()

    def play_round(
        self,
        number: int,
        run: Runner,
        on_phase: Callable[[PhaseRecord], None],
        progress: Progress,
    ) -> Row:
        """Let the samples of a round arrive, run it, and measure the champion."""
        started = time.perf_counter()
        self._arrive(number)
        run(self.folder, on_phase, progress)
        seconds = time.perf_counter() - started
        with Project.open(self.folder) as project:
            state = champion_state(project)
            if state is None:
                raise RuntimeError(f"round {number} ended without a champion")
            said = predict(
                restore_model(state.tensors, state.header, project.config.network),
                to_nchw(self.world.source.test_images_m),
                config=project.config.network,
            )
            believed, num_answers = self._believed(project)
        return self.scoreboard.add(
            said.pred_probs_nk,
            said.class_ids_k,
            labels_n=believed,
            labels_used=int((self.world.given_n >= 0).sum()) + num_answers,
            seconds=seconds,
        )

    def _arrive(self, number: int) -> None:
        rows = np.flatnonzero(self.world.arrival_n == number)
        if not len(rows):
            return
        source = self.world.source
        names = source.class_names
        with Project.open(self.folder) as project:
            ingest_images(
                project,
                [self.payloads[row] for row in rows],
                labels=[
                    None if self.world.given_n[row] < 0 else names[self.world.given_n[row]]
                    for row in rows
                ],
                groups=None if source.groups_n is None else source.groups_n[rows].tolist(),
            )

    def _believed(self, project: Project) -> tuple[Ids, int]:
        """Labels that training sees, by position in the world; and answers paid for."""
        believed = np.full(len(self.uids), -1, np.int64)
        position = {uid: row for row, uid in enumerate(self.uids)}
        place = {name: k for k, name in enumerate(self.world.source.class_names)}
        with project.ledger.read() as connection:
            table = labels.resolve(connection, labels.open_scope(connection), "train")
            names = labels.class_names(connection)
            rows = [position[uid] for uid in samples.uids_of(connection, table.sample_ids_n)]
            num_answers = answers.num_answers(connection)
        believed[rows] = np.array([place[name] for name in names], np.int64)[table.class_ids_n]
        return believed, num_answers

    def _settings(self, recipe: dict[str, Any]) -> dict[str, Any]:
        source, world = self.world.source, self.world
        images = source.train_images_n
        simulated = {
            "oracle": "simulated",
            "truth": "truth.csv",
            "answer_noise": world.answer_noise,
        }
        if source.votes_na is not None:
            simulated["num_annotators"] = source.votes_na.shape[1]
        decided = {
            "data": {
                "image_size": max(images.shape[1:3]),
                "channels": 1 if images.ndim == 3 else images.shape[3],
                "classes": list(source.class_names),
            },
            "query": {"budget": world.budget},
            "annotation": simulated,
        }
        sections = {
            name: recipe.get(name, {}) | decided.get(name, {}) for name in recipe.keys() | decided
        }
        return {"seed": world.seed} | sections

    def _write_truth(self) -> None:
        source = self.world.source
        names = source.class_names
        with (self.folder / "truth.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["uid", "label", "votes"])
            for row, uid in enumerate(self.uids):
                votes = [] if source.votes_na is None else source.votes_na[row].tolist()
                said = "|".join("" if vote < 0 else names[vote] for vote in votes)
                writer.writerow([uid, names[source.train_labels_n[row]], said])


def run_directly(folder: Path, on_phase: Callable[[PhaseRecord], None], progress: Progress) -> None:
    """Run a round without Prefect."""
    with Project.open(folder) as project:
        run_round(project, on_phase, progress)


def read_recipe(path: Path) -> dict[str, Any]:
    """Read a recipe: a `holdfast.toml` without what a world decides.

    Raises
    ------
    ConfigError
        If it cannot be read, would not do as a config, or decides what the world decides.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--recipe {path} cannot be read ({error})") from error
    parse(text, str(path))
    recipe = tomllib.loads(text)
    if "seed" in recipe:
        raise ConfigError(f"{path}: seed has no effect here; name seeds with --seeds")
    return recipe


def to_toml(settings: dict[str, Any]) -> str:
    """Write settings as TOML, a section for each mapping."""
    return "\n".join(_lines(settings, "")) + "\n"


def _lines(section: dict[str, Any], prefix: str) -> list[str]:
    # JSON's numbers, strings, booleans and lists are TOML's.
    lines = [f"{key} = {json.dumps(v)}" for key, v in section.items() if not isinstance(v, dict)]
    for key, value in section.items():
        if isinstance(value, dict):
            lines += ["", f"[{prefix}{key}]", *_lines(value, f"{prefix}{key}.")]
    return lines
