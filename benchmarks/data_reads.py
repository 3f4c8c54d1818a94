"""Images read at random: Holdfast's store beside loose files and a Parquet table."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.measurement import apart, peak_mb
from holdfast.store.images import ImageStore

SIDE = 64
BATCH = 256
NUM_BATCHES = 40
PRELOADED = ("benchmarks.data_reads",)
METHODS = ("loose files", "Parquet", "holdfast")


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """Reads of one method from a folder that holds all three stores."""

    folder: Path
    method: str
    samples: int


def rows(samples: int) -> list[dict[str, Any]]:
    """Measure every method on the same images, in batches of 256 drawn at random.

    Parameters
    ----------
    samples : int
        JPEG images of 64×64, 100 or more.

    Returns
    -------
    list of dict
        `operation, method, samples, seconds, per_second, peak_mb`, and `p50_ms, p99_ms` of
        one batch. Nothing is decoded; the first batch of each, which opens files, is left out.
    """
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        folder = Path(name)
        apart("benchmarks.data_reads:make", Job(folder=folder, method="", samples=samples))
        return [
            apart(
                "benchmarks.data_reads:measure",
                Job(folder=folder, method=method, samples=samples),
                preload=PRELOADED,
            )
            for method in METHODS
        ]


def make(job: Job) -> dict[str, Any]:
    """Write the images into all three stores."""
    store = ImageStore(job.folder / "samples.lance")
    files = job.folder / "files"
    files.mkdir()
    rng = np.random.default_rng(0)
    with pq.ParquetWriter(job.folder / "images.parquet", _schema()) as writer:
        for start in range(0, job.samples, BATCH):
            images = [_jpeg(rng) for _ in range(min(BATCH, job.samples - start))]
            uids = [hashlib.sha256(image).hexdigest() for image in images]
            for number, image in enumerate(images, start):
                (files / f"{number}.jpg").write_bytes(image)
            store.add(uids, images)
            writer.write_table(pa.table({"uid": uids, "image": images}, schema=_schema()))
    return {}


def measure(job: Job) -> dict[str, Any]:
    """Read the batches by one method and return its row."""
    table = pq.ParquetFile(job.folder / "images.parquet")
    uids = np.array(table.read(columns=["uid"])["uid"].to_pylist())
    readers: dict[str, Callable[[Sequence[int]], list[bytes]]] = {
        "loose files": lambda rows: [
            (job.folder / "files" / f"{row}.jpg").read_bytes() for row in rows
        ],
        "Parquet": lambda rows: _from_parquet(table, rows),
        "holdfast": _from_store(ImageStore(job.folder / "samples.lance"), uids),
    }
    read, rng = readers[job.method], np.random.default_rng(1)
    times = []
    for _ in range(NUM_BATCHES + 1):
        chosen = rng.integers(0, len(uids), BATCH).tolist()
        started = time.perf_counter()
        got = read(chosen)
        times.append(time.perf_counter() - started)
        for row, image in zip(chosen, got, strict=True):
            if hashlib.sha256(image).hexdigest() != uids[row]:
                raise ValueError(f"{job.method} gave another image for row {row}")
    batches = np.array(times[1:])
    return {
        "operation": f"read JPEG {SIDE}x{SIDE}",
        "method": job.method,
        "samples": job.samples,
        "seconds": float(batches.sum()),
        "per_second": NUM_BATCHES * BATCH / float(batches.sum()),
        "p50_ms": 1e3 * float(np.quantile(batches, 0.5)),
        "p99_ms": 1e3 * float(np.quantile(batches, 0.99)),
        "peak_mb": peak_mb(),
    }


def _from_store(store: ImageStore, uids: np.ndarray) -> Callable[[Sequence[int]], list[bytes]]:
    return lambda rows: list(store.read(uids[list(rows)].tolist()))


def _from_parquet(table: pq.ParquetFile, rows: Sequence[int]) -> list[bytes]:
    """Read the row groups that the rows lie in, each once: Parquet gives nothing smaller."""
    group_of = np.repeat(
        np.arange(table.num_row_groups),
        [table.metadata.row_group(g).num_rows for g in range(table.num_row_groups)],
    )
    starts = np.searchsorted(group_of, np.arange(table.num_row_groups))
    columns = {
        group: table.read_row_group(group, columns=["image"])["image"]
        for group in np.unique(group_of[list(rows)]).tolist()
    }
    return [columns[group_of[row]][int(row - starts[group_of[row]])].as_py() for row in rows]


def _schema() -> pa.Schema:
    return pa.schema({"uid": pa.string(), "image": pa.binary()})


def _jpeg(rng: np.random.Generator) -> bytes:
    coarse = rng.integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
    buffer = BytesIO()
    Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BILINEAR).save(buffer, "JPEG")
    return buffer.getvalue()
