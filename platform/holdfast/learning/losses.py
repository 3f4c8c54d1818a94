"""Losses per sample over soft targets; they follow a head that grows.

Shape suffixes: n samples of a batch, k classes the head knows.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.learning.settings import ImbalanceConfig

Loss = Callable[[Tensor, Tensor, float], Tensor]

# The authors give margins up to 0.5 to logits between -30 and 30, which are cosines times 30.
# Ours are free and must stay probabilities: a scale of 4 asks for at most 2 nats. With 10 a
# short update never got there (500 steps on long-tailed 8x8 digits, one seed: balanced
# recall .90, against .95 with 4 and .94 without margins).
LARGEST_MARGIN = 0.5
MARGIN_SCALE = 4.0
# Share of an update from which LDAM weighs classes: its authors take 160 of 200 epochs.
DEFERRED = 0.8
# Keeps quotients and powers finite.
_LEAST = 1e-6


def build_loss(config: ImbalanceConfig, counts_k: Tensor, shares_k: Tensor) -> Loss:
    """Return the loss that `config.loss` names.

    Each is what its authors optimize on batches drawn as classes are, whatever the sampler
    draws: a weight or an offset makes up for the share a class has in the batches. Classes
    are drawn equally often already where `shares_k` is flat, and then `class_weighted`,
    `balanced_softmax` and `logit_adjustment` equal `cross_entropy`.

    Parameters
    ----------
    config : ImbalanceConfig
        Its `loss` and `focal_gamma` are read.
    counts_k : Tensor of float, shape (K,)
        Labels of each class, trusted ones; 0 for a class without samples.
    shares_k : Tensor of float, shape (K,)
        Share of each class in the batches. Every loss but `cross_entropy` and `focal`, which
        do not look at classes, leaves a class of share 0 out: its logit is neither learned
        nor unlearned.

    Returns
    -------
    callable
        (logits_nk, targets_nk, share of the update that is done) to losses in nats, shape
        (N,), 0 or more but for rounding; high is bad. Target rows sum to 1. A logit of -inf
        leaves its class out, as `cross_entropy` says.

    Raises
    ------
    ValueError
        If no class has both a count and a share.

    Notes
    -----
    Costs O(K) to build: a new one at each step, where shares move, is cheap.

    References
    ----------
    .. [1] Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019
       (`effective_number`).
    .. [2] Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017.
    .. [3] Ren et al., "Balanced Meta-Softmax for Long-Tailed Visual Recognition",
       NeurIPS 2020.
    .. [4] Menon et al., "Long-Tail Learning via Logit Adjustment", ICLR 2021. With its
       factor tau of 1, which minimizes the balanced error, it is the same as [3].
    .. [5] Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware Margin
       Loss", NeurIPS 2019 (`ldam`, with deferred re-weighting).
    .. [6] King and Zeng, "Logistic Regression in Rare Events Data", Political Analysis 2001
       (`class_weighted`).

    Examples
    --------
    >>> loss = build_loss(ImbalanceConfig(loss="ldam"), torch.ones(2), torch.full((2,), 0.5))
    >>> loss(torch.tensor([[9.0, 0.0]]), torch.tensor([[1.0, 0.0]]), 0.0) < 0.1
    tensor([True])
    """
    if not bool(((counts_k > 0) & (shares_k > 0)).any()):
        raise ValueError("no class has both labels and a share of the batches; nothing to learn")
    return _LOSSES[config.loss](config, counts_k.float(), shares_k.float())


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
    """Cross-entropy of each sample in nats, shape (N,), 0 or more; high is bad.

    Parameters
    ----------
    logits_nk : Tensor, shape (N, K)
        A class whose logit is -inf is left out: its part of the target counts for nothing
        and no gradient reaches it. One class of a row must be finite.
    targets_nk : Tensor, shape (N, K)
    """
    return -(targets_nk * _log_probs(logits_nk)).sum(dim=1)


def _log_probs(logits_nk: Tensor) -> Tensor:
    log_probs = torch.log_softmax(logits_nk, dim=1)
    # 0 times -inf is NaN, in the loss and in its gradient.
    return log_probs.masked_fill(logits_nk == -torch.inf, 0)


def _plain(_config: ImbalanceConfig, _counts_k: Tensor, _shares_k: Tensor) -> Loss:
    return lambda logits_nk, targets_nk, _share_done: cross_entropy(logits_nk, targets_nk)


def _focal(config: ImbalanceConfig, _counts_k: Tensor, _shares_k: Tensor) -> Loss:
    def losses(logits_nk: Tensor, targets_nk: Tensor, _share_done: float) -> Tensor:
        log_probs_nk = _log_probs(logits_nk)
        # Where a target is one-hot the overlap is the probability of the label, as the
        # authors have it; for mixed and smoothed targets it reaches 1 where both agree.
        probs_nk = torch.softmax(logits_nk, dim=1)
        overlap_n = torch.minimum(probs_nk, targets_nk).sum(dim=1)
        focus_n = (1 - overlap_n).clamp(min=_LEAST) ** config.focal_gamma
        return -focus_n * (targets_nk * log_probs_nk).sum(dim=1)

    return losses


def _class_weighted(_config: ImbalanceConfig, counts_k: Tensor, shares_k: Tensor) -> Loss:
    return _weighted((counts_k > 0).float(), shares_k)


def _effective_number(_config: ImbalanceConfig, counts_k: Tensor, shares_k: Tensor) -> Loss:
    return _weighted(_effective_masses(counts_k), shares_k)


def _adjusted(_config: ImbalanceConfig, _counts_k: Tensor, shares_k: Tensor) -> Loss:
    offsets_k = torch.log(shares_k)
    return lambda logits_nk, targets_nk, _share_done: cross_entropy(
        logits_nk + offsets_k, targets_nk
    )


def _ldam(_config: ImbalanceConfig, counts_k: Tensor, shares_k: Tensor) -> Loss:
    margins_k = torch.where(counts_k > 0, counts_k.clamp(min=1) ** -0.25, 0)
    margins_k = margins_k * (MARGIN_SCALE * LARGEST_MARGIN / margins_k.max())
    offsets_k = _left_out(shares_k)
    weights_k = _weights(_effective_masses(counts_k), shares_k)

    def losses(logits_nk: Tensor, targets_nk: Tensor, share_done: float) -> Tensor:
        losses_n = cross_entropy(logits_nk + offsets_k - targets_nk * margins_k, targets_nk)
        return losses_n if share_done < DEFERRED else losses_n * _mean_weight(targets_nk, weights_k)

    return losses


_LOSSES: dict[str, Callable[[ImbalanceConfig, Tensor, Tensor], Loss]] = {
    "cross_entropy": _plain,
    "class_weighted": _class_weighted,
    "effective_number": _effective_number,
    "focal": _focal,
    "balanced_softmax": _adjusted,
    "logit_adjustment": _adjusted,
    "ldam": _ldam,
}


def _weighted(masses_k: Tensor, shares_k: Tensor) -> Loss:
    """Return cross-entropy in which classes count, over the batches, as their masses say.

    A sample is weighed as a whole, by the mean weight under its target. Weighing each term
    of the cross-entropy would turn smoothing into a claim that every sample might be of the
    rarest class.
    """
    weights_k, offsets_k = _weights(masses_k, shares_k), _left_out(shares_k)
    return lambda logits_nk, targets_nk, _share_done: (
        cross_entropy(logits_nk + offsets_k, targets_nk) * _mean_weight(targets_nk, weights_k)
    )


def _weights(masses_k: Tensor, shares_k: Tensor) -> Tensor:
    """Return a weight per class; over what is drawn its mean is 1."""
    masses_k = torch.where(shares_k > 0, masses_k, 0)
    return masses_k / masses_k.sum() / shares_k.clamp(min=_LEAST**2)


def _mean_weight(targets_nk: Tensor, weights_k: Tensor) -> Tensor:
    return (targets_nk * weights_k).sum(dim=1)


def _left_out(shares_k: Tensor) -> Tensor:
    """Return what to add to logits: -inf for classes that are never drawn, else 0."""
    return torch.log((shares_k > 0).float())


def _effective_masses(counts_k: Tensor) -> Tensor:
    """Return what classes count for in all when each sample weighs 1 / effective number.

    The effective number of n samples is (1 - beta^n) / (1 - beta). The authors try several
    beta; here it is 1 - 1/N, N the largest count, close to their best for long-tailed
    CIFAR-10 (0.9999 for 5,000): the largest class counts 1.6 times as much as a rare one.
    """
    volume = counts_k.max().clamp(min=1 + _LEAST)
    effective_k = -torch.expm1(counts_k * torch.log1p(-1 / volume)) * volume
    return torch.where(counts_k > 0, counts_k / effective_k.clamp(min=_LEAST), 0)
