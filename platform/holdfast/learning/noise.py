"""Labels that may be wrong: samples left out for their loss, and softer targets.

Shape suffixes: n samples, b samples of a batch, k classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from holdfast.learning.parts import Part, Update

RISE = 0.5  # share of an update over which more and more samples are left out


class SmallLoss(Part):
    """Leaves out the samples of each class with the largest losses, ever more of them.

    A network learns what labels have in common before it learns their errors by heart, so
    wrong labels have large losses for a while. Losses are compared within a class, and one
    sample of each class in the batch always stays: across classes the rare ones, which are
    harder, would go first.

    Notes
    -----
    Its authors let two networks choose for each other. Here one chooses for itself, beside
    an average of its weights and an audit that do the work of the second.

    References
    ----------
    .. [1] Han et al., "Co-teaching: Robust Training of Deep Neural Networks with Extremely
       Noisy Labels", NeurIPS 2018 (small-loss samples, and the schedule).
    """

    name = "small_loss"

    def weigh(self, update: Update, losses_b: Tensor) -> Tensor | None:
        """Return 0 for samples left out, else 1."""
        share = update.config.noise.small_loss * min(1.0, update.share_done / RISE)
        if not share:
            return None
        offset = float(torch.rand((), generator=update.generator))
        return small_losses(losses_b.detach(), update.batch.positions_b, share, offset)


class SoftLabels(Part):
    """Moves the targets of doubted labels towards what the network itself believes.

    References
    ----------
    .. [1] Reed et al., "Training Deep Neural Networks on Noisy Labels with Bootstrapping",
       ICLR 2015 workshop (soft bootstrapping; here only as far as a label is doubted).
    """

    name = "soft_labels"

    def __init__(self) -> None:
        self._doubt_n: Tensor

    def begin(self, update: Update) -> None:
        """Read how far each label is doubted."""
        doubt_n = (1 - update.material.trust_n).clip(0, 1) * update.config.noise.soft_labels
        # What a generator was asked for is not in doubt, however often it is drawn.
        doubt_n[update.material.num_samples :] = 0
        self._doubt_n = torch.from_numpy(doubt_n).to(update.device)

    def retarget(self, update: Update, targets_bk: Tensor) -> Tensor:
        """Return the targets; those of fully trusted labels stay."""
        believed_bk = torch.softmax(update.logits_bk.detach(), dim=1)
        return torch.lerp(targets_bk, believed_bk, self._doubt_n[update.batch.rows_b, None])


def small_losses(losses_b: Tensor, positions_b: Tensor, share: float, offset: float) -> Tensor:
    """Return 0 for the samples of each class with the largest losses, else 1, shape (B,).

    Parameters
    ----------
    losses_b : Tensor of float, shape (B,)
        Without gradient.
    positions_b : Tensor of int64, shape (B,)
        Class of each sample.
    share : float
        In [0, 1): share of the batch to leave out. Each class loses this share of its
        samples, rounded up or down so that the whole is as close as can be, but never its
        last one.
    offset : float
        In [0, 1): where rounding starts. Uniform draws make the shares exact on average.
    """
    order = torch.argsort(losses_b, descending=True, stable=True)
    order = order[torch.argsort(positions_b[order], stable=True)]
    counts_k = positions_b.bincount()
    ends_k = counts_k.cumsum(0)
    quotas_k = torch.floor(ends_k * share + offset).long()
    quotas_k = quotas_k.diff(prepend=quotas_k.new_zeros(1))
    quotas_k = torch.minimum(quotas_k, (counts_k - 1).clamp(min=0))
    sorted_b = positions_b[order]
    ranks_b = torch.arange(len(order), device=order.device) - (ends_k - counts_k)[sorted_b]
    stays_b = torch.ones_like(losses_b)
    stays_b[order[ranks_b < quotas_k[sorted_b]]] = 0
    return stays_b
