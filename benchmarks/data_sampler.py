"""The streaming sampler: how long the next batch takes while weights change.

Shape suffixes: n samples, b samples of a batch.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from holdfast.data.augment import change
from holdfast.data.augment_settings import AugmentationConfig
from holdfast.data.streaming_sampler import StreamingSampler
from holdfast.learning.memory_sampling import MemorySampler
from holdfast.learning.sampling import BatchSampler

BATCH = 256
SIDE = 64
_TIMES, _TIMES_OF_SLOW = 2000, 100
# Exemplars of a buffer that a stream changes, of a tenth of the samples.
_CHANGED = 8
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
    """Measure whole batches: drawn, gathered from a file and augmented."""
    generator = torch.Generator().manual_seed(0)
    config = AugmentationConfig(policy="slight")
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
        # A hole in the file reads as zeros: as many bytes are moved, none has to be written.
        shape = (samples, 3, SIDE, SIDE)
        images = np.memmap(Path(folder) / "images", np.uint8, "w+", shape=shape)
        sampler = StreamingSampler(weights)

        def batch() -> None:
            drawn = np.sort(sampler.draw(BATCH, rng))
            pixels = torch.from_numpy(images[drawn]).float() / 255
            change(pixels, config, generator, None)
            sampler.change(drawn, rng.random(BATCH))

        batch()
        operation = f"draw, gather and augment at {SIDE}x{SIDE}"
        return [_timed(operation, "holdfast", samples, BATCH, _TIMES_OF_SLOW, batch)]


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
