"""The streaming sampler: how long the next batch takes while weights change.

Shape suffixes: n samples, b samples of a batch.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]  # pyarrow ships no types
import torch
from PIL import Image

from holdfast.data.augment import change
from holdfast.data.augment_settings import AugmentationConfig
from holdfast.data.stream import StoredImages
from holdfast.data.streaming_sampler import StreamingSampler
from holdfast.learning.memory_sampling import MemorySampler
from holdfast.learning.sampling import BatchSampler
from holdfast.store.images import ImageStore
from holdfast.store.uid_table import UidTable

BATCH = 256
SIDE = 64
_TIMES, _TIMES_OF_SLOW = 2000, 200
# Exemplars of a buffer that a stream changes, of a tenth of the samples.
_CHANGED = 8
# Images that differ among those of the store.
_DISTINCT = 1000
_MEBI = 1 << 20

Row = dict[str, Any]


def rows(samples: int) -> list[Row]:
    """Measure drawing, changing and gathering, and the peers of drawing, on `samples` samples.

    Parameters
    ----------
    samples : int
        At least 100.

    Returns
    -------
    list of dict
        `operation`, `method`, `samples`, `seconds` in all, `per_second` (samples drawn or
        changed), `peak_mb` (of the process, in MiB), `p50_ms` and `p99_ms` of one batch, and
        the same as processor time, which a busy machine does not stretch.
    """
    rng = np.random.default_rng(0)
    weights = rng.random(samples)
    return [
        *_draws(samples, weights, rng),
        *_changes(samples, weights, rng),
        *_memory(samples, rng),
        *_batches(samples, weights, rng),
    ]


def _draws(samples: int, weights: np.ndarray, rng: np.random.Generator) -> list[Row]:
    tree = StreamingSampler(weights)
    turns = StreamingSampler(weights, replacement=False)
    shares = weights / weights.sum()
    return [
        _timed("draw", "holdfast", samples, BATCH, _TIMES, lambda: tree.draw(BATCH, rng)),
        _timed(
            "draw", "holdfast, no repeats", samples, BATCH, _TIMES, lambda: turns.draw(BATCH, rng)
        ),
        # What the two usual ways cost, which look at every weight for each batch.
        _timed(
            "draw",
            "numpy choice",
            samples,
            BATCH,
            20,
            lambda: rng.choice(samples, BATCH, p=shares),
        ),
        _timed(
            "draw",
            "torch multinomial",
            samples,
            BATCH,
            20,
            # Of more than 2^24 weights torch draws none.
            lambda: torch.multinomial(torch.from_numpy(weights[: 1 << 24]), BATCH, True),
        ),
    ]


def _changes(samples: int, weights: np.ndarray, rng: np.random.Generator) -> list[Row]:
    sampler = StreamingSampler(weights)
    measured = []
    for number in (1, BATCH):
        changed = rng.integers(samples, size=(_TIMES, number))
        fresh = rng.random((_TIMES, number))
        place = iter(range(_TIMES))

        def alter(
            changed: np.ndarray = changed, fresh: np.ndarray = fresh, place: Any = place
        ) -> None:
            at = next(place)
            sampler.change(changed[at], fresh[at])

        measured.append(_timed("change", f"holdfast, {number}", samples, number, _TIMES, alter))
    return measured


def _memory(samples: int, rng: np.random.Generator) -> list[Row]:
    """Measure drawing from a buffer that a stream changes: what an update does at each step."""
    positions = rng.integers(0, 20, samples)
    trust = np.ones(samples, np.float32)
    held, outside = np.split(rng.permutation(samples), [samples // 10])
    known: dict[str, Any] = {"num_classes": 20, "balance": 1.0}
    moving = MemorySampler(positions, trust, **known)
    moving.hold(held)

    def exchanged() -> np.ndarray:
        # A few leave, and come back at the next step.
        at = rng.choice(len(held), _CHANGED, replace=False)
        held[at], outside[:_CHANGED] = outside[:_CHANGED], held[at]
        return held.copy()

    def by_tree() -> None:
        moving.hold(exchanged())
        moving.draw(64, rng, 0.5)

    def anew() -> None:
        rows_held = exchanged()
        BatchSampler(positions[rows_held], trust[rows_held], **known).draw(64, rng, 0.5)

    return [
        _timed("draw from a stream's buffer", "holdfast", samples, 64, _TIMES_OF_SLOW, by_tree),
        _timed("draw from a stream's buffer", "sorted anew", samples, 64, 50, anew),
    ]


def _batches(samples: int, weights: np.ndarray, rng: np.random.Generator) -> list[Row]:
    """Measure whole batches: drawn, read from the store, decoded and augmented."""
    generator = torch.Generator().manual_seed(0)
    config = AugmentationConfig(policy="geometric")
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
        images = _stored(Path(folder) / "samples.lance", samples, rng)
        sampler = StreamingSampler(weights)

        def batch() -> None:
            drawn = sampler.draw(BATCH, rng)
            pixels = torch.from_numpy(images[drawn]).float() / 255
            change(pixels, config, generator, None)
            sampler.change(drawn, rng.random(BATCH))

        batch()
        operation = f"draw, read, decode and augment at {SIDE}x{SIDE}"
        return [_timed(operation, "holdfast", samples, BATCH, _TIMES_OF_SLOW, batch)]


def _stored(path: Path, samples: int, rng: np.random.Generator) -> StoredImages:
    """Fill a store with JPEG images; few of them differ, but each has a place of its own."""
    payloads = []
    for coarse in rng.integers(0, 256, (_DISTINCT, SIDE // 8, SIDE // 8, 3), dtype=np.uint8):
        file = BytesIO()
        Image.fromarray(coarse).resize((SIDE, SIDE)).save(file, "JPEG")
        payloads.append(file.getvalue())
    schema = UidTable(path, "bytes").schema(pa.large_binary())
    uids = [f"{number:064x}" for number in range(samples)]

    def parts() -> Iterator[pa.RecordBatch]:
        for start in range(0, samples, _DISTINCT):
            part = uids[start : start + _DISTINCT]
            yield pa.record_batch([part, payloads[: len(part)]], schema=schema)

    lance.write_dataset(parts(), str(path), schema=schema)
    return StoredImages(ImageStore(path), uids, SIDE, 3)


def _timed(
    operation: str,
    method: str,
    samples: int,
    size: int,
    times: int,
    work: Callable[[], object],
) -> Row:
    seconds, worked = np.empty(times), np.empty(times)
    for number in range(times):
        started, began = time.perf_counter(), time.process_time()
        work()
        seconds[number] = time.perf_counter() - started
        worked[number] = time.process_time() - began
    p50, p99 = np.percentile(seconds * 1000, [50, 99]).tolist()
    cpu_p50, cpu_p99 = np.percentile(worked * 1000, [50, 99]).tolist()
    return {
        "operation": operation,
        "method": method,
        "samples": samples,
        "seconds": float(seconds.sum()),
        "per_second": size * times / float(seconds.sum()),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _MEBI,
        "p50_ms": p50,
        "p99_ms": p99,
        "cpu_p50_ms": cpu_p50,
        "cpu_p99_ms": cpu_p99,
    }
