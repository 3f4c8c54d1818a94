"""How many samples a second go through the network: Holdfast, stock Avalanche, a plain loop.

The same network and the same work for all: 64 new samples and 64 exemplars a step,
cross-entropy, SGD with Nesterov momentum, replay on. Holdfast's number is of a whole update,
so what it does before and after the steps counts against it.

Shape suffixes: n samples, c channels, h rows, w columns.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.contender import experience_of
from benchmarks.measurement import Job
from benchmarks.panels import build_stream
from benchmarks.peers import ReplayMethod
from benchmarks.plain import LEARNING_RATE, step
from benchmarks.sources import read_source
from holdfast.data.augment_settings import AugmentationConfig
from holdfast.learning.learner import LearnerState
from holdfast.learning.settings import (
    BufferConfig,
    ImbalanceConfig,
    LearningConfig,
    NoiseConfig,
    OptimizerConfig,
)
from holdfast.learning.teaching import ContinualLearner
from holdfast.model.network import build_network
from holdfast.model.spec import MLP, NetworkConfig
from holdfast.records import Ids, Images
from holdfast.seeds import generator

REPEATS = 5
PASSES = 5
NEW, MEMORY = 64, 64
CAPACITY = 500
HAND_LOOP = "plain-loop"


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """Two experiences; the second is timed, with exemplars of the first.

    Attributes
    ----------
    images_nchw : ndarray of uint8, shape (N, C, H, W)
    labels_n : ndarray of int64, shape (N,)
    parts : tuple of two ndarrays of int64
        Rows of each experience.
    """

    name: str
    network: NetworkConfig
    images_nchw: Images
    labels_n: Ids
    parts: tuple[Ids, Ids]
    passes: int


def measure_cpu(job: Job) -> dict[str, Any]:
    """Return the panel's network on the panel's images, one entry per way of training."""
    torch.set_num_threads(job.threads)
    stream = build_stream(
        dataclasses.replace(job.panel, buffer=CAPACITY, epochs=PASSES),
        read_source(job.data, job.seed),
        job.seed,
    )
    workload = Workload(
        name=MLP,
        network=NetworkConfig(name=MLP, device="cpu"),
        images_nchw=stream.images_nchw,
        labels_n=stream.labels_n,
        parts=(stream.parts[0], stream.parts[1]),
        passes=PASSES,
    )
    stock = _StockWithMomentum(stream, job.recipe)
    stock.learn(1)
    ways = {
        "holdfast": _holdfast(workload),
        "avalanche-replay": lambda: stock.learn(2),
        HAND_LOOP: _plain_loop(workload),
    }
    # One thread's processor time is what a quiet machine would take.
    clock = time.process_time if job.threads == 1 else time.perf_counter
    return {"entries": _time(workload, ways, clock)}


class _StockWithMomentum(ReplayMethod):
    """Stock replay with the optimizer of the other loops."""

    def optimizer(self) -> torch.optim.Optimizer:
        """Return SGD as Holdfast's recipes know it."""
        return _momentum(self.model)


def _momentum(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=0.9, nesterov=True)


def measure_gpu(job: Job) -> dict[str, Any]:
    """Return two residual networks in bfloat16 on the GPU, on images of noise; none without one."""
    entries: list[dict[str, Any]] = []
    if not torch.cuda.is_available():
        return {"entries": entries}
    for name, size, num in (("resnet18", 32, 25_600), ("resnet50", 224, 5_120)):
        entries += measure_network(name, size, num, device="cuda", seed=job.seed)
    return {"entries": entries}


def measure_network(
    name: str, image_size: int, num: int, *, device: str, seed: int
) -> list[dict[str, Any]]:
    """Return one timm network on `num` images of noise, ours beside the plain loop."""
    rng = generator(seed, "continual", "throughput")
    workload = Workload(
        name=f"{name} at {image_size}",
        network=NetworkConfig(name=name, device=device, precision="bfloat16", channels_last=True),
        images_nchw=rng.integers(0, 256, (num, 3, image_size, image_size), np.uint8),
        labels_n=np.arange(num) % 10,
        parts=(np.arange(CAPACITY), np.arange(CAPACITY, num)),
        passes=1,
    )
    ways = {"holdfast": _holdfast(workload), HAND_LOOP: _plain_loop(workload)}
    return _time(workload, ways, time.perf_counter)


