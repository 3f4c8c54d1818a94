"""What several models say about images, reduced batch by batch to what they disagree about.

Members are the models of an ensemble, or one network with parts of its embedding left out.

Shape suffixes: n images, c members (of images: channels), h rows, w columns, d embedding
dimensions, k classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from holdfast.model.ensemble import Ensemble
from holdfast.model.inference import Allocate, Predictions, Told, answers, prepared
from holdfast.model.network import Network
from holdfast.model.spec import NetworkConfig
from holdfast.records import Floats, ImageRows
from holdfast.seeds import integer_seed

# Members drawn from a network with dropout. They cost a product with the head each, and the
# encoder runs once for all.
PASSES = 20
# A vote is kept in a byte.
_MOST = 255

Opinions = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitteePredictions:
    """What a committee says about N images.

    Attributes
    ----------
    predictions : Predictions
        Of the network as it answers otherwise: an ensemble's mean, all of the embedding.
    mean_probs_nk : ndarray of float32, shape (N, K)
        Mean of the members' probabilities.
    votes_nk : ndarray of uint8, shape (N, K)
        Members whose most probable class this is; rows sum to the number of members.
    expected_entropy_n : ndarray of float32, shape (N,)
        Mean over members of the entropy of their probabilities, in nats. The entropy of the
        mean less this is what they disagree about, and their mean divergence from the mean.
    max_kl_n : ndarray of float32, shape (N,)
        Largest Kullback-Leibler divergence of a member from the mean, in nats.
    """

    predictions: Predictions
    mean_probs_nk: Floats
    votes_nk: NDArray[np.uint8]
    expected_entropy_n: Floats
    max_kl_n: Floats


def predict_committee(
    network: Network | Ensemble,
    images_nchw: ImageRows,
    *,
    config: NetworkConfig,
    rng: np.random.Generator,
    passes: int = PASSES,
    keep_embeddings: bool = True,
    allocate: Allocate = np.empty,
    told: Told | None = None,
) -> CommitteePredictions:
    """Return what members say together; probabilities of each are held for one batch only.

    An ensemble's members answer for themselves. A network with dropout is asked `passes`
    times, each time without another part of the embedding, the same part for all images:
    each pass is one network, so that images can be compared, and what is said about an image
    does not depend on the others. A single network without dropout is a committee of one,
    which never disagrees: the first model of an ensemble has no others beside it yet.

    Parameters
    ----------
    network, images_nchw, config, keep_embeddings, allocate, told
        As for `predict`.
    rng : Generator
        Draws what a pass leaves out.
    passes : int
        Members made of one network, 2 to 255.

    Raises
    ------
    ConfigError
        If the machine has no such device.
    ValueError
        If there would be more than 255 members, or fewer than two passes.

    Notes
    -----
    Cost: of one pass of each model of an ensemble; for dropout, of one pass of the encoder
    and `passes` of the head, O(n d k passes). Memory O(n k) and `passes` batches of
    probabilities.

    References
    ----------
    .. [1] Gal and Ghahramani, "Dropout as a Bayesian Approximation", ICML 2016.
    .. [2] Kirsch, van Amersfoort and Gal, "BatchBALD", NeurIPS 2019 (one mask for all images).
    """
    network = prepared(network, config)
    if isinstance(network, Ensemble):
        num_members = len(network.members)
        opinions: Opinions = _of_members(network)
    elif network.dropout.p:
        if passes < 2:
            raise ValueError(f"passes should be at least 2, not {passes}")
        num_members = passes
        opinions = _of_passes(network, passes, rng)
    else:
        num_members = 1
        opinions = _of_members(Ensemble([network]))
    if num_members > _MOST:
        raise ValueError(f"a committee should have at most {_MOST} members, not {num_members}")
    num_images, num_classes = len(images_nchw), len(network.class_ids)
    kept = network.num_features if keep_embeddings else 0
    probs_nk = allocate((num_images, num_classes), np.float32)
    embeddings_nd = allocate((num_images, kept), np.float32)
    mean_nk = allocate((num_images, num_classes), np.float32)
    votes_nk = allocate((num_images, num_classes), np.uint8)
    entropy_n, kl_n = (allocate((num_images,), np.float32) for _ in range(2))

    def said(batch: Tensor) -> tuple[Tensor, ...]:
        plain_nk, probs_cnk, embeddings = opinions(batch)
        return plain_nk, embeddings[:, :kept], *reduced(probs_cnk)

    targets: tuple[NDArray[Any], ...] = (
        probs_nk,
        embeddings_nd,
        mean_nk,
        votes_nk,
        entropy_n,
        kl_n,
    )
    for rows, values in answers(said, images_nchw, config, told):
        for target, value in zip(targets, values, strict=True):
            target[rows] = value
    return CommitteePredictions(
        predictions=Predictions(
            pred_probs_nk=probs_nk,
            embeddings_nd=embeddings_nd,
            class_ids_k=np.array(network.class_ids, np.int64),
        ),
        mean_probs_nk=mean_nk,
        votes_nk=votes_nk,
        expected_entropy_n=entropy_n,
        max_kl_n=kl_n,
    )


def reduced(probs_cnk: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return mean, votes (N, K), expected entropy and largest divergence (N,) of members.

    Examples
    --------
    >>> sure = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    >>> [value.tolist() for value in reduced(sure)]
    [[[0.5, 0.5]], [[1, 1]], [0.0], [0.6931471824645996]]
    """
    mean_nk = probs_cnk.mean(dim=0)
    # Where a member gives 0 it adds nothing, whatever stands for the logarithm.
    tiny = torch.finfo(probs_cnk.dtype).tiny
    logs_cnk = probs_cnk.clamp(min=tiny).log()
    entropy_cn = -(probs_cnk * logs_cnk).sum(dim=2)
    apart_cn = -entropy_cn - (probs_cnk * mean_nk.clamp(min=tiny).log()).sum(dim=2)
    choices_cn = probs_cnk.argmax(dim=2)
    votes_nk = torch.zeros(mean_nk.shape, dtype=torch.uint8, device=mean_nk.device)
    for choice_n in choices_cn:
        votes_nk[torch.arange(len(choice_n), device=mean_nk.device), choice_n] += 1
    return mean_nk, votes_nk, entropy_cn.mean(dim=0), apart_cn.amax(dim=0).clamp(min=0)


def _of_members(ensemble: Ensemble) -> Opinions:
    def opinions(batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        probs_cnk, embeddings = ensemble.opinions(batch)
        return probs_cnk.mean(dim=0), probs_cnk, embeddings

    return opinions


def _of_passes(network: Network, passes: int, rng: np.random.Generator) -> Opinions:
    rate = network.dropout.p
    generator = torch.Generator().manual_seed(integer_seed(rng))
    kept_cd = torch.rand((passes, network.num_features), generator=generator) >= rate
    masks_c1d = (kept_cd / (1.0 - rate))[:, None].to(network.head.weight)

    def opinions(batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        embeddings = network.embed(batch)
        probs_cnk = torch.softmax(network.head(embeddings * masks_c1d).float(), dim=2)
        return torch.softmax(network.head(embeddings).float(), dim=1), probs_cnk, embeddings

    return opinions
