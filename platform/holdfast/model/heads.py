"""Linear heads that grow: one row of weights per class.

Shape suffixes: n images, d embedding dimensions, k classes.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

# Small, so that a class nobody has trained yet says nothing about any image.
DEVIATION = 0.01

Head = TypeVar("Head", bound=nn.Linear)


class ScaledHead(nn.Linear):
    """A linear head with a learned factor on each class's logit.

    Classes that are rare in training get rows of smaller norm, whatever the features; the
    factor gives them a way out that leaves the rows, and so the other classes, alone.

    References
    ----------
    .. [1] Kang et al., "Decoupling Representation and Classifier for Long-Tailed
       Recognition", ICLR 2020 (learnable weight scaling; here it includes the bias).
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.scale = nn.Parameter(torch.ones(out_features))

    def forward(self, embeddings_nd: Tensor) -> Tensor:
        """Return logits, shape (N, K)."""
        return super().forward(embeddings_nd) * self.scale


def new_head(num_features: int, num_classes: int) -> nn.Linear:
    """Return a head that says nothing yet, drawn from the global generator."""
    head = nn.Linear(num_features, num_classes)
    nn.init.normal_(head.weight, std=DEVIATION)
    nn.init.zeros_(head.bias)
    return head


def grown(head: nn.Linear, num_fresh: int, generator: torch.Generator) -> nn.Linear:
    """Return the head with rows for more classes; the logits of the others stay as they are."""
    rows = torch.empty(num_fresh, head.in_features).normal_(std=DEVIATION, generator=generator)
    tensors = {"weight": rows, "bias": torch.zeros(num_fresh)}
    if isinstance(head, ScaledHead):
        tensors["scale"] = torch.ones(num_fresh)
    old = head.state_dict()
    return _filled(
        type(head),
        {key: torch.cat([old[key], value.to(old[key])]) for key, value in tensors.items()},
    )


def scaled(head: nn.Linear) -> ScaledHead:
    """Return the head with a factor of 1 on each logit, the same where it has factors."""
    if isinstance(head, ScaledHead):
        return head
    ones = torch.ones_like(head.bias)
    return _filled(ScaledHead, head.state_dict() | {"scale": ones})


def unscaled(head: nn.Linear) -> nn.Linear:
    """Return a head that answers the same without factors of its own."""
    if not isinstance(head, ScaledHead):
        return head
    weight = head.weight.detach() * head.scale.detach()[:, None]
    return _filled(nn.Linear, {"weight": weight, "bias": head.bias.detach() * head.scale.detach()})


def _filled(kind: type[Head], tensors: dict[str, Tensor]) -> Head:
    num_classes, num_features = tensors["weight"].shape
    with torch.device("meta"):
        head = kind(num_features, num_classes)
    head = head.to_empty(device=tensors["weight"].device)
    head.load_state_dict(tensors)
    return head