def _time(
    workload: Workload, ways: dict[str, Callable[[], Any]], clock: Callable[[], float]
) -> list[dict[str, Any]]:
    """Time the ways in turn, several times; the fastest of each counts: others were disturbed."""
    steps = -(-len(workload.parts[1]) // NEW) * workload.passes
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(REPEATS):
        for name, learn in ways.items():
            started = clock()
            learn()
            best[name] = min(best[name], clock() - started)
    plain = best[HAND_LOOP]
    return [
        {
            "network": workload.name,
            "method": name,
            "samples_per_s": steps * (NEW + MEMORY) / seconds,
            "share_of_plain_loop": plain / seconds,
            "steps": steps,
        }
        for name, seconds in best.items()
    ]


def _holdfast(workload: Workload) -> Callable[[], LearnerState]:
    config = LearningConfig(
        strategy="replay",
        steps=1,
        passes=workload.passes,
        batch_size=NEW + MEMORY,
        replay_share=MEMORY / (NEW + MEMORY),
        augmentation=AugmentationConfig(policy="none"),
        optimizer=OptimizerConfig(
            name="sgd",
            learning_rate=LEARNING_RATE,
            weight_decay=0.0,
            schedule="constant",
            averaging=0.0,
        ),
        buffer=BufferConfig(capacity=CAPACITY),
        imbalance=ImbalanceConfig(class_balance=0.0),
        noise=NoiseConfig(label_smoothing=0.0),
    )
    learner = ContinualLearner(workload.network, config)

    def learn(state: LearnerState | None, number: int) -> LearnerState:
        rows = workload.parts[number - 1]
        experience = experience_of(
            number,
            rows,
            workload.images_nchw[rows],
            workload.labels_n[rows],
            np.ones(len(rows), np.float32),
        )
        return learner.learn(state, experience, generator(0, "continual", "throughput", number))

    first = learn(None, 1)
    return lambda: learn(first, 2)


def _plain_loop(workload: Workload) -> Callable[[], None]:
    """Return a loop as one would write it by hand: bytes in memory, gathered by index."""
    device = torch.device(workload.network.device)
    layout = torch.channels_last if workload.network.channels_last else torch.contiguous_format
    reduced = workload.network.precision == "bfloat16"
    first, second = workload.parts
    draws = torch.Generator().manual_seed(0)

    def train() -> None:
        network = build_network(
            workload.network,
            channels=workload.images_nchw.shape[1],
            image_size=workload.images_nchw.shape[2:],
            class_ids=range(int(workload.labels_n.max()) + 1),
            seed=0,
        ).to(device)
        network = network.to(memory_format=layout)
        optimizer = _momentum(network)
        images = torch.from_numpy(workload.images_nchw[second]).to(device)
        labels = torch.from_numpy(workload.labels_n[second]).to(device)
        kept = torch.from_numpy(workload.images_nchw[first[:CAPACITY]]).to(device)
        kept_labels = torch.from_numpy(workload.labels_n[first[:CAPACITY]]).to(device)
        for _ in range(workload.passes):
            for new in torch.randperm(len(labels), generator=draws).split(NEW):
                old = torch.randint(len(kept), (MEMORY,), generator=draws)
                batch = torch.cat([images[new.to(device)], kept[old.to(device)]])
                targets = torch.cat([labels[new.to(device)], kept_labels[old.to(device)]])
                pixels = (batch.float() / 255).contiguous(memory_format=layout)
                with torch.autocast(device.type, torch.bfloat16, enabled=reduced):
                    step(network, optimizer, pixels, targets)
        if device.type == "cuda":
            torch.cuda.synchronize()

    train()  # once, to warm up
    return train
