"""How long version operations take as the labels grow: made, compared, rolled back, exported.

Each is timed twice where there is something to compare with: the way Holdfast does it
(`kept`), from the labels kept for each moment, and by asking the rule about every event of the
log (`log`), which is what a watermark alone would need.
"""

from __future__ import annotations

import hashlib
import importlib
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from benchmarks.memory_watch import MemoryWatch
from holdfast import loop
from holdfast.data.versions import compare, digest
from holdfast.loop import advance
from holdfast.project import Project
from holdfast.records import Changes, LabelEvent, ModelRecord, Promotion
from holdfast.store import differences, held_labels, labels, models, rounds, samples
from holdfast.store.label_rule import Scope
from holdfast.store.ledger import now
from holdfast.store.rounds import PhaseRecord
from holdfast.store.schema import sample

NUM_CLASSES = 10
CHANGED_PARTS = 100  # every hundredth label changes between two versions
_ROWS = 20_000
Row = dict[str, Any]


def rows(num_samples: int) -> list[Row]:
    """Time version operations on a generated ledger.

    Parameters
    ----------
    num_samples : int
        Labeled samples, 100 or more. A hundredth of them change between two versions.

    Returns
    -------
    list of dict
        `operation`, `method`, `samples`, `seconds`, `cpu_seconds` (of this process alone:
        what counts where others share the machine), `per_second`, `peak_mb`.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "holdfast.toml").write_text("[query]\nbudget = 6\n")
        with Project.open(root) as project:
            return _rows(project, num_samples)


def _rows(project: Project, num_samples: int) -> list[Row]:
    found: list[Row] = []
    timed = _Timed(found, num_samples)
    with timed("label", "kept"):
        _fill(project, num_samples)
    _round(project, 1, timed, "first version")
    num_changed = max(1, num_samples // CHANGED_PARTS)
    with timed("relabel a hundredth", "kept"), project.ledger.write() as connection:
        _relabel(connection, num_samples, num_changed)
    _round(project, 2, timed, "next version")
    with project.ledger.read() as connection:
        one, two = (models.newest_version(connection, n, "training") for n in (1, 2))
        if one is None or two is None:
            raise RuntimeError("a round made no version")
        with timed("diff", "kept"):
            first, last = one.version.moment or 0, two.version.moment or 0
            said = compare(differences.transitions(connection, first, last))
            listed = sum(1 for _ in differences.changes(connection, first, last, 20))
        with timed("resolve", "kept"):
            table = labels.resolve(connection, two.scope)
        with timed("resolve", "log"):
            by_rule = labels.resolve(connection, Scope(two.version.watermark))
        with timed("diff", "log"):
            before = labels.resolve(connection, Scope(one.version.watermark))
            after = labels.resolve(connection, Scope(two.version.watermark))
            changed = int((before.class_ids_n != after.class_ids_n).sum())
        with timed("digest", "log"):
            uids = samples.uids_of(connection, by_rule.sample_ids_n)
            names = labels.class_names(connection)
            whole = digest(uids, by_rule.class_ids_n, names)
    if sum(said.changed.values()) != changed or listed != min(20, changed):
        raise RuntimeError("both ways of comparing versions should find the same")
    if whole != two.version.digest or not np.array_equal(table.class_ids_n, by_rule.class_ids_n):
        raise RuntimeError("what is kept and what the rule says should be the same")
    with timed("rollback", "kept"):
        loop.rollback(project, 1, "benchmark")
    with project.ledger.read() as connection:
        if held_labels.newest(connection).digest != one.version.digest:
            raise RuntimeError("a rollback should bring the digest back")
    return found


class _Timed:
    def __init__(self, found: list[Row], num_samples: int) -> None:
        self._found, self._num = found, num_samples

    @contextmanager
    def __call__(self, operation: str, method: str) -> Iterator[None]:
        watch = MemoryWatch()
        started, worked = time.perf_counter(), time.process_time()
        yield
        seconds, work = time.perf_counter() - started, time.process_time() - worked
        self._found.append(
            {
                "operation": f"versions: {operation}",
                "method": method,
                "samples": self._num,
                "seconds": round(seconds, 4),
                "cpu_seconds": round(work, 4),
                "per_second": round(self._num / seconds, 1),
                "peak_mb": round(watch.stop() / 2**20, 1),
            }
        )


def _fill(project: Project, num_samples: int) -> None:
    """Write samples with a given label each, as ingest does."""
    with project.ledger.write() as connection:
        labels.add_classes(connection, [f"class {number}" for number in range(NUM_CLASSES)])
    for start in range(0, num_samples, _ROWS):
        numbers = range(start, min(start + _ROWS, num_samples))
        stamp = now()
        with project.ledger.write() as connection:
            connection.execute(
                sa.insert(sample),
                [
                    {
                        "id": number + 1,
                        "uid": hashlib.sha256(str(number).encode()).hexdigest(),
                        "num_bytes": 1000,
                        "width": 32,
                        "height": 32,
                        "channels": 3,
                        "source": f"images/{number:08d}.png",
                        "split": "holdout" if number % 5 == 0 else "train",
                        "state": "ok",
                        "created_at": stamp,
                    }
                    for number in numbers
                ],
            )
            labels.append(
                connection,
                [
                    LabelEvent(
                        sample_id=number + 1,
                        kind="given",
                        class_id=number % NUM_CLASSES,
                        annotator="source",
                        source_key=f"given/{number}",
                    )
                    for number in numbers
                ],
                None,
            )


def _relabel(connection: Connection, num_samples: int, num_changed: int) -> None:
    step = num_samples // num_changed
    labels.append(
        connection,
        [
            LabelEvent(
                sample_id=number + 1,
                kind="annotation",
                class_id=(number + 1) % NUM_CLASSES,
                annotator="ann",
                source_key=f"again/{number}",
            )
            for number in range(0, num_changed * step, step)
        ],
        2,
    )


def _round(project: Project, number: int, timed: _Timed, operation: str) -> None:
    """Take a round through its snapshot, and end it with a model made of nothing."""
    with project.ledger.write() as connection:
        rounds.start(connection, project.config.digest())
        for step, (phase, after) in enumerate(
            zip(loop.ASK, [*loop.ASK[1:], "snapshot"], strict=True), 1
        ):
            done = PhaseRecord(
                round_number=number,
                step=step,
                phase=phase,
                next_phase=after,
                outcome={},
                seconds=0.0,
            )
            rounds.record(connection, done, Changes())
    # Its modules are imported with the first round of a process, whatever the samples.
    importlib.import_module("holdfast.phases.learn")
    with timed(operation, "kept"):
        advance(project, number)
    with project.ledger.write() as connection:
        version = models.newest_version(connection, number, "training")
        current = models.champion(connection)
        sha256 = hashlib.sha256(f"model {number}".encode()).hexdigest()
        of = {"round_number": number, "dataset_version": version.id if version else 0}
        model = ModelRecord(sha256=sha256, parent=None, **of)
        promotion = Promotion(
            expected=current.champion if current else None,
            champion=sha256,
            kind="promote",
            verdict={},
            who="benchmark",
            **of,
        )
        changes = Changes(model=model, promotion=promotion)
        done = PhaseRecord(
            step=7,
            phase="promote",
            next_phase=None,
            outcome={"champion": sha256, "dataset_version": of["dataset_version"]},
            seconds=0.0,
            round_number=number,
        )
        rounds.record(connection, done, changes)
