"""Runs an update as an Avalanche strategy, our parts as its plugin.

Avalanche is imported here and nowhere else in the package: it takes 15 s, warns, and
replaces `torch.utils.data.Dataset.__add__`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from holdfast.learning.batches import Batches
from holdfast.learning.parts import Part, Update
from holdfast.model.spec import NetworkConfig

with warnings.catch_warnings():
    # Its dependencies use what their own dependencies have deprecated.
    warnings.simplefilter("ignore")
    from avalanche.benchmarks.scenarios import DatasetExperience  # type: ignore[import-untyped]  # ships no types
    from avalanche.benchmarks.utils import AvalancheDataset  # type: ignore[import-untyped]  # ships no types
    from avalanche.core import SupervisedPlugin  # type: ignore[import-untyped]  # ships no types
    from avalanche.training.plugins import EvaluationPlugin  # type: ignore[import-untyped]  # ships no types
    from avalanche.training.templates import SupervisedTemplate  # type: ignore[import-untyped]  # ships no types


def run(
    update: Update,
    parts: Sequence[Part],
    batches: Batches,
    *,
    network_config: NetworkConfig,
    experience_number: int,
    rate: Callable[[int], float],
    after_step: Callable[[], None],
) -> None:
    """Take the steps that an update has left.

    Parameters
    ----------
    parts : sequence of Part
        Have begun already; finishing them is the caller's.
    rate : callable
        Step to learning rate.
    after_step : callable
        Called once a step is counted in `update.done`. What it raises ends the run.
    """
    with warnings.catch_warnings():
        # It warns that nothing is logged: the ledger is our log.
        warnings.filterwarnings("ignore", module="avalanche")
        strategy = _Strategy(
            update,
            parts,
            batches,
            network_config,
            model=update.network,
            optimizer=update.optimizer,
            train_mb_size=update.config.batch_size,
            train_epochs=1,
            device=update.device,
            plugins=[_Parts(update, parts, rate, after_step)],
            evaluator=EvaluationPlugin(),
        )
        # Without metrics it only costs time: 16 calls a step.
        strategy.plugins.remove(strategy.evaluator)
        # A new strategy counts from 0, and plugins that look at the count would take
        # every update for the first.
        strategy.clock.train_exp_counter = experience_number - 1
        # What Avalanche takes for the experience is never read: batches come from `batches`.
        data = AvalancheDataset([TensorDataset(torch.zeros(1), torch.zeros(1))])
        strategy.train(
            DatasetExperience(dataset=data, current_experience=experience_number - 1),
            eval_streams=[],
        )


class _Strategy(SupervisedTemplate):  # type: ignore[misc]  # avalanche is untyped
    """Avalanche's training loop over our batches instead of a data loader."""

    def __init__(
        self,
        update: Update,
        parts: Sequence[Part],
        batches: Batches,
        network_config: NetworkConfig,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._update, self._parts, self._batches = update, parts, batches
        self._reduced = network_config.precision == "bfloat16"
        self._layout = torch.channels_last if network_config.channels_last else None
        self._answer: Callable[[Tensor], tuple[Tensor, Tensor]] = update.network.answer
        if network_config.compile:
            self._answer = torch.compile(update.network.answer)

    def make_train_dataloader(self, **_: Any) -> None:
        """Take batches from the experience and the buffer."""
        self.dataloader = self._batches

    def make_optimizer(self, **_: Any) -> None:
        """Keep the optimizer as it is: Avalanche would add weights that are frozen on purpose."""

    def forward(self) -> Tensor:
        """Return logits in full precision, however they were computed."""
        update = self._update
        images = self.mb_x
        if self._layout is not None:
            images = images.contiguous(memory_format=self._layout)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._reduced):
            logits, embeddings = self._answer(images)
        update.embeddings_bd, update.logits_bk = embeddings.float(), logits.float()
        return update.logits_bk

    def criterion(self) -> Tensor:
        """Return the mean loss of the batch, each sample weighed, and every penalty."""
        update, batch = self._update, self._update.batch
        targets, logits, weights = batch.targets_bk, update.logits_bk, batch.trust_b
        for part in self._parts:
            targets, logits = part.retarget(update, targets), part.mask(update, logits)
        losses = update.loss(logits, targets, update.share_done)
        for part in self._parts:
            factor = part.weigh(update, losses)
            if factor is not None:
                weights = weights * factor
        update.losses_b = losses.detach()
        total = (weights * losses).sum() / weights.sum().clamp(min=1e-8)
        for part in self._parts:
            penalty = part.penalty(update)
            if penalty is not None:
                total = total + penalty
        return total


class _Parts(SupervisedPlugin):  # type: ignore[misc]  # avalanche is untyped
    """Lets our parts take their hand in each step."""

    def __init__(
        self,
        update: Update,
        parts: Sequence[Part],
        rate: Callable[[int], float],
        after_step: Callable[[], None],
    ) -> None:
        super().__init__()
        self._update, self._parts = update, parts
        self._rate, self._after_step = rate, after_step

    def before_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        rate = self._rate(self._update.done)
        for group in strategy.optimizer.param_groups:
            group["lr"] = rate

    def after_backward(self, *_: Any, **__: Any) -> None:
        for part in self._parts:
            part.correct(self._update)

    def after_update(self, *_: Any, **__: Any) -> None:
        for part in self._parts:
            part.stepped(self._update)

    def after_training_iteration(self, strategy: Any, *_: Any, **__: Any) -> None:
        self._update.total_loss += strategy.loss.detach().squeeze()
        self._update.done += 1
        self._after_step()
