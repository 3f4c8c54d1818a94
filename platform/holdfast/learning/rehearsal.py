"""Ways of rehearsing that tell new samples from exemplars.

Shape suffixes: b samples of a batch, c channels, h rows, w columns, k classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from holdfast.learning.evaluating import evaluating
from holdfast.learning.parts import Batch, Part, Update
from holdfast.learning.settings import LearningConfig
from holdfast.learning.subsample import subsample

# Logit of a class a sample is not compared with: a probability of 0, and no infinity that
# times a target of 0 would be NaN.
HIDDEN = -1e4
# Exemplars looked at for each one that is replayed. The paper takes 50 for 10; the harm of
# three times as many costs about as much as a step.
CANDIDATES = 3


class AsymmetricCrossEntropy(Part):
    """Compares new samples with each other only, exemplars with every class (ER-ACE).

    A new sample would push down the logits of old classes, which few exemplars can hold up.
    It therefore sees the classes of the new samples of its batch, and those nobody knows yet.

    Notes
    -----
    Hidden from a new sample is what is in none of the batch's new samples and was either
    learned before or is in the buffer; a class of the same experience that is just not in
    the batch, and has no exemplar to be held by, is compared with, so that it is learned at
    all when there are many. Targets lose their share on hidden classes and are scaled up to
    1 again. Parts that move targets have to come before this one. Cost: O(batch times
    classes + buffer) a step.

    References
    ----------
    .. [1] Caccia et al., "New Insights on Reducing Abrupt Representation Change in Online
       Continual Learning", ICLR 2022.
    """

    name = "er_ace"

    def __init__(self, past: Mapping[str, Tensor], config: LearningConfig) -> None:
        """Nothing is carried from one update to the next."""

    def retarget(self, update: Update, targets_bk: Tensor) -> Tensor:
        """Return targets without a share on hidden classes."""
        kept_bk = targets_bk.masked_fill(_hidden(update), 0)
        return kept_bk / kept_bk.sum(dim=1, keepdim=True).clamp(min=1e-8)

    def mask(self, update: Update, logits_bk: Tensor) -> Tensor:
        """Return logits with hidden classes out of reach."""
        return logits_bk.masked_fill(_hidden(update), HIDDEN)


def _hidden(update: Update) -> Tensor:
    """Return which classes each sample of the batch is not compared with, shape (B, K)."""
    batch, material = update.batch, update.material
    held = np.zeros(material.num_classes, bool)
    held[: update.num_old] = True
    held[material.positions_n[material.memory_rows]] = True
    hidden_k = torch.from_numpy(held).to(update.device)
    hidden_k[batch.positions_b[: batch.num_new]] = False
    is_new_b = torch.arange(len(batch), device=update.device) < batch.num_new
    return is_new_b[:, None] & hidden_k


class GradientProjection(Part):
    """Learns new samples in directions that do exemplars no harm (A-GEM).

    Exemplars are out of the main loss. Their own gradient says which way is harmful; the
    part of a step's gradient that points there is taken out.

    Notes
    -----
    The exemplars' gradient is that of the network as it will answer, in evaluation mode.
    Without exemplars, or without new samples, nothing is done. Cost: one more forward and
    backward pass of the exemplars a step.

    References
    ----------
    .. [1] Chaudhry et al., "Efficient Lifelong Learning with A-GEM", ICLR 2019.
    """

    name = "agem"

    def __init__(self, past: Mapping[str, Tensor], config: LearningConfig) -> None:
        """Nothing is carried from one update to the next."""

    def weigh(self, update: Update, losses_b: Tensor) -> Tensor | None:
        """Return 1 for new samples and 0 for exemplars; None unless there are both."""
        if not _has_both(update.batch):
            return None
        return (torch.arange(len(losses_b), device=losses_b.device) < update.batch.num_new).float()

    def correct(self, update: Update) -> None:
        """Take out of the gradient what would raise the loss of the exemplars."""
        batch = update.batch
        if not _has_both(batch):
            return
        exemplars = slice(batch.num_new, None)
        harmful = _gradients(
            update,
            batch.images_bchw[exemplars],
            batch.targets_bk[exemplars],
            batch.trust_b[exemplars],
        )
        pairs = [
            (weight.grad, harmful[key])
            for key, weight in update.weights().items()
            if weight.grad is not None
        ]
        own, reference = [one for one, _ in pairs], [other for _, other in pairs]
        along = torch.stack([(one * other).sum() for one, other in pairs]).sum()
        size = torch.stack(torch._foreach_norm(reference)).square().sum()
        # Stays on the device: a question asked of a GPU would wait for the whole step.
        factor = along.clamp(max=0) / size.clamp(min=1e-20)
        torch._foreach_sub_(own, torch._foreach_mul(reference, factor))


class InterferenceRetrieval(Part):
    """Replays the exemplars that the coming step would harm most (MIR).

    Notes
    -----
    From `CANDIDATES` times as many exemplars as are wanted, drawn class by class, those are
    taken whose cross-entropy rises most under a virtual step: plain gradient descent on the
    new samples at the recipe's learning rate (its size hardly changes who is harmed more than
    whom). The network is looked at in evaluation mode and not changed. Where no more
    exemplars are left than wanted, all are taken, in turns. Cost: a forward and backward pass
    of the new samples and two forward passes of the candidates a step; O(M log M) for M
    exemplars.

    References
    ----------
    .. [1] Aljundi et al., "Online Continual Learning with Maximally Interfered Retrieval",
       NeurIPS 2019.
    """

    name = "mir"

    def __init__(self, past: Mapping[str, Tensor], config: LearningConfig) -> None:
        """Nothing is carried from one update to the next."""

    def recall(self, update: Update, new: Batch, num: int) -> Tensor | None:
        """Return rows of the exemplars a step on the new samples would harm most.

        Returns
        -------
        Tensor of int64, shape (num,), or None
            On the device, most harmed first; None where there is no exemplar at all.
        """
        material = update.material
        memory = material.memory_rows
        places = subsample(
            material.positions_n[memory], material.trust_n[memory], CANDIDATES * num, update.rng
        )
        if not len(places):
            return None
        if len(places) <= num:
            return torch.from_numpy(np.resize(memory[places], num)).to(update.device)
        rows = torch.from_numpy(memory[places]).to(update.device)
        harm = _harm(update, new, rows)
        return rows[harm.topk(num).indices]


def _harm(update: Update, new: Batch, rows_b: Tensor) -> Tensor:
    """Return by how much a virtual step raises the cross-entropy of rows, in nats."""
    slopes = _gradients(update, new.images_bchw, new.targets_bk, new.trust_b)
    rate = update.config.optimizer.highest_rate
    images, columns = update.material.pixels(rows_b), update.material.columns(rows_b)
    with torch.no_grad(), evaluating(update.network):
        ahead = {key: weight - rate * slopes[key] for key, weight in update.weights().items()}
        after = functional_call(update.network, ahead, (images,))
        now = update.network(images)
        harm: Tensor = functional.cross_entropy(after, columns, reduction="none")
        return harm - functional.cross_entropy(now, columns, reduction="none")


def _gradients(
    update: Update, images_bchw: Tensor, targets_bk: Tensor, trust_b: Tensor
) -> dict[str, Tensor]:
    """Return the gradient of the mean loss of samples, leaving no trace in the network."""
    weights = update.weights()
    with torch.enable_grad(), evaluating(update.network):
        losses_b = update.loss(update.network(images_bchw), targets_bk, update.share_done)
        loss = (trust_b * losses_b).sum() / trust_b.sum().clamp(min=1e-8)
        found = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
    return dict(zip(weights, found, strict=True))


def _has_both(batch: Batch) -> bool:
    return 0 < batch.num_new < len(batch)
