"""Elastic weight consolidation: weights that matter to what was learned stay close.

Shape suffixes: n samples, c channels, h rows, w columns, k classes.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from holdfast.model.network import Network

PREFIX = "importance."
# Share of the past in the running importance.
DECAY = 0.7
# Samples whose gradients are in memory at once.
CHUNK = 32


def importance(
    network: Network, images_nchw: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    """Diagonal of the Fisher information: how much each weight matters to the answers.

    The gradient of the log-probability of a class, drawn from what the network itself
    believes, is squared for each sample alone and then averaged, so the result does not
    depend on how samples fall into batches. (The square of a batch's mean gradient, as
    commonly taken, shrinks with the batch.)

    Parameters
    ----------
    network : Network
        Put into evaluation mode.
    images_nchw : Tensor, shape (N, C, H, W)
        On the network's device; at least one.
    generator : torch.Generator
        On the CPU; draws the classes.

    Returns
    -------
    dict of str to Tensor
        One entry per trained weight, of its shape, 0 or more; high = keep.

    Raises
    ------
    ValueError
        If there are no images.

    Notes
    -----
    Cost: one forward and one backward pass per image; memory for 32 gradients.

    References
    ----------
    .. [1] Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks",
       PNAS 2017.
    .. [2] Kunstner et al., "Limitations of the empirical Fisher approximation", NeurIPS
       2019 (why classes are drawn from the network's belief).
    """
    if not len(images_nchw):
        raise ValueError("importance needs at least one image")
    network.eval()
    weights = {key: weight.detach() for key, weight in _trained(network).items()}
    fixed = dict(network.named_buffers())
    pixels = images_nchw.float() / 255 if images_nchw.dtype == torch.uint8 else images_nchw
    with torch.no_grad():
        probs_nk = torch.softmax(network(pixels), dim=1)
    classes_n = torch.multinomial(probs_nk.cpu(), 1, generator=generator)[:, 0].to(pixels.device)

    def log_probability(
        weights: dict[str, Tensor], image_chw: Tensor, class_position: Tensor
    ) -> Tensor:
        logits = functional_call(network, (weights, fixed), (image_chw[None],))
        # A gather, because a tensor cannot be an index under vmap.
        chosen: Tensor = torch.log_softmax(logits, dim=1)[0].gather(0, class_position[None])
        return chosen[0]

    gradients = vmap(grad(log_probability), in_dims=(None, 0, 0))
    sums = {key: torch.zeros_like(weight) for key, weight in weights.items()}
    for start in range(0, len(pixels), CHUNK):
        part = slice(start, start + CHUNK)
        for key, gradient in gradients(weights, pixels[part], classes_n[part]).items():
            sums[key] += gradient.square().sum(dim=0)
    return {key: total / len(pixels) for key, total in sums.items()}


def accumulate(
    past: Mapping[str, Tensor], latest: Mapping[str, Tensor], decay: float = DECAY
) -> dict[str, Tensor]:
    """Return the running importance; memory is that of one set, however many came before.

    A running mean rather than a sum: the pull is as strong in the twentieth update as in
    the second. Rows a grown head has gained have no past: theirs is the latest alone.

    Raises
    ------
    ValueError
        If a weight's shape differs in more than rows added at the end.
    """
    joined = {}
    for key, now in latest.items():
        if key not in past:
            joined[key] = now
            continue
        before = past[key]
        if before.shape[1:] != now.shape[1:] or before.shape[:1] > now.shape[:1]:
            raise ValueError(
                f"importance of {key} was {tuple(before.shape)}, is {tuple(now.shape)}"
            )
        joined[key] = now.clone()
        joined[key][: len(before)] = decay * before + (1 - decay) * now[: len(before)]
    return joined


class Pull:
    """The penalty for leaving important weights: half the importance times the distance².

    Parameters
    ----------
    anchor : mapping of str to Tensor
        Weights to stay close to; fewer rows than now where a head has grown since.
    importance : mapping of str to Tensor
        Of the anchor's shapes.
    strength : float
        0 or more.
    """

    def __init__(
        self, anchor: Mapping[str, Tensor], importance: Mapping[str, Tensor], strength: float
    ) -> None:
        self._anchor = {key: anchor[key] for key in importance}
        self._scaled = {key: strength / 2 * value for key, value in importance.items()}

    def __call__(self, network: Network) -> Tensor:
        """Return the penalty at the network's present weights: 0 at the anchor."""
        total = network.head.weight.new_zeros(())
        for key, weight in _trained(network).items():
            if key in self._scaled:
                anchor = self._anchor[key]
                # Rows for classes that are new have no anchor: they move freely.
                moved = weight[: len(anchor)] - anchor
                total = total + (self._scaled[key] * moved.square()).sum()
        return total


def _trained(network: Network) -> dict[str, Tensor]:
    return {key: weight for key, weight in network.named_parameters() if weight.requires_grad}
