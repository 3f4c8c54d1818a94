"""One selection from a made-up pool of any size, timed; each method in a process of its own.

Clusters of a long tail, 100 : 1, and a model that tells most of them apart. Methods get what
a model said about the pool, so that choosing alone is measured: embeddings and
probabilities in memory, or as maps of files where they are large.

Shape suffixes: n pool samples, m labeled samples, d embedding dimensions, k classes.
"""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measurement import MEBI, MeasurementError, Row, apart
from benchmarks.memory_watch import MemoryWatch
from benchmarks.selection_methods import find_method
from holdfast.errors import ConfigError
from holdfast.records import Floats, Ids
from holdfast.seeds import generator

IMBALANCE = 100
NUM_LABELED = 1_000
# Larger inputs are read from maps of files.
IN_MEMORY_BYTES = 4 * 2**30
# modAL's ranked batch compares the whole pool anew for every pick: hours at 1,000 picks of
# 1,000,000. It is run where it is named.
DEFAULT = ("holdfast", "random", "modal-margin", "falcun", "coreset")
# Peers make arrays of the size of their inputs, which 10,000,000 samples leave no room for.
DEFAULT_MAPPED = ("holdfast", "random")
LIMIT_S = 900
_ROWS = 65_536


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaleJob:
    """What one row takes: a folder of inputs, and a method's name."""

    folder: Path
    method: str
    pick: int
    recipe: Path
    threads: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """What a method knows of a pool and of its labels.

    Attributes
    ----------
    features_nd : ndarray of float32, shape (N + M, D)
        Of the pool, then of the labeled samples.
    probs_nk : ndarray of float32, shape (N, K)
    labels_m : ndarray of int64, shape (M,)
    """

    features_nd: Floats
    probs_nk: Floats
    labels_m: Ids

    def first(self, num: int) -> Inputs:
        """Return the first samples of the pool beside all labeled ones, to warm up with."""
        features = [self.features_nd[:num], self.features_nd[len(self.probs_nk) :]]
        return replace(self, features_nd=np.concatenate(features), probs_nk=self.probs_nk[:num])


def run_scale(
    samples: int,
    dim: int,
    classes: int,
    pick: int,
    methods: Sequence[str] | None = None,
    *,
    recipe: Path | None = None,
    threads: int = 2,
) -> list[Row]:
    """Let each method choose once, one after another, and print a line for each.

    Returns
    -------
    list of dict
        `seconds` and `cpu_seconds` of choosing; `peak_mb`: most memory beyond the inputs and
        the libraries, in MiB, pages of mapped files not counted; `inputs`: `memory` or
        `map`; `picked`: different samples chosen. `failed` says why a method has no figures.

    Raises
    ------
    ConfigError
        If fewer samples are to be chosen from than picked, or a method is not known here.
    """
    if not 2 <= classes <= samples or not 1 <= pick <= samples:
        raise ConfigError(
            f"--scale {samples} should be at least --classes {classes} (2 or more) and "
            f"--pick {pick}"
        )
    mapped = 4 * samples * (dim + classes) > IN_MEMORY_BYTES
    names = list(methods or (DEFAULT_MAPPED if mapped else DEFAULT))
    for name in names:
        find_method(name)
        if name not in CHOOSERS:
            raise ConfigError(f"{name!r} cannot be timed alone; choose of {', '.join(CHOOSERS)}")
    if recipe is None:
        from benchmarks.closed_loop import RECIPE as recipe  # noqa: N811  a setting, not a name
    rows = []
    with tempfile.TemporaryDirectory(prefix="selection-scale-") as name:
        make_inputs(Path(name), samples, dim, classes)
        for method in names:
            job = ScaleJob(
                folder=Path(name), method=method, pick=pick, recipe=recipe, threads=threads
            )
            row: Row = {
                "method": method,
                "samples": samples,
                "dim": dim,
                "classes": classes,
                "pick": pick,
                "threads": threads,
                "inputs": "map" if mapped else "memory",
            }
            try:
                row |= apart(f"{__name__}:play", job, preload=(__name__,))
            except MeasurementError as error:
                row |= {"failed": str(error)}
            print(_line(row), flush=True)
            rows.append(row)
    return rows


def make_inputs(folder: Path, samples: int, dim: int, classes: int) -> None:
    """Write `features.npy`, `probs.npy` and `labels.npy`; the same for the same numbers."""
    rng = generator(0, "selection at scale", samples, dim, classes)
    # A center is four standard deviations of a sample's noise from the origin.
    centers_kd = rng.normal(size=(classes, dim)).astype(np.float32) * np.float32(4 / dim**0.5)
    shares_k = IMBALANCE ** -np.linspace(0, 1, classes)
    total = samples + NUM_LABELED
    classes_n = rng.choice(classes, total, p=shares_k / shares_k.sum())
    features = _file(folder / "features.npy", (total, dim))
    probs = _file(folder / "probs.npy", (samples, classes))
    for start in range(0, total, _ROWS):
        rows = slice(start, min(start + _ROWS, total))
        part = rng.standard_normal((rows.stop - start, dim), np.float32)
        features[rows] = part + centers_kd[classes_n[rows]]
        logits = features[rows][: max(samples - start, 0)] @ centers_kd.T
        said = np.exp(0.5 * (logits - logits.max(axis=1, keepdims=True)))
        probs[start : start + len(said)] = said / said.sum(axis=1, keepdims=True)
    np.save(folder / "labels.npy", classes_n[samples:])


