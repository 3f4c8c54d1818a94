"""How much each weight matters to what a network answers, sample by sample.

Shape suffixes: n samples, c channels, h rows, w columns, k classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from holdfast.learning.evaluating import evaluating
from holdfast.model.network import Network

# Numbers in the gradients that are in memory at once: 16 MiB, which stay near the processor;
# eight times as many take twice as long.
GRADIENT_NUMBERS = 2**22

Importance = dict[str, Tensor]


def fisher(
    network: Network,
    images_nchw: Tensor,
    generator: torch.Generator,
    *,
    chunk: int | None = None,
) -> Importance:
    """Diagonal of the Fisher information: how much each weight matters to the answers.

    The gradient of the log-probability of a class, drawn from what the network itself
    believes, is squared for each sample alone and then averaged, so the result does not
    depend on how samples fall into batches. (The square of a batch's mean gradient, as
    commonly taken, shrinks with the batch.)

    Parameters
    ----------
    network : Network
        Not changed, not even its running statistics.
    images_nchw : Tensor of uint8, or of float in [0, 1], shape (N, C, H, W)
        On the network's device; at least one.
    generator : torch.Generator
        On the CPU; draws the classes.
    chunk : int or None
        Samples whose gradients are in memory at once; changes the result by rounding only.
        None takes as many as fit into 16 MiB.

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
    Cost: two forward passes and one backward pass an image.

    References
    ----------
    .. [1] Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks",
       PNAS 2017.
    .. [2] Kunstner et al., "Limitations of the empirical Fisher approximation for natural
       gradient descent", NeurIPS 2019 (why classes are drawn from the network's belief).
    """

    def log_probability(logits_k: Tensor, drawn: Tensor) -> Tensor:
        # A gather, because a tensor cannot be an index under vmap.
        chosen: Tensor = torch.log_softmax(logits_k, dim=0).gather(0, drawn)
        return chosen[0]

    size = _chunk(network, images_nchw, chunk)
    with torch.no_grad(), evaluating(network):
        probs_nk = torch.cat(
            [torch.softmax(network(part), dim=1) for part in torch.split(images_nchw, size)]
        )
    drawn_n1 = torch.multinomial(probs_nk.cpu(), 1, generator=generator).to(images_nchw.device)
    return _average(network, images_nchw, drawn_n1, log_probability, torch.square, size)


def sensitivity(
    network: Network,
    images_nchw: Tensor,
    generator: torch.Generator,  # noqa: ARG001  contract
    *,
    chunk: int | None = None,
) -> Importance:
    """How far each weight moves the outputs: mean size of its gradient of their squared norm.

    Takes, gives and raises what `fisher` does, but draws nothing: neither labels nor beliefs
    play a part. Unlike the Fisher information it stays large where the network is certain.

    Notes
    -----
    Cost: one forward and one backward pass an image.

    References
    ----------
    .. [1] Aljundi et al., "Memory Aware Synapses: Learning what (not) to forget", ECCV 2018.
    """

    def squared_norm(logits_k: Tensor, _: Tensor) -> Tensor:
        return logits_k.square().sum()

    size = _chunk(network, images_nchw, chunk)
    return _average(network, images_nchw, images_nchw, squared_norm, torch.abs, size)


def _chunk(network: Network, images_nchw: Tensor, chunk: int | None) -> int:
    if not len(images_nchw):
        raise ValueError("importance needs at least one image")
    if chunk is not None:
        return chunk
    numbers = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    return max(1, GRADIENT_NUMBERS // max(1, numbers))


def _average(
    network: Network,
    images_nchw: Tensor,
    beside_n: Tensor,
    value: Callable[[Tensor, Tensor], Tensor],
    size_of: Callable[[Tensor], Tensor],
    chunk: int,
) -> Importance:
    """Average the size of each sample's gradient of a value of its logits."""
    weights = {
        key: weight.detach() for key, weight in network.named_parameters() if weight.requires_grad
    }

    def of_sample(weights: Importance, image_chw: Tensor, beside: Tensor) -> Tensor:
        logits_nk: Tensor = functional_call(network, weights, (image_chw[None],))
        return value(logits_nk[0], beside)

    gradients = vmap(grad(of_sample), in_dims=(None, 0, 0))
    sums = {key: torch.zeros_like(weight) for key, weight in weights.items()}
    with evaluating(network):
        for start in range(0, len(images_nchw), chunk):
            images, beside = images_nchw[start : start + chunk], beside_n[start : start + chunk]
            # Floats before they are traced: a gradient cannot pass through bytes.
            pixels = images if images.is_floating_point() else images.float() / 255
            for key, gradient in gradients(weights, pixels, beside).items():
                sums[key] += size_of(gradient).sum(dim=0)
    return {key: total / len(images_nchw) for key, total in sums.items()}
