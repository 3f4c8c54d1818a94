"""The method under test: Holdfast's learner, by one recipe for all panels.

A panel decides the network, the passes over new samples, the samples per step and the size
of the buffer, as for every peer; all else is the recipe's.

Shape suffixes: n samples, k classes, c channels, h rows, w columns.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from benchmarks.panels import Panel, Stream
from holdfast.config import Config, load
from holdfast.learning.combinations import STRATEGIES, parts_of
from holdfast.learning.learner import LearnerState
from holdfast.learning.settings import LearningConfig
from holdfast.learning.teaching import ContinualLearner
from holdfast.model.ensemble import restore_model
from holdfast.model.inference import predict
from holdfast.model.pixels import average_pixels, principal_components
from holdfast.model.spec import MLP, NetworkConfig
from holdfast.quality.trust import trust
from holdfast.records import Experience, Floats, Ids, Images
from holdfast.seeds import generator

# Online, a step is taken for every third batch that comes: each sample is still seen once, in
# order and without those after it, and a third of the steps takes less than half the time.
BATCHES_PER_STEP = 3


class HoldfastMethod:
    """Audits the labels of each experience, then learns it as the recipe says.

    The audit sees the experience's own images and given labels, nothing else. Online there
    is none: a batch of ten has no neighbors, and its samples wait for no others.
    """

    def __init__(self, stream: Stream, recipe: Path, strategy: str = "") -> None:
        self._stream = stream
        self._network_config = NetworkConfig(name=MLP, device="cpu")
        self._learner = ContinualLearner(
            self._network_config, learning_for(load(recipe), stream.panel, strategy)
        )
        self._state: LearnerState | None = None

    def learn(self, number: int) -> None:
        """Audit and learn one experience; both are timed."""
        rows = self._stream.parts[number - 1]
        images_nchw, labels_n = self._stream.images_nchw[rows], self._stream.labels_n[rows]
        weights_n = np.ones(len(rows), np.float32)
        if not self._stream.panel.online:
            weights_n = trust(principal_components(average_pixels(images_nchw)), labels_n)
        self._state = self._learner.learn(
            self._state,
            experience_of(number, rows, images_nchw, labels_n, weights_n),
            generator(self._stream.seed, "continual", "holdfast", number),
        )

    def predict(self, images_nchw: Images) -> tuple[Floats, Ids]:
        """Return what the network says."""
        state = self._learned()
        network = restore_model(state.tensors, state.header, self._network_config)
        said = predict(network, images_nchw, config=self._network_config)
        return said.pred_probs_nk, said.class_ids_k

    def state_bytes(self) -> int:
        """Return the bytes of all tensors of the learner's state."""
        return sum(tensor.nbytes for tensor in self._learned().tensors.values())

    def _learned(self) -> LearnerState:
        if self._state is None:
            raise RuntimeError("the method has learned nothing yet")
        return self._state


def experience_of(
    number: int, rows: Ids, images_nchw: Images, labels_n: Ids, weights_n: Floats
) -> Experience:
    """Return samples as an experience in which nothing is withdrawn."""
    return Experience(
        number=number,
        sample_ids_n=rows,
        images_nchw=images_nchw,
        labels_n=labels_n,
        weights_n=weights_n,
        withdrawn_ids=np.zeros(0, np.int64),
    )


def learning_for(recipe: Config, panel: Panel, strategy: str = "") -> LearningConfig:
    """Return the recipe's way of learning, or a strategy's, held to the panel's protocol."""
    strategy = strategy or recipe.learning.strategy
    trait = STRATEGIES[parts_of(strategy)[0]]
    mixes = trait.remembers and trait.continues
    batches = BATCHES_PER_STEP if panel.online else 1
    batch = batches * (panel.new_batch + panel.memory_batch)
    return dataclasses.replace(
        recipe.learning,
        strategy=strategy,
        steps=1,
        passes=panel.epochs,
        batch_size=batch,
        replay_share=panel.memory_batch / (panel.new_batch + panel.memory_batch) * mixes,
        rehearsal=recipe.learning.rehearsal * mixes,
        stream=panel.online and mixes,
        buffer=dataclasses.replace(recipe.learning.buffer, capacity=panel.buffer),
    )
