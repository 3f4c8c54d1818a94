"""Builds the Avalanche strategy that teaches a network an experience.

Avalanche is imported here and nowhere else in the package: it takes 15 s, warns, and
replaces `torch.utils.data.Dataset.__add__`.

Shape suffixes: n samples, c channels, h rows, w columns, k classes.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from holdfast.errors import ConfigError
from holdfast.learning import consolidation, replay
from holdfast.learning.batches import Batches
from holdfast.learning.consolidation import Pull, accumulate, importance
from holdfast.learning.learner import LearnerState, LearningConfig
from holdfast.learning.losses import BalancedSoftmax, cross_entropy
from holdfast.model.network import (
    Network,
    build_network,
    describe,
    resolve_device,
    restore_network,
    weights_of,
)
from holdfast.model.spec import NetworkConfig
from holdfast.model.threads import threads_for
from holdfast.records import Experience
from holdfast.seeds import integer_seed

with warnings.catch_warnings():
    # Its dependencies use what their own dependencies have deprecated.
    warnings.simplefilter("ignore")
    from avalanche.benchmarks.scenarios import DatasetExperience  # type: ignore[import-untyped]  # ships no types
    from avalanche.benchmarks.utils import AvalancheDataset  # type: ignore[import-untyped]  # ships no types
    from avalanche.core import SupervisedPlugin  # type: ignore[import-untyped]  # ships no types
    from avalanche.training.plugins import EvaluationPlugin  # type: ignore[import-untyped]  # ships no types
    from avalanche.training.templates import SupervisedTemplate  # type: ignore[import-untyped]  # ships no types

Progress = Callable[[int, int], None]

WARM_UP = 0.1  # share of the steps in which the learning rate rises
LAST_RATE = 0.01  # of the highest rate, at the last step


class AvalancheLearner:
    """Elastic weight consolidation and class-balanced replay, run by Avalanche.

    Parameters
    ----------
    network_config : NetworkConfig
    learning_config : LearningConfig

    Notes
    -----
    Cost of an update: `steps` batches, however many samples came before; memory: the
    experience and the buffer, as bytes.
    """

    def __init__(self, network_config: NetworkConfig, learning_config: LearningConfig) -> None:
        self._network_config = network_config
        self._config = learning_config

    def learn(
        self,
        state: LearnerState | None,
        experience: Experience,
        rng: np.random.Generator,
        progress: Progress | None = None,
    ) -> LearnerState:
        """Return the state after the experience; see `Learner.learn`."""
        with threads_for(max(experience.images_nchw.shape[2:])):
            return self._learn(state, experience, rng, progress)

    def _learn(
        self,
        state: LearnerState | None,
        experience: Experience,
        rng: np.random.Generator,
        progress: Progress | None,
    ) -> LearnerState:
        _check_order(state, experience)
        buffer = replay.empty_buffer(experience.images_nchw.shape[1:])  # type: ignore[arg-type]
        if state is not None:
            buffer = replay.read_buffer(state.tensors)
            _check_images(state, experience)
        merged = replay.merge(buffer, experience, rng)
        if not np.any(merged.weights_n > 0):
            raise ValueError(
                f"experience {experience.number} leaves no sample to learn from: "
                f"{len(experience)} came, {len(buffer)} were in the buffer"
            )
        generator = torch.Generator().manual_seed(integer_seed(rng))
        device = resolve_device(self._network_config.device)
        network = self._network(state, merged, generator, integer_seed(rng)).to(device)
        past = _importances(state, device)
        pull = None
        if self._config.ewc_strength and past:
            anchor = {key: value.detach().clone() for key, value in network.named_parameters()}
            pull = Pull(_rows_like(anchor, past), past, self._config.ewc_strength)

        batches = Batches(merged, network, self._config, rng, generator, device)
        # Layers that draw for themselves (dropout) use the global generator: lend it ours.
        lent = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=lent):
            torch.manual_seed(integer_seed(rng))
            _train(network, experience, batches, pull, self._config, self._network_config, progress)
        latest: dict[str, Tensor] = {}
        if self._config.ewc_strength:
            drawn = batches.sampler.draw(self._config.fisher_samples, rng)
            latest = importance(network, batches.images_nchw[torch.from_numpy(drawn)], generator)
            latest = accumulate(past, latest)
        kept = replay.shrink(merged, self._config.buffer_capacity)
        return self._state(state, experience, network, latest, kept)

    def _network(
        self,
        state: LearnerState | None,
        merged: replay.Buffer,
        generator: torch.Generator,
        seed: int,
    ) -> Network:
        class_ids = np.unique(merged.labels_n).tolist()
        if state is None:
            channels, height, width = merged.images_nchw.shape[1:]
            return build_network(
                self._network_config,
                channels=channels,
                image_size=max(height, width),
                class_ids=class_ids,
                seed=seed,
            )
        network = restore_network(state.tensors, state.header, self._network_config)
        network.grow(class_ids, generator)
        return network

    def _state(
        self,
        state: LearnerState | None,
        experience: Experience,
        network: Network,
        importances: dict[str, Tensor],
        kept: replay.Buffer,
    ) -> LearnerState:
        before = {"updates": 0, "steps": 0, "samples_seen": 0} if state is None else state.header
        steps, batch_size = self._config.steps, self._config.batch_size
        classes_k, counts_k = np.unique(kept.labels_n, return_counts=True)
        tensors = weights_of(network) | kept.tensors()
        for key, value in importances.items():
            tensors[consolidation.PREFIX + key] = value.cpu().numpy()
        return LearnerState(
            tensors=tensors,
            header={
                "strategy": self._config.strategy,
                "class_ids": list(network.class_ids),
                "experience": experience.number,
                "updates": before["updates"] + 1,
                "steps": before["steps"] + steps,
                "samples_seen": before["samples_seen"] + steps * batch_size,
                "network": describe(self._network_config),
                "channels": int(kept.images_nchw.shape[1]),
                "image_size": int(max(kept.images_nchw.shape[2:])),
                "buffer": {
                    str(k): int(count) for k, count in zip(classes_k, counts_k, strict=True)
                },
            },
        )


class _Strategy(SupervisedTemplate):  # type: ignore[misc]  # avalanche is untyped
    """Avalanche's training loop over our batches instead of a data loader."""

    def __init__(self, batches: Batches, precision: str, **options: Any) -> None:
        super().__init__(**options)
        self._batches = batches
        self._reduced = precision == "bfloat16"

    def make_train_dataloader(self, **_: Any) -> None:
        """Take batches from the experience and the buffer together."""
        self.dataloader = self._batches

    def forward(self) -> Tensor:
        """Return logits in full precision, however they were computed."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._reduced):
            logits: Tensor = self.model(self.mb_x)
        return logits.float()


class _Consolidation(SupervisedPlugin):  # type: ignore[misc]  # avalanche is untyped
    """Adds the pull towards the champion's weights to the loss."""

    def __init__(self, pull: Pull) -> None:
        super().__init__()
        self._pull = pull

    def before_backward(self, strategy: Any, *_: Any, **__: Any) -> None:
        strategy.loss = strategy.loss + self._pull(strategy.model)


