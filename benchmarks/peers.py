"""Stock Avalanche strategies, built as its documentation builds them.

Every one gets the same network, SGD at 0.05 and the panel's batches, and its samples as
bytes that the network scales, the cheapest form there is for its loaders and its memory.

Shape suffixes: n samples, k classes, c channels, h rows, w columns.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.panels import Stream
from benchmarks.plain import LEARNING_RATE, build_mlp, probabilities, tensor_bytes
from benchmarks.stock_data import quiet, stock_dataset
from holdfast.records import Floats, Ids, Images
from holdfast.seeds import generator, integer_seed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline
    from avalanche.benchmarks.scenarios.online import split_online_stream
    from avalanche.training.plugins import EvaluationPlugin, EWCPlugin, GDumbPlugin, ReplayPlugin
    from avalanche.training.storage_policy import ClassBalancedBuffer, ReservoirSamplingBuffer
    from avalanche.training.supervised import DER, ER_ACE, Naive

EWC_LAMBDA = 0.4  # as in Avalanche's own examples


class StockMethod:
    """A strategy of Avalanche on the experiences of a stream."""

    def __init__(self, stream: Stream, _recipe: Path) -> None:
        self.stream = stream
        self.panel = stream.panel
        self._seed = integer_seed(generator(stream.seed, "continual", "stock"))
        torch.manual_seed(self._seed)
        self.model = build_mlp(stream)
        self._seen_classes: set[int] = set()
        with quiet():
            # Subsets of one set, as its own benchmarks are: it is several times slower where
            # exemplars come from several sets.
            whole = stock_dataset(
                torch.from_numpy(stream.images_nchw), torch.from_numpy(stream.labels_n)
            )
            datasets = [whole.subset(rows.tolist()) for rows in map(self.choose, stream.parts)]
            benchmark = with_classes_timeline(benchmark_from_datasets(train=datasets))
            self._experiences = list(benchmark.train_stream)
            self.strategy = self.build(
                model=self.model,
                optimizer=self.optimizer(),
                criterion=nn.CrossEntropyLoss(),
                train_mb_size=self.panel.new_batch,
                train_epochs=self.epochs(),
                device="cpu",
                evaluator=EvaluationPlugin(),
            )

    def build(self, **options: Any) -> Any:
        """Return the strategy."""
        raise NotImplementedError

    def optimizer(self) -> torch.optim.Optimizer:
        """Return what moves the weights."""
        return torch.optim.SGD(self.model.parameters(), lr=LEARNING_RATE)

    def epochs(self) -> int:
        """Return the passes over what an update trains on."""
        return self.panel.epochs

    def choose(self, rows: Ids) -> Ids:
        """Return which rows of an experience are learned."""
        return rows

    def exemplars(self) -> Any:
        """Return Avalanche's dataset of exemplars, or None."""
        for plugin in self.strategy.plugins:
            if isinstance(plugin, ReplayPlugin | GDumbPlugin):
                return plugin.storage_policy.buffer
        policy = getattr(self.strategy, "storage_policy", None)
        return None if policy is None else policy.buffer

    def learn(self, number: int) -> None:
        """Train on one experience, or on its batches of an online stream."""
        experience = self._experiences[number - 1]
        self._seen_classes.update(int(k) for k in experience.classes_in_this_experience)
        with quiet():
            if self.panel.online and self.learns_online:
                batches = split_online_stream(
                    [experience], experience_size=self.panel.new_batch, shuffle=False
                )
                for batch in batches:
                    self.strategy.train(batch, eval_streams=[])
            else:
                self.strategy.train(experience, eval_streams=[])

    learns_online = True

    def predict(self, images_nchw: Images) -> tuple[Floats, Ids]:
        """Return probabilities of the classes met so far."""
        classes = np.array(sorted(self._seen_classes), np.int64)
        return probabilities(self.strategy.model, images_nchw)[:, classes], classes

    def state_bytes(self) -> int:
        """Return the bytes of weights, exemplars with what is stored beside them, and importances.

        Avalanche's own `save_checkpoint` fails on current torch and would write out every
        past dataset; this counts only what a careful user would have to keep.
        """
        total = tensor_bytes(self.strategy.model.state_dict().values())
        exemplars = self.exemplars()
        if exemplars is not None:
            for row in exemplars:
                total += sum(_bytes(value) for value in row)
        return total


class ReplayMethod(StockMethod):
    """Plain replay of as many exemplars of each class.

    The plugin's default shares its memory between experiences: the same where classes are
    equally frequent, worse where they are not, nothing where every batch is an experience.
    """

    def build(self, **options: Any) -> Any:
        """Return the strategy."""
        policy = ClassBalancedBuffer(self.panel.buffer)
        return Naive(plugins=[replay_plugin(self.panel, policy)], **options)


class ReservoirMethod(StockMethod):
    """Replay from a reservoir of all samples, as in Avalanche's online example."""

    def build(self, **options: Any) -> Any:
        """Return the strategy."""
        policy = ReservoirSamplingBuffer(self.panel.buffer)
        return Naive(plugins=[replay_plugin(self.panel, policy)], **options)


def replay_plugin(panel: Any, policy: Any) -> Any:
    """Return the replay plugin."""
    return ReplayPlugin(
        mem_size=panel.buffer, batch_size_mem=panel.memory_batch, storage_policy=policy
    )


class OracleDropMethod(ReplayMethod):
    """Plain replay on the samples whose label is right: the ceiling of dropping."""

    def choose(self, rows: Ids) -> Ids:
        """Return the rows whose given label is the true one."""
        return rows[self.stream.labels_n[rows] == self.stream.true_labels_n[rows]]


class ErAceMethod(StockMethod):
    """ER-ACE."""

    def build(self, **options: Any) -> Any:
        """Return the strategy."""
        return ER_ACE(mem_size=self.panel.buffer, batch_size_mem=self.panel.memory_batch, **options)


class DerMethod(StockMethod):
    """DER++, with Avalanche's default weights of its two terms."""

    def build(self, **options: Any) -> Any:
        """Return the strategy."""
        return DER(mem_size=self.panel.buffer, batch_size_mem=self.panel.memory_batch, **options)


class GDumbMethod(StockMethod):
    """GDumb: a fresh network on the exemplars alone, each time, for as many steps as the others."""

    learns_online = False

    def epochs(self) -> int:
        """Return the passes over the buffer that take the steps of the panel's passes."""
        largest = max(map(len, self.stream.parts))
        return self.panel.epochs * max(1, round(largest / self.panel.buffer))

    def build(self, **options: Any) -> Any:
        """Return the strategy."""
        return Naive(plugins=[GDumbPlugin(mem_size=self.panel.buffer)], **options)


class SeparateEwcMethod(StockMethod):
    """Elastic weight consolidation in Avalanche's default mode, a penalty per experience."""

    def build(self, **options: Any) -> Any:
        """Return the strategy."""
        self._plugin = EWCPlugin(ewc_lambda=EWC_LAMBDA, mode="separate")
        return Naive(plugins=[self._plugin], **options)

    def state_bytes(self) -> int:
        """Return the bytes of weights, and of past weights and importances."""
        kept = [
            entry.data
            for table in (self._plugin.saved_params, self._plugin.importances)
            for entries in table.values()
            for entry in entries.values()
        ]
        return super().state_bytes() + tensor_bytes(kept)


def _bytes(value: Any) -> int:
    return value.element_size() * value.numel() if isinstance(value, Tensor) else 8
