"""Classes with few samples answered by the nearest mean of their embeddings.

Shape suffixes: n exemplars, d embedding dimensions, k classes, j learned classes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from holdfast.model import heads
from holdfast.model.network import Network


@torch.no_grad()
def use_prototypes(
    network: Network,
    embeddings_nd: Tensor,
    positions_n: Tensor,
    weights_n: Tensor,
    fewest: int,
) -> Tensor:
    """Replace the rows of the head of classes with few exemplars; return which, shape (K,).

    Parameters
    ----------
    network : Network
        Its head is changed. A replaced logit has a factor of 1, where logits have factors.
    embeddings_nd, positions_n, weights_n, fewest
        As for `prototype_rows`.

    Returns
    -------
    Tensor of bool, shape (K,)
    """
    head, plain = network.head, heads.unscaled(network.head)
    rare_k, weight_kd, bias_k = prototype_rows(
        plain.weight, plain.bias, embeddings_nd, positions_n, weights_n, fewest
    )
    head.weight[rare_k], head.bias[rare_k] = weight_kd[rare_k], bias_k[rare_k]
    if isinstance(head, heads.ScaledHead):
        head.scale[rare_k] = 1
    return rare_k


def prototype_rows(
    weight_kd: Tensor,
    bias_k: Tensor,
    embeddings_nd: Tensor,
    positions_n: Tensor,
    weights_n: Tensor,
    fewest: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a head in which classes with few exemplars are those of the nearest class mean.

    The nearest-mean classifier is linear: up to what all classes share, the logit of a class
    with mean m is s (2 m·f - |m|²). To be comparable with learned rows, the scale s and the
    shared part are chosen so that learned rows, on the exemplars, are answered for by their
    own means as well as can be: s is the least-squares fit of their logits' differences
    between classes, and the shared part is what makes the mean logit over learned classes
    the same, which is linear in f too. If learned rows were nearest-mean rows of any scale,
    the replaced ones are exactly those that were missing.

    Parameters
    ----------
    weight_kd, bias_k : Tensor, shape (K, D) and (K,)
        The learned head.
    embeddings_nd : Tensor of float, shape (N, D)
        Of the exemplars.
    positions_n : Tensor of int64, shape (N,)
        Class of each exemplar.
    weights_n : Tensor of float, shape (N,)
        Trust in each label, 0 or more; 0 counts as no exemplar.
    fewest : int
        Classes with fewer exemplars, but at least one, are replaced.

    Returns
    -------
    rare_k : Tensor of bool, shape (K,)
        Which rows are replaced.
    weight_kd, bias_k : Tensor
        New ones. Where fewer than two learned classes have exemplars to fit, or the fit is
        not above 0, s is 1 / (2 v), v the mean variance within classes: the logits are those
        of Gaussian classes. Where no learned class has any, the classes replaced are the
        nearest class mean and nothing else. Computed in double precision.

    Notes
    -----
    Cost: O(N D K). The Gaussian scale takes dimensions for independent; where they are not,
    which is usual, probabilities are too sure of themselves.

    References
    ----------
    .. [1] Snell et al., "Prototypical Networks for Few-shot Learning", NeurIPS 2017.
    .. [2] Mensink et al., "Distance-Based Image Classification: Generalizing to New Classes
       at Near-Zero Cost", TPAMI 2013 (nearest class mean).
    """
    used_n = weights_n > 0
    features, positions = embeddings_nd[used_n].double(), positions_n[used_n]
    counts_k = positions.bincount(minlength=len(bias_k))
    rare_k, learned_k = (counts_k > 0) & (counts_k < fewest), counts_k >= fewest
    trust_n = weights_n[used_n].double()
    # Every class counts the same in what is fitted.
    shares_n = trust_n / positions.bincount(trust_n, minlength=len(bias_k))[positions]
    means_kd = features.new_zeros(len(bias_k), features.shape[1])
    means_kd.index_add_(0, positions, features * shares_n[:, None])
    norms_k = means_kd.square().sum(dim=1)
    scale = _gaussian_scale(features - means_kd[positions], shares_n)
    shared_d, shared = torch.zeros_like(means_kd[0]), torch.zeros_like(norms_k[0])
    if learned_k.any():
        weight_jd, bias_j = weight_kd[learned_k].double(), bias_k[learned_k].double()
        means_jd, norms_j = means_kd[learned_k], norms_k[learned_k]
        said_nj = _centered(features @ weight_jd.T + bias_j)
        meant_nj = _centered(2 * features @ means_jd.T - norms_j)
        fitted = (shares_n @ (said_nj * meant_nj)).sum() / (shares_n @ meant_nj**2).sum()
        if fitted > 0:  # False for 0 / 0, of a single learned class
            scale = fitted
        shared_d = weight_jd.mean(dim=0) - 2 * scale * means_jd.mean(dim=0)
        shared = bias_j.mean() + scale * norms_j.mean()
    rows_kd, rows_k = 2 * scale * means_kd + shared_d, shared - scale * norms_k
    return (
        rare_k,
        torch.where(rare_k[:, None], rows_kd.to(weight_kd.dtype), weight_kd),
        torch.where(rare_k, rows_k.to(bias_k.dtype), bias_k),
    )


def _gaussian_scale(residuals_nd: Tensor, shares_n: Tensor) -> Tensor:
    variance = shares_n @ residuals_nd.square().mean(dim=1) / shares_n.sum()
    return 1 / (2 * variance.clamp(min=1e-6))


def _centered(logits_nj: Tensor) -> Tensor:
    return logits_nj - logits_nj.mean(dim=1, keepdim=True)