class _Schedule(SupervisedPlugin):  # type: ignore[misc]  # avalanche is untyped
    """Warms the learning rate up, then lets it fall along a cosine; tells the progress."""

    def __init__(self, highest: float, steps: int, progress: Progress | None) -> None:
        super().__init__()
        self._highest, self._steps, self._progress = highest, steps, progress

    def before_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        done = strategy.clock.train_exp_iterations
        rise = min(1.0, (done + 1) / (WARM_UP * self._steps))
        fall = LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * done / self._steps)) / 2
        for group in strategy.optimizer.param_groups:
            group["lr"] = self._highest * rise * fall

    def after_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        if self._progress is not None:
            self._progress(strategy.clock.train_exp_iterations + 1, self._steps)


class _Averaging(SupervisedPlugin):  # type: ignore[misc]  # avalanche is untyped
    """Keeps a moving average of the weights and leaves it in the network at the end.

    References
    ----------
    .. [1] Polyak and Juditsky, "Acceleration of stochastic approximation by averaging",
       1992.
    """

    def __init__(self, decay: float) -> None:
        super().__init__()
        self._decay = decay
        self._average: dict[str, Tensor] = {}

    def before_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        own = strategy.model.state_dict()
        self._average = {key: value.clone() for key, value in own.items()}

    @torch.no_grad()
    def after_update(self, strategy: Any, *_: Any, **__: Any) -> None:
        done = strategy.clock.train_exp_iterations
        # Short memory at first, or the starting weights would linger in the average.
        decay = min(self._decay, (done + 1) / (done + 10))
        pairs = [(self._average[key], now) for key, now in strategy.model.state_dict().items()]
        floats = [(old, now) for old, now in pairs if old.is_floating_point()]
        torch._foreach_lerp_([old for old, _ in floats], [now for _, now in floats], 1 - decay)
        for old, now in pairs:
            if not old.is_floating_point():
                old.copy_(now)

    def after_training_exp(self, strategy: Any, *_: Any, **__: Any) -> None:
        strategy.model.load_state_dict(self._average)


