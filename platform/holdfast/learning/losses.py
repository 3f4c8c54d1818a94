"""Losses over soft targets; they follow a head that grows.

Shape suffixes: n samples of a batch, k classes the head knows.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def soft_targets(positions_n: Tensor, num_classes: int, smoothing: float) -> Tensor:
    """Return target probabilities, shape (N, K): `smoothing` is spread over all classes.

    A label may be wrong; smoothing keeps the network from being certain of any.

    Parameters
    ----------
    positions_n : Tensor of int64, shape (N,)
        Column of each sample's class.
    smoothing : float
        In [0, 1): 0 gives one-hot rows.

    References
    ----------
    .. [1] Lukasik et al., "Does Label Smoothing Mitigate Label Noise?", ICML 2020.
    """
    one_hot = functional.one_hot(positions_n, num_classes).float()
    return one_hot * (1 - smoothing) + smoothing / num_classes


def cross_entropy(logits_nk: Tensor, targets_nk: Tensor) -> Tensor:
    """Mean cross-entropy in nats, 0 or more; high is bad."""
    return -(targets_nk * torch.log_softmax(logits_nk, dim=1)).sum(dim=1).mean()


class BalancedSoftmax:
    """Cross-entropy that corrects for how often each class is drawn.

    Adds the log of each class's share in the batches to its logit while training, so
    that without it the network answers as if all classes were equally frequent.

    Parameters
    ----------
    shares_k : Tensor, shape (K,)
        Positive for classes that are drawn. A class of share 0 is left out of the sum:
        it is neither learned nor unlearned.

    References
    ----------
    .. [1] Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition",
       NeurIPS 2020.
    """

    def __init__(self, shares_k: Tensor) -> None:
        # A share of zero would be -inf, and -inf times a target of zero is NaN.
        self._offsets_k = torch.log(shares_k.clamp(min=1e-12))

    def __call__(self, logits_nk: Tensor, targets_nk: Tensor) -> Tensor:
        """Mean corrected cross-entropy in nats; high is bad."""
        return cross_entropy(logits_nk + self._offsets_k, targets_nk)
