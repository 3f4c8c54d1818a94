"""A second head that learns to predict how hard each sample is.

Shape suffixes: b samples of a batch, d embedding dimensions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from holdfast.learning.parts import Part, Update

MARGIN = 1.0


class DifficultyHead(Part):
    """Predicts which of two samples has the larger loss, from their embeddings.

    The task shapes the features: what makes a sample hard must stay visible in them. Pairs
    are compared, as the loss itself shrinks while the network learns.

    Parameters
    ----------
    past : mapping of str to Tensor
        What `finish` returned after the last update; empty for a first one.

    References
    ----------
    .. [1] Yoo and Kweon, "Learning Loss for Active Learning", CVPR 2019.
    """

    name = "difficulty"

    def __init__(self, past: Mapping[str, Tensor]) -> None:
        self._past = dict(past)
        self._head: nn.Linear

    def begin(self, update: Update) -> None:
        """Make the head: the one of the last update, or one that predicts nothing yet."""
        self._head = nn.Linear(update.network.num_features, 1, device="meta")
        self._head = self._head.to_empty(device=update.device)
        # From zero on the features feel nothing until the head has learned something.
        zeros = {key: torch.zeros_like(value) for key, value in self._head.state_dict().items()}
        self._head.load_state_dict(self._past or zeros)

    def parameters(self) -> Iterable[nn.Parameter]:
        """Return the weights of the head."""
        return self._head.parameters()

    def penalty(self, update: Update) -> Tensor | None:
        """Return the loss of the predictions, 0 or more."""
        predicted_b = self._head(update.embeddings_bd.float()).squeeze(1)
        return update.config.imbalance.difficulty * ranking_loss(predicted_b, update.losses_b)

    def finish(self, _update: Update) -> Mapping[str, Tensor]:
        """Return the weights of the head."""
        return {key: value.detach().clone() for key, value in self._head.state_dict().items()}


def ranking_loss(predicted_b: Tensor, losses_b: Tensor) -> Tensor:
    """Mean hinge loss of pairs whose losses are predicted in the wrong order, 0 or more.

    The first half of the batch is compared with the second, back to front; a batch of odd
    size leaves its middle out. A batch of one gives 0.

    Parameters
    ----------
    predicted_b : Tensor, shape (B,)
    losses_b : Tensor, shape (B,)
        Without gradient.
    """
    num = len(predicted_b) // 2
    if not num:
        return predicted_b.sum() * 0
    gaps = predicted_b[:num] - predicted_b.flip(0)[:num]
    orders = torch.sign(losses_b[:num] - losses_b.flip(0)[:num])
    return functional.relu(MARGIN * orders.abs() - orders * gaps).mean()