def _train(
    network: Network,
    experience: Experience,
    batches: Batches,
    pull: Pull | None,
    config: LearningConfig,
    network_config: NetworkConfig,
    progress: Progress | None,
) -> None:
    plugins: list[SupervisedPlugin] = [_Schedule(config.learning_rate, config.steps, progress)]
    if pull is not None:
        plugins.append(_Consolidation(pull))
    if config.averaging:
        plugins.append(_Averaging(config.averaging))
    criterion = cross_entropy
    if config.loss == "balanced_softmax":
        criterion = BalancedSoftmax(batches.shares_k)
    with warnings.catch_warnings():
        # It warns that nothing is logged: the ledger is our log.
        warnings.filterwarnings("ignore", module="avalanche")
        strategy = _Strategy(
            batches,
            network_config.precision,
            model=network,
            optimizer=torch.optim.AdamW(
                network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
            ),
            criterion=criterion,
            train_mb_size=config.batch_size,
            train_epochs=1,
            device=resolve_device(network_config.device),
            plugins=plugins,
            evaluator=EvaluationPlugin(),
        )
        # A new strategy counts from 0, and plugins that look at the count would take
        # every update for the first.
        strategy.clock.train_exp_counter = experience.number - 1
        data = TensorDataset(
            torch.from_numpy(np.require(experience.images_nchw, requirements="W")),
            torch.tensor(experience.labels_n),
        )
        strategy.train(
            DatasetExperience(
                dataset=AvalancheDataset([data]), current_experience=experience.number - 1
            ),
            eval_streams=[],
        )


def _check_order(state: LearnerState | None, experience: Experience) -> None:
    last = 0 if state is None else int(state.header["experience"])
    if experience.number <= last:
        raise ValueError(
            f"experience {experience.number} came after experience {last} was learned; "
            "numbers only rise"
        )


def _check_images(state: LearnerState, experience: Experience) -> None:
    learned = state.tensors[replay.PREFIX + "images_nchw"].shape[1:]
    came = experience.images_nchw.shape[1:]
    if learned != came:
        raise ConfigError(
            f"the images are {came} (channels, rows, columns) but the model learned from "
            f"{learned}; set data.image_size and data.channels back, or start a new project"
        )


def _importances(state: LearnerState | None, device: torch.device) -> dict[str, Tensor]:
    if state is None:
        return {}
    length = len(consolidation.PREFIX)
    return {
        key[length:]: torch.from_numpy(value).to(device)
        for key, value in state.tensors.items()
        if key.startswith(consolidation.PREFIX)
    }


def _rows_like(anchor: dict[str, Tensor], past: dict[str, Tensor]) -> dict[str, Tensor]:
    """Cut the anchor to the rows that were there when importance was measured."""
    return {key: anchor[key][: len(value)] for key, value in past.items()}
