"""Weights that matter to what was learned stay close to where they were.

Shape suffixes: n samples, c channels, h rows, w columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from holdfast.learning.importance import Importance, fisher, sensitivity
from holdfast.learning.parts import Part, Update
from holdfast.learning.settings import LearningConfig
from holdfast.learning.subsample import subsample
from holdfast.model.network import Network

# Share of the past in the running importance.
DECAY = 0.7
# Steps that share one pull, as strong as theirs together: it is slow to act, and looking at
# every weight costs as much as a third of a small network's step.
PULL_EVERY = 4
# Of the sensitivity: digits in five experiences, accuracy .83 at all of it, .92 at a hundredth
# (3 seeds), where elastic weight consolidation has .92.
SENSITIVITY_SHARE = 0.01

Estimate = Callable[[Network, Tensor, torch.Generator], Importance]


def ewc(past: Mapping[str, Tensor], config: LearningConfig) -> Consolidation:
    """Return elastic weight consolidation: importance is the Fisher information.

    With a strength of 1 the pull is, to second order, by how much the champion's answers
    change, in nats: what was learned weighs as much as what is new.

    References
    ----------
    .. [1] Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks",
       PNAS 2017.
    .. [2] Schwarz et al., "Progress & Compress: A scalable framework for continual
       learning", ICML 2018 (one running Fisher and one anchor, however many updates).
    """
    return Consolidation("ewc", fisher, past, config)


def mas(past: Mapping[str, Tensor], config: LearningConfig) -> Consolidation:
    """Return memory aware synapses: importance is how far a weight moves the outputs.

    It is in squares of outputs, not nats: `SENSITIVITY_SHARE` of it makes the same strength
    suit both.

    References
    ----------
    .. [1] Aljundi et al., "Memory Aware Synapses: Learning what (not) to forget", ECCV 2018.
    """
    return Consolidation("mas", _shared_sensitivity, past, config)


def _shared_sensitivity(
    network: Network, images_nchw: Tensor, generator: torch.Generator
) -> Importance:
    measured = sensitivity(network, images_nchw, generator)
    return {key: SENSITIVITY_SHARE * value for key, value in measured.items()}


class Consolidation(Part):
    """Pulls weights back by an importance that is measured after each update.

    Parameters
    ----------
    name : str
    estimate : callable
        Network, images and generator to the importance of each weight.
    past : mapping of str to Tensor
        The running importance so far; empty for a first update.

    Notes
    -----
    The importance is that of `config.consolidation.samples` samples, new ones and exemplars,
    every class its share. Cost: O(weights) a step, the importance once an update; memory:
    three times the weights, however many updates came before. Nothing changes between
    steps, so there is nothing to restore.
    """

    def __init__(
        self, name: str, estimate: Estimate, past: Mapping[str, Tensor], config: LearningConfig
    ) -> None:
        self.name = name
        self._estimate, self._past, self._config = estimate, past, config.consolidation

    def begin(self, update: Update) -> None:
        """Remember where the weights are."""
        self._pull = Pull(update.weights(), self._past, self._config.strength)

    def correct(self, update: Update) -> None:
        """Pull the weights back, now and then; nothing does so in a first update."""
        if update.done % PULL_EVERY == 0:
            self._pull.add_to_gradients(PULL_EVERY)

    def finish(self, update: Update) -> Mapping[str, Tensor]:
        """Return the running importance, of the network as it is now."""
        material = update.material
        # Samples only: what matters is what was learned of them.
        known = slice(material.num_samples)
        rows = subsample(
            material.positions_n[known], material.trust_n[known], self._config.samples, update.rng
        )
        images = material.images(torch.from_numpy(rows))
        return accumulate(self._past, self._estimate(update.network, images, update.generator))


def accumulate(
    past: Mapping[str, Tensor], latest: Mapping[str, Tensor], decay: float = DECAY
) -> Importance:
    """Return the running importance; memory is that of one set, however many came before.

    A running mean rather than a sum: the pull is as strong in the twentieth update as in
    the second. Rows a grown head has gained have no past: theirs is the latest alone.
    Weights that were not measured this time keep their past.

    Raises
    ------
    ValueError
        If a weight's shape differs in more than rows added at the end.
    """
    joined = dict(past)
    for key, now in latest.items():
        joined[key] = now.clone()
        if key not in past:
            continue
        before = past[key]
        if before.shape[1:] != now.shape[1:] or before.shape[:1] > now.shape[:1]:
            raise ValueError(
                f"importance of {key} was {tuple(before.shape)}, is {tuple(now.shape)}"
            )
        rows_of(joined[key], before).lerp_(before, decay)
    return joined


class Pull:
    """The force that holds important weights: minus the slope of half of importance times way².

    Adding the slope to the gradient is what adding the penalty to the loss would do, for a
    quarter of the time: 0.4 ms against 1.3 ms for 480,000 weights on one core.

    Parameters
    ----------
    weights : mapping of str to Tensor
        Trained in place; where they are now is where they are pulled to.
    importance : mapping of str to Tensor
        Of the weights' shapes, 0 or more; fewer rows where a head has grown since. New rows
        move freely, and so do weights it does not name.
    strength : float
        0 or more.
    """

    def __init__(
        self, weights: Mapping[str, Tensor], importance: Mapping[str, Tensor], strength: float
    ) -> None:
        self._names = [key for key in importance if key in weights]
        self._weights = [weights[key] for key in self._names]
        self._stiffness = [strength * importance[key] for key in self._names]
        self._anchors = [anchor.detach().clone() for anchor in self._held()]

    @torch.no_grad()
    def add_to_gradients(self, times: float = 1.0) -> dict[str, Tensor]:
        """Add the slope to the gradients of the weights; return it, by weight, for held rows.

        A weight without a gradient is not trained at this step, and is left alone. What is
        added, not what is returned, is multiplied by `times`.
        """
        if not self._names:
            return {}
        slopes = torch._foreach_sub(self._held(), self._anchors)
        torch._foreach_mul_(slopes, self._stiffness)
        for weight, slope in zip(self._weights, slopes, strict=True):
            if weight.grad is not None:
                rows_of(weight.grad, slope).add_(slope, alpha=times)
        return dict(zip(self._names, slopes, strict=True))

    def _held(self) -> list[Tensor]:
        pairs = zip(self._weights, self._stiffness, strict=True)
        return [rows_of(weight, held) for weight, held in pairs]


def rows_of(weight: Tensor, like: Tensor) -> Tensor:
    """Return the rows of a weight, as a view, that were there before its head grew."""
    return weight if weight.shape == like.shape else weight[: len(like)]
