"""A project with questions, a Label Studio that takes them, and what an operation costs."""

from __future__ import annotations

import importlib
import io
import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image
from rich.console import Console

from benchmarks.measurement import MEBI, MeasurementError, Row
from benchmarks.memory_watch import MemoryWatch
from deployments.label_studio.server import LabelStudioServer
from holdfast.annotation.task_content import ANNOTATION_FIELDS, TASK_FIELDS
from holdfast.data.ingest import ingest_images
from holdfast.loop import advance, collect_now
from holdfast.phases.oracles import open_oracle
from holdfast.project import Project
from holdfast.records import Changes, Query, QueryItem
from holdfast.seeds import generator
from holdfast.store import answers, labels, questions, rounds, samples
from holdfast.store.rounds import PhaseRecord

CLASSES = ("blue", "green", "red")
SIDE = 8
# Answers in one request to the server; tasks on a page of its list.
BULK, PAGE = 1000, 500
SECONDS = 900.0
CONFIG = """
[data]
classes = ["blue", "green", "red"]
[query]
budget = {tasks}
[annotation]
oracle = "label-studio"
[annotation.label_studio]
url = "{url}"
token_file = "../server/token"
timeout = 900.0
"""


class Meter:
    """Measures operations; `requests` counts what this process asks over HTTP."""

    def __init__(self, screen: Console) -> None:
        self.rows: list[Row] = []
        self._screen = screen
        self._requests = _Requests()

    @contextmanager
    def measuring(self, operation: str, tasks: int) -> Iterator[None]:
        """Add a row about what happens inside."""
        watch, before = MemoryWatch(), self._requests.count
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            grown = watch.stop()
        row = {
            "operation": operation,
            "tasks": tasks,
            "seconds": seconds,
            "per_second": tasks / seconds,
            "requests": self._requests.count - before,
            "peak_mb": grown / MEBI,
        }
        self.rows.append(row)
        self._screen.print(
            f"{operation:<20} {tasks:7,} tasks {seconds:8.2f} s {row['requests']:5,} requests",
            highlight=False,
        )


