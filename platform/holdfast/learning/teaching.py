"""Teaches a network an experience: gathers the material, runs the update, keeps what is needed.

Shape suffixes: n samples, c channels, h rows, w columns, k classes.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import numpy as np
import torch

from holdfast.errors import ConfigError, DivergedError
from holdfast.failpoints import reach
from holdfast.learning import replay, strategies
from holdfast.learning.assembly import build_parts
from holdfast.learning.batches import Batches, num_steps
from holdfast.learning.combinations import STRATEGIES, parts_of
from holdfast.learning.keeping import capacity_of, keep
from holdfast.learning.learner import LearnerState, Progress
from holdfast.learning.material import Material
from holdfast.learning.parts import Part, Update
from holdfast.learning.resume import Position, capture, fingerprint, restore
from holdfast.learning.schedule import rate
from holdfast.learning.settings import LearningConfig, settle
from holdfast.learning.two_stage import stage_of
from holdfast.model.network import Network, build_network, resolve_device, restore_network
from holdfast.model.spec import NetworkConfig
from holdfast.model.threads import threads_for
from holdfast.records import Experience
from holdfast.seeds import integer_seed
from holdfast.store.snapshots import Snapshots

# Steps between looks at whether the loss is still a number: each look waits for a GPU.
_LOOK_EVERY = 20
_MOMENTUM = 0.9


class ContinualLearner:
    """The strategies of `combinations.STRATEGIES`, run by Avalanche.

    Parameters
    ----------
    network_config : NetworkConfig
    learning_config : LearningConfig

    Notes
    -----
    Cost of an update: `steps` batches, or `passes` over the experience if that is more,
    however many samples came before; memory: the buffer and, where its images are an array,
    the experience, as bytes (`joint` keeps every image, and passes over all of them).
    """

    def __init__(self, network_config: NetworkConfig, learning_config: LearningConfig) -> None:
        self._network_config = network_config
        self._config = settle(learning_config, network_config)
        self._way, self._holds = parts_of(learning_config.strategy)
        self._trait = STRATEGIES[self._way]

    def learn(
        self,
        state: LearnerState | None,
        experience: Experience,
        rng: np.random.Generator,
        progress: Progress | None = None,
        snapshots: Snapshots | None = None,
    ) -> LearnerState:
        """Return the state after the experience; see `Learner.learn`."""
        with threads_for(max(experience.images_nchw.shape[2:])):
            return self._learn(state, experience, rng, progress, snapshots)

    def _learn(
        self,
        state: LearnerState | None,
        experience: Experience,
        rng: np.random.Generator,
        progress: Progress | None,
        snapshots: Snapshots | None,
    ) -> LearnerState:
        _check_order(state, experience)
        key = fingerprint(state, experience, rng, self._config, self._network_config)
        buffer = replay.empty_buffer(experience.images_nchw.shape[1:])  # type: ignore[arg-type]
        if state is not None:
            buffer = replay.read_buffer(state.tensors)
            _check_images(buffer, experience)
        merged = replay.merge(buffer, experience, rng)
        if not np.any(merged.weights_n > 0):
            raise ValueError(
                f"experience {experience.number} leaves no sample to learn from: "
                f"{len(experience)} came, {len(buffer)} were in the buffer"
            )
        update = self._update(state, merged, experience, rng)
        with closing(update.material):
            return self._teach(update, merged, state, experience, key, progress, snapshots)

    def _teach(
        self,
        update: Update,
        merged: replay.Buffer,
        state: LearnerState | None,
        experience: Experience,
        key: str,
        progress: Progress | None,
        snapshots: Snapshots | None,
    ) -> LearnerState:
        parts = build_parts(self._config, (self._way, *self._holds), state, update.device)
        for part in parts:
            part.begin(update)
        update.rehearses_from, update.steps = num_steps(self._config, update.material)
        batches = Batches(update, parts)
        update.optimizer = self._optimizer(update.network, parts)
        before = 0 if state is None else int(state.header["samples_seen"])
        # Layers that draw for themselves (dropout) use the global generator: lend it ours.
        lent = [update.device] if update.device.type == "cuda" else []
        with torch.random.fork_rng(devices=lent):
            torch.manual_seed(integer_seed(update.rng))
            run = _Run(self, update, parts, batches, experience.number, before)
            factor = run.to_the_end(key, progress, snapshots)
        learned = keep(update, parts, merged, state, experience, self._network_config)
        highest_rate = {"learning_rate": factor * self._config.optimizer.highest_rate}
        return LearnerState(tensors=learned.tensors, header=dict(learned.header) | highest_rate)

    def _update(
        self,
        state: LearnerState | None,
        merged: replay.Buffer,
        experience: Experience,
        rng: np.random.Generator,
    ) -> Update:
        config = self._config
        generator = torch.Generator().manual_seed(integer_seed(rng))
        device = resolve_device(self._network_config.device)
        network, num_old = self._network(state, merged, generator, integer_seed(rng))
        network = network.to(device)
        if self._network_config.channels_last:
            network = network.to(memory_format=torch.channels_last)
        capacity = capacity_of(config, merged, len(network.class_ids))
        material = Material(
            merged, experience.sample_ids_n, network.class_ids, device, experience.synthetic
        )
        if not self._trait.remembers:
            material.set_aside(np.flatnonzero(~material.new_n))
        elif self._way == "gdumb":
            kept = replay.staying(merged, capacity)
            material.set_aside(np.setdiff1d(np.arange(len(merged)), kept, assume_unique=True))
            material.hold(kept)
        elif (config.replay_share or config.rehearsal) and not config.stream:
            # The buffer takes in its share of what is new at once, so that it is drawn from
            # class by class all along, and never holds more than its capacity.
            material.memory_rows = replay.staying(merged, capacity)
            material.hold(material.memory_rows)
        return Update(
            config=config,
            network=network,
            num_old=num_old,
            material=material,
            device=device,
            rng=rng,
            generator=generator,
        )

    def _network(
        self,
        state: LearnerState | None,
        merged: replay.Buffer,
        generator: torch.Generator,
        seed: int,
    ) -> tuple[Network, int]:
        """Return the network to train and how many classes it has learned already."""
        labels = np.unique(merged.labels_n).tolist()
        known = [] if state is None else list(state.header["class_ids"])
        if state is not None and self._trait.continues:
            network = restore_network(state.tensors, state.header, self._network_config)
            network.scale_logits(self._config.imbalance.logit_scale)
            network.grow(labels, generator)
            return network, len(known)
        network = build_network(
            self._network_config,
            channels=merged.images_nchw.shape[1],
            image_size=merged.images_nchw.shape[2:],
            class_ids=known + [label for label in labels if label not in known],
            seed=seed,
        )
        network.scale_logits(self._config.imbalance.logit_scale)
        return network, 0

    def _optimizer(self, network: Network, parts: list[Part]) -> torch.optim.Optimizer:
        config = self._config.optimizer
        weights = [weight for weight in network.parameters() if weight.requires_grad]
        weights += [weight for part in parts for weight in part.parameters()]
        # Fused: a fifth of the time for a small network on a CPU, where a step is all overhead.
        if config.name == "adamw":
            return torch.optim.AdamW(
                weights, lr=config.highest_rate, weight_decay=config.weight_decay, fused=True
            )
        return torch.optim.SGD(
            weights,
            lr=config.highest_rate,
            weight_decay=config.weight_decay,
            momentum=_MOMENTUM,
            nesterov=True,
            fused=True,
        )


class _Run:
    """Takes the steps of one update, through crashes and losses that are no number."""

    def __init__(
        self,
        learner: ContinualLearner,
        update: Update,
        parts: list[Part],
        batches: Batches,
        experience_number: int,
        samples_before: int,
    ) -> None:
        self._network_config = learner._network_config
        self._update, self._parts, self._batches = update, parts, batches
        self._number, self._before = experience_number, samples_before
        self._factor = 1.0

    def to_the_end(self, key: str, progress: Progress | None, snapshots: Snapshots | None) -> float:
        """Take all steps that are left; return the factor on the learning rate at the end.

        Raises
        ------
        DivergedError
            If the loss is no number for the second time.
        """
        update = self._update
        self._good = capture(update, self._parts, self._batches, self._factor)
        found = snapshots.latest(key) if snapshots is not None else None
        if found is not None:
            self._go_to(Position(tensors=found[0], header=found[1]))
        after_step = self._watch(key, progress, snapshots)
        while True:
            try:
                strategies.run(
                    update,
                    self._parts,
                    self._batches,
                    network_config=self._network_config,
                    experience_number=self._number,
                    rate=self._rate,
                    after_step=after_step,
                )
            except FloatingPointError:
                failed = update.done
                if self._factor < 1:
                    lowered = self._factor * update.config.optimizer.highest_rate
                    raise DivergedError(failed, update.steps, lowered) from None
                self._go_to(self._good)
                self._factor = 0.5
            else:
                return self._factor

    def _go_to(self, position: Position) -> None:
        self._factor = restore(self._update, self._parts, self._batches, position)
        self._update.total_loss.zero_()
        self._good = position

    def _rate(self, step: int) -> float:
        config, border = self._update.config, self._update.rehearses_from
        seen = self._before + step * self._update.batch_size
        if step >= border:
            step, steps = step - border, self._update.steps - border
        else:
            step, steps = stage_of(config.imbalance, step, border)
        return self._factor * rate(config.optimizer, step, steps, seen)

    def _watch(
        self, key: str, progress: Progress | None, snapshots: Snapshots | None
    ) -> Callable[[], None]:
        update, config = self._update, self._update.config

        def after_step() -> None:
            ended = update.done == update.steps
            puts_down = update.done % config.checkpoint_every == 0 and not ended
            if ended or puts_down or update.done % _LOOK_EVERY == 0:
                _check_finite(update)
            if puts_down:
                self._good = capture(update, self._parts, self._batches, self._factor)
                if snapshots is not None:
                    position = self._good
                    snapshots.save(key, update.done, position.tensors, position.header)
            reach(f"learn:step-{update.done}")
            if progress is not None:
                progress(update.done * update.batch_size, update.steps * update.batch_size)

        return after_step


def _check_finite(update: Update) -> None:
    """Raise FloatingPointError where a loss, or a weight it has led to, is no number."""
    totals = [update.total_loss, *(weight.detach().sum() for weight in update.weights().values())]
    if not bool(torch.stack(totals).isfinite().all()):
        raise FloatingPointError


def _check_order(state: LearnerState | None, experience: Experience) -> None:
    last = 0 if state is None else int(state.header["experience"])
    if experience.number <= last:
        raise ValueError(
            f"experience {experience.number} came after experience {last} was learned; "
            "numbers only rise"
        )


def _check_images(buffer: replay.Buffer, experience: Experience) -> None:
    learned, came = buffer.images_nchw.shape[1:], experience.images_nchw.shape[1:]
    if learned != came:
        raise ConfigError(
            f"the images are {came} (channels, rows, columns) but the model learned from "
            f"{learned}; set data.image_size and data.channels back, or start a new project"
        )
