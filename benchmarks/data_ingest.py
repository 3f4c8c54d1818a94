"""Images taken in a second, beside a plain loop that reads, hashes and decodes the same files."""

from __future__ import annotations

import hashlib
import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from benchmarks.measurement import apart, peak_mb

if TYPE_CHECKING:
    from holdfast.data.examine import Keeping

# (side in pixels, format, share of the samples): icons as PNG, photographs as JPEG.
KINDS = ((32, "PNG", 1.0), (192, "JPEG", 0.25))
NUM_CLASSES = 10
# How bytes are kept, and settings beyond the default: without grouping, Holdfast does what the
# plain loop does, and writes down what it found.
METHODS: Mapping[str, tuple[Keeping, str]] = {
    "holdfast dry run": ("nothing", ""),
    "holdfast reference": ("reference", ""),
    "holdfast copy": ("copy", ""),
    "holdfast again": ("copy", ""),
    "holdfast copy, no grouping": ("copy", "[data]\ngroup_near_duplicates = false\n"),
}
PRELOADED = ("benchmarks.data_ingest",)


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """One pass over a folder of files, which is made if it is not there."""

    folder: Path
    method: str
    side: int
    kind: str
    samples: int


def rows(samples: int) -> list[dict[str, Any]]:
    """Measure every method on generated files.

    Parameters
    ----------
    samples : int
        Small images, 100 or more; a quarter as many photographs.

    Returns
    -------
    list of dict
        `operation, method, samples, seconds, per_second, peak_mb`; `ratio` to the plain loop
        over the same files; `cpu_seconds`, which a busy machine does not stretch. Imports and
        the opening of the project do not count. `peak_mb` is of the process and its largest
        child together.
    """
    found = []
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        for side, kind, share in KINDS:
            count = max(100, int(samples * share))
            folder = Path(name) / f"{kind}-{side}"
            of_kind = []
            for method in ("files made", "PIL + sha256", *METHODS):
                job = Job(folder=folder, method=method, side=side, kind=kind, samples=count)
                row = apart("benchmarks.data_ingest:measure", job, preload=PRELOADED)
                if method != "files made":
                    of_kind.append(row)
            for row in of_kind:
                row["ratio"] = row["per_second"] / of_kind[0]["per_second"]
            found += of_kind
    return found


def measure(job: Job) -> dict[str, Any]:
    """Make one pass and return its row."""
    passes = {"files made": _make, "PIL + sha256": _plain}
    work = passes.get(job.method) or _ready_to_ingest(job)
    started, worked = time.perf_counter(), _cpu_seconds()
    work(job)
    seconds, cpu_seconds = time.perf_counter() - started, _cpu_seconds() - worked
    children_mb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {
        "operation": f"ingest {job.kind} {job.side}x{job.side}",
        "method": job.method,
        "samples": job.samples,
        "seconds": seconds,
        "per_second": job.samples / seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mb": peak_mb() + children_mb,
    }


def _make(job: Job) -> None:
    """Write distinct images into class-named folders: noise, smoothed."""
    rng = np.random.default_rng(job.side)
    for name in range(NUM_CLASSES):
        (job.folder / "images" / f"class-{name}").mkdir(parents=True)
    for number in range(job.samples):
        coarse = rng.integers(0, 256, (job.side // 8, job.side // 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((job.side, job.side), Image.Resampling.BILINEAR)
        folder = job.folder / "images" / f"class-{number % NUM_CLASSES}"
        image.save(folder / f"{number:07}.{job.kind.lower()}")


def _paths(job: Job) -> Iterator[str]:
    for folder in sorted((job.folder / "images").iterdir()):
        with os.scandir(folder) as entries:
            yield from sorted(entry.path for entry in entries)


def _plain(job: Job) -> None:
    """What a script does: no check of the header, nothing kept, nothing written."""
    for path in _paths(job):
        content = Path(path).read_bytes()
        hashlib.sha256(content).hexdigest()
        with Image.open(BytesIO(content)) as image:
            image.load()


def _ready_to_ingest(job: Job) -> Callable[[Job], None]:
    """Open a project, with everything imported that an ingest needs."""
    import lance  # noqa: F401
    import pyarrow  # type: ignore[import-untyped]  # noqa: F401

    from holdfast.data.ingest import ingest
    from holdfast.project import Project
    from holdfast.quality import duplicate_search  # noqa: F401

    keeping, settings = METHODS[job.method]
    # Again is into the project of the copy.
    root = job.folder / job.method.replace("again", "copy").replace(" ", "-")
    root.mkdir(exist_ok=True)
    (root / "holdfast.toml").write_text(settings)
    project = Project.open(root)

    def work(job: Job) -> None:
        with project:
            report = ingest(project, job.folder / "images", keeping=keeping)
        if report.num_added + report.num_known != job.samples:
            raise ValueError(f"{job.samples} images were made but {report.num_added} came in")

    return work


def _cpu_seconds() -> float:
    """Return the processor time of this process and of its children that ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