class _Requests(logging.Handler):
    """Counts the requests that httpx says it made."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        log = logging.getLogger("httpx")
        log.setLevel(logging.INFO)
        log.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.count += record.msg.startswith("HTTP Request")


class World:
    """One project that asks about all its samples, and its server; see `open_world`.

    Attributes
    ----------
    http : httpx.Client
        Speaks to the server as its first user.
    """

    def __init__(self, project: Project, server: LabelStudioServer, asked: Query) -> None:
        self._project = project
        self._asked = asked
        self.http = httpx.Client(
            base_url=server.url,
            headers={"Authorization": f"Token {server.token}"},
            timeout=SECONDS,
        )

    def step(self) -> str:
        """Run the next phase of the round; its name."""
        return advance(self._project, self._asked.round_number).phase

    def collect(self) -> None:
        """Take in what is there, as `holdfast collect` does."""
        collect_now(self._project)

    def look_without_recording(self) -> int:
        """Fetch what is there by the oracle alone; how many answers."""
        return len(open_oracle(self._project).collect(self._asked).answers)

    def accept_guesses(self, tasks: Sequence[int]) -> None:
        """Answer some tasks with the guesses they carry, as one bulk action of the server's.

        Raises
        ------
        MeasurementError
            If the server does not make an answer of each.
        """
        answer = self.http.post(
            "/api/dm/actions",
            params={"id": "predictions_to_annotations", "project": self._number},
            json={"selectedItems": {"all": False, "included": list(tasks)}},
        )
        if f"Created {len(tasks)} annotations" not in answer.text:
            raise MeasurementError(f"the server did not answer its tasks: {answer.text[:200]}")

    def list_pages(self) -> list[int]:
        """Read all tasks with the fields of answers that collecting needs; their ids."""
        return [task["id"] for task in self._tasks()]

    def export(self) -> int:
        """Read all tasks as an export, with every field; how many."""
        params = {"exportType": "JSON", "download_all_tasks": "true"}
        answer = self.http.get(f"/api/projects/{self._number}/export", params=params)
        return len(answer.raise_for_status().json())

    def count_faults(self) -> tuple[int, int]:
        """Return how much was lost and doubled, by what the server and the ledger hold."""
        ids = [item.sample_id for item in self._asked.items]
        with self._project.ledger.read() as connection:
            uids = samples.uids_of(connection, np.array(ids, np.int64))
            recorded = answers.current_answers(connection, self._asked.round_number)
            num_rows = answers.num_answers(connection)
        uid_of = dict(zip(ids, uids, strict=True))
        here = {uid_of[one.answer.sample_id]: one.answer.label for one in recorded}
        there: dict[str, Any] = {}
        num_tasks: Counter[str] = Counter()
        doubled = num_rows - len(here)
        for task in self._tasks():
            uid = task["data"]["uid"]
            num_tasks[uid] += 1
            given = task["annotations"]
            doubled += max(len(given) - 1, 0)
            if given:
                there[uid] = given[0]["result"][0]["value"]["choices"][0]
        doubled += sum(count - 1 for count in num_tasks.values())
        lost = sum(uid not in there or here.get(uid) != there[uid] for uid in uids)
        return lost, doubled

    def close(self) -> None:
        """Close the connection."""
        self.http.close()

    @property
    def _number(self) -> int:
        with self._project.ledger.read() as connection:
            return int(str(questions.remembered(connection, "label-studio")["project"]))

    def _tasks(self) -> list[dict[str, Any]]:
        tasks: list[dict[str, Any]] = []
        params: dict[str, Any] = {
            "project": self._number,
            "fields": "all",
            "include": ",".join((*TASK_FIELDS, *ANNOTATION_FIELDS)),
            "page_size": PAGE,
            "resolve_uri": "false",
        }
        total = 1
        while len(tasks) < total:
            params["page"] = len(tasks) // PAGE + 1
            page = self.http.get("/api/tasks", params=params).raise_for_status().json()
            if not page["tasks"]:
                raise MeasurementError(f"the server lists {len(tasks)} of {total} tasks")
            tasks += page["tasks"]
            total = page["total"]
        return tasks


@contextmanager
def open_world(folder: Path, num_tasks: int, screen: Console) -> Iterator[World]:
    """Make a project and a server, with a round that is about to send its questions."""
    screen.print("starting Label Studio")
    with LabelStudioServer(folder / "server") as server:
        root = folder / "project"
        root.mkdir()
        (root / "holdfast.toml").write_text(CONFIG.format(tasks=num_tasks, url=server.url))
        with Project.open(root) as project:
            screen.print(f"drawing {num_tasks:,} images")
            ingest_images(project, _draw(num_tasks))
            asked = _ask(project, num_tasks)
            # Imports are no part of sending.
            for phase in ("ask", "collecting"):
                importlib.import_module(f"holdfast.phases.{phase}")
            open_oracle(project).where(asked)
            world = World(project, server, asked)
            try:
                yield world
            finally:
                world.close()


def _draw(number: int) -> list[bytes]:
    rng = generator(0, "label-studio", "images")
    return [_encoded(pixels) for pixels in rng.integers(0, 256, (number, SIDE, SIDE, 3), np.uint8)]


def _encoded(pixels_hwc: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels_hwc).save(buffer, "PNG")
    return buffer.getvalue()


def _ask(project: Project, number: int) -> Query:
    """Begin a round whose query is made: of all samples, each with a guess."""
    with project.ledger.write() as connection:
        labels.add_classes(connection, CLASSES)
        round_number = rounds.start(connection, project.config.digest())
        ids = samples.usable_ids(connection, "train").tolist()[:number]
        items = tuple(
            QueryItem(
                sample_id=one,
                reason="uncertain",
                score=0.5,
                guess=place % len(CLASSES),
                confidence=0.5,
            )
            for place, one in enumerate(ids)
        )
        asked = Query(round_number=round_number, batch=1, items=items)
        for step, (phase, after) in enumerate((("audit", "query"), ("query", "send")), start=1):
            done = PhaseRecord(
                round_number=round_number,
                step=step,
                phase=phase,
                next_phase=after,
                outcome={},
                seconds=0.0,
            )
            changes = Changes(query=asked) if phase == "query" else Changes()
            rounds.record(connection, done, changes)
    return asked