def play(job: ScaleJob) -> Row:
    """Choose once in this process; see `run_scale` for what comes back."""
    from threadpoolctl import threadpool_limits  # only children compute

    inputs = _load(job.folder)
    chooser = CHOOSERS[job.method]
    signal.signal(signal.SIGALRM, _too_long)
    with threadpool_limits(job.threads):
        choose = chooser(job.recipe)
        choose(inputs.first(max(2_000, 2 * job.pick)), job.pick, np.random.default_rng(0))
        signal.alarm(LIMIT_S)
        watch = MemoryWatch()
        started, worked = time.perf_counter(), time.process_time()
        picked = choose(inputs, job.pick, np.random.default_rng(1))
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
        peak = watch.stop()
        signal.alarm(0)
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_mb": peak / MEBI,
        "picked": len(np.unique(picked)),
    }


Choose = Callable[[Inputs, int, np.random.Generator], Ids]


def _holdfast(recipe: Path) -> Choose:
    from benchmarks.selection_contender import read_config
    from holdfast import catalog
    from holdfast.query.relabel import NO_SUSPECTS
    from holdfast.query.selection import select
    from holdfast.query.strategy import Candidates

    config = read_config(recipe).query
    strategy = catalog.load_strategy(config.strategy)

    def choose(inputs: Inputs, pick: int, rng: np.random.Generator) -> Ids:
        num, classes = inputs.probs_nk.shape
        candidates = Candidates(
            sample_ids_n=np.arange(num),
            pred_probs_nk=inputs.probs_nk,
            class_ids_k=np.arange(classes),
            embeddings_nd=inputs.features_nd[:num],
            labeled_counts_k=np.bincount(inputs.labels_m, minlength=classes),
            labeled_embeddings_md=inputs.features_nd[num:],
            labeled_class_ids_m=inputs.labels_m,
        )
        items = select(
            candidates,
            NO_SUSPECTS,
            strategy=strategy,
            config=replace(config, budget=pick),
            rng=rng,
        )
        return np.array([item.sample_id for item in items], np.int64)

    return choose


def _random(recipe: Path) -> Choose:  # noqa: ARG001  contract
    return lambda inputs, pick, rng: rng.permutation(len(inputs.probs_nk))[:pick]


class _Known:
    """A model whose probabilities are known already."""

    def __init__(self, probs_nk: Floats) -> None:
        self._probs_nk = probs_nk

    def predict_proba(self, X: Floats) -> Floats:  # noqa: N803  scikit-learn's name
        """Return them for the pool, or for a part that modAL asks about row by row."""
        if len(X) != len(self._probs_nk):
            raise ValueError(f"{len(X)} rows are not the pool of {len(self._probs_nk)}")
        return self._probs_nk


def _modal(strategy_name: str) -> Callable[[Path], Choose]:
    def chooser(recipe: Path) -> Choose:  # noqa: ARG001  contract
        from benchmarks import selection_uncertainty

        strategy = getattr(selection_uncertainty, strategy_name)

        def choose(inputs: Inputs, pick: int, rng: np.random.Generator) -> Ids:  # noqa: ARG001
            learner = selection_uncertainty.ActiveLearner(_Known(inputs.probs_nk))
            num = len(inputs.probs_nk)
            learner.X_training = inputs.features_nd[num:]
            places, _ = strategy(learner, inputs.features_nd[:num], n_instances=pick)
            return np.asarray(places, np.int64)

        return choose

    return chooser


def _skactiveml(name: str, *, asks_model: bool) -> Callable[[Path], Choose]:
    def chooser(recipe: Path) -> Choose:  # noqa: ARG001  contract
        from benchmarks import selection_peers as peers

        def choose(inputs: Inputs, pick: int, rng: np.random.Generator) -> Ids:
            strategy = getattr(peers, name)(
                missing_label=peers.UNASKED, random_state=int(rng.integers(2**31))
            )
            num = len(inputs.probs_nk)
            labels = np.full(len(inputs.features_nd), peers.UNASKED)
            labels[num:] = inputs.labels_m
            model = {"clf": peers.Fitted(_Known(inputs.probs_nk)), "fit_clf": False}
            options = model if asks_model else {}
            rows = strategy.query(inputs.features_nd, labels, batch_size=pick, **options)
            return np.asarray(rows, np.int64)

        return choose

    return chooser


CHOOSERS: dict[str, Callable[[Path], Choose]] = {
    "holdfast": _holdfast,
    "random": _random,
    "modal-margin": _modal("margin_sampling"),
    "modal-entropy": _modal("entropy_sampling"),
    "modal-ranked": _modal("uncertainty_batch_sampling"),
    "coreset": _skactiveml("CoreSet", asks_model=False),
    "badge": _skactiveml("Badge", asks_model=True),
    "falcun": _skactiveml("Falcun", asks_model=True),
}


def _file(path: Path, shape: tuple[int, int]) -> Floats:
    return np.lib.format.open_memmap(path, "w+", np.float32, shape)


def _load(folder: Path) -> Inputs:
    paths = [folder / "features.npy", folder / "probs.npy"]
    mapped = sum(path.stat().st_size for path in paths) > IN_MEMORY_BYTES
    features, probs = (np.load(path, mmap_mode="r" if mapped else None) for path in paths)
    return Inputs(features_nd=features, probs_nk=probs, labels_m=np.load(folder / "labels.npy"))


def _too_long(*_: Any) -> None:
    raise TimeoutError(f"took longer than {LIMIT_S} s")


def _line(row: Row) -> str:
    if "failed" in row:
        return f"{row['method']:<13} failed: {row['failed']}"
    return (
        f"{row['method']:<13} {row['seconds']:8.2f} s  {row['cpu_seconds']:8.2f} s of processor"
        f"  {row['peak_mb']:8.0f} MiB beyond the inputs"
    )
