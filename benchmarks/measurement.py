"""One method on one panel, in a process of its own, so that its memory is its own.

Children are forked from a server that has imported everything already: each starts at once,
with the same libraries in memory, and what it adds is its own.
"""

from __future__ import annotations

import importlib
import multiprocessing
import resource
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.methods import start_method
from benchmarks.panels import Panel, Stream, build_stream
from benchmarks.sources import read_source
from holdfast.errors import ConfigError, HoldfastError
from holdfast.evaluation.continual import forgetting, recall_over_rounds
from holdfast.evaluation.metrics import measure

MEBI = 1 << 20
WARM_UP_SAMPLES = 256
PRELOADED = ("benchmarks.peers", "benchmarks.contender")
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What one row of the result takes.

    Attributes
    ----------
    data : str
        `digits`, or a folder.
    recipe : Path
        Holdfast's settings.
    threads : int
        CPU threads of every method, 1 or more.
    """

    data: str
    panel: Panel
    method: str
    seed: int
    recipe: Path
    threads: int


class MeasurementError(HoldfastError):
    """A child process gave no row."""


def apart(work: str, job: Any, *, preload: Sequence[str] = PRELOADED) -> Row:
    """Do a piece of work in a child process and return its row.

    Parameters
    ----------
    work : str
        A function of a job, `module:attribute`; only the child imports it.
    job : object
        What the function takes; it is pickled.
    preload : sequence of str
        Modules that children find imported. The first call of a process decides.

    Raises
    ------
    ConfigError
        If the work raised one.
    MeasurementError
        If the work failed otherwise, or the child died.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(preload))
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_child, args=(sender, work, job), daemon=True)
    child.start()
    sender.close()
    try:
        outcome, value = receiver.recv()
    except EOFError:
        child.join()
        raise MeasurementError(
            f"the process died with exit code {child.exitcode}; -9 means that memory ran out"
        ) from None
    finally:
        receiver.close()
        child.terminate()  # has nothing left to say, or is not wanted any more
        child.join()
    if outcome == "row":
        row: Row = value
        return row
    raise (ConfigError if outcome == "config" else MeasurementError)(value)


def _child(sender: Connection, work: str, job: Any) -> None:
    # An interrupt is the parent's to handle; it ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        module, _, attribute = work.partition(":")
        sender.send(("row", getattr(importlib.import_module(module), attribute)(job)))
    except ConfigError as error:
        sender.send(("config", str(error)))
    except Exception as error:
        sender.send(("failed", f"{type(error).__name__}: {error}"))


def play(job: Job) -> Row:
    """Let a method live through its panel and return its row.

    Returns
    -------
    dict
        `seconds`: learning alone, after a warm-up on a few samples; neither imports nor
        measuring. `cpu_seconds`: the same as processor time, which a busy machine does not
        stretch. `samples_per_s`: new samples that came, once for each pass of the panel,
        by these seconds. `peak_mb`: most memory the process held, libraries and the set
        included, in MiB; `start_mb` of it before the method began. `checkpoint_mb`: what
        must be kept to go on, in MiB. `rounds`: the same for each experience; `time_ratio`
        (of processor time) and `state_ratio`: the last against the first.
        Shares lie in [0, 1] and are of the clean test set.
    """
    import torch  # the parent has no use for it

    torch.set_num_threads(job.threads)
    stream = build_stream(job.panel, read_source(job.data, job.seed), job.seed)
    start_method(job.method, _start_of(stream), job.recipe).learn(1)
    started_mb = peak_mb()
    method = start_method(job.method, stream, job.recipe)
    metrics, rounds = [], []
    for number in range(1, len(stream.parts) + 1):
        started, worked = time.perf_counter(), time.process_time()
        method.learn(number)
        seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
        said = method.predict(stream.test_images_mchw)
        metrics.append(measure(*said, stream.test_labels_m))
        rounds.append(
            {
                "round": number,
                "seconds": seconds,
                "cpu_seconds": cpu_seconds,
                "checkpoint_mb": method.state_bytes() / MEBI,
                "accuracy": metrics[-1].accuracy,
            }
        )
    newest = metrics[-1]
    seconds = sum(entry["seconds"] for entry in rounds)
    rarest = [newest.recall[k] for k in stream.rarest_classes.tolist() if k in newest.recall]
    return {
        "panel": job.panel.name,
        "method": job.method,
        "seed": job.seed,
        "accuracy": newest.accuracy,
        "balanced_accuracy": newest.balanced_accuracy,
        "rarest3_recall": float(np.mean(rarest)) if rarest else None,
        "forgetting": forgetting(recall_over_rounds(metrics)[1]),
        "seconds": seconds,
        "samples_per_s": job.panel.epochs * sum(map(len, stream.parts)) / seconds,
        "peak_mb": peak_mb(),
        "checkpoint_mb": rounds[-1]["checkpoint_mb"],
        "start_mb": started_mb,
        "cpu_seconds": sum(entry["cpu_seconds"] for entry in rounds),
        "buffer": job.panel.buffer,
        "epochs": job.panel.epochs,
        "num_samples": sum(map(len, stream.parts)),
        "recall": {str(k): value for k, value in newest.recall.items()},
        "rounds": rounds,
        "time_ratio": rounds[-1]["cpu_seconds"] / rounds[0]["cpu_seconds"],
        "state_ratio": rounds[-1]["checkpoint_mb"] / rounds[0]["checkpoint_mb"],
    }


def peak_mb() -> float:
    """Return the most memory this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _start_of(stream: Stream) -> Stream:
    """Return a few samples of the first experience, to warm up with."""
    return replace(
        stream,
        panel=replace(stream.panel, epochs=1),
        parts=(stream.parts[0][:WARM_UP_SAMPLES],),
    )
