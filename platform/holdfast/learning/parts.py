"""What an update is made of: the batch, the state of affairs, and parts that take a hand in it.

Shape suffixes: n samples, b samples of a batch, c channels, h rows, w columns, k classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from holdfast.learning.settings import LearningConfig, parts_of_batch
from holdfast.model.network import Network

if TYPE_CHECKING:
    from holdfast.learning.material import Material


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What one step learns from; new samples first, then exemplars.

    Attributes
    ----------
    rows_b : Tensor of int64, shape (B,)
        Rows of the material, on its device.
    images_bchw : Tensor of float, shape (B, C, H, W)
        In [0, 1], augmented.
    targets_bk : Tensor of float, shape (B, K)
        Target probabilities, one column per logit.
    positions_b : Tensor of int64, shape (B,)
        Column of each sample's label.
    trust_b : Tensor of float, shape (B,)
        Weight of each sample in the loss, 0 or more; low = doubtful. 1 where the sampler
        has accounted for trust already.
    num_new : int
        Samples that come from the experience; the others come from the buffer.
    """

    rows_b: Tensor
    images_bchw: Tensor
    targets_bk: Tensor
    positions_b: Tensor
    trust_b: Tensor
    num_new: int

    def __len__(self) -> int:
        return len(self.rows_b)


class Update:
    """One update while it runs.

    Attributes
    ----------
    config : LearningConfig
    network : Network
        The one that is trained; its head has grown already.
    num_old : int
        Logits the head had before this update; new classes come after them.
    material : Material
        Everything there is to train on.
    device : torch.device
    rng : numpy Generator
    generator : torch Generator
        On the CPU. Both are saved and restored with the update.
    steps, done : int
        Steps in all, and those taken.
    batch_size : int
        Samples of a step, as planned; the last one may have fewer.
    rehearses_from : int
        First step that is taken on exemplars alone; `steps` where there is none.
    loss : callable
        (logits_bk, targets_bk, share of the update that is done) to losses, shape (B,).
    optimizer : torch Optimizer
        Its groups hold the learning rate of the step.
    batch, embeddings_bd, logits_bk, losses_b : Batch, Tensor, Tensor, Tensor
        Of the step that is being taken; logits in full precision; losses cut off from the
        graph, from `penalty` on.
    total_loss : Tensor
        Sum of the losses since it was last looked at; not a number once one of them was.
    """

    def __init__(
        self,
        *,
        config: LearningConfig,
        network: Network,
        num_old: int,
        material: Material,
        device: torch.device,
        rng: np.random.Generator,
        generator: torch.Generator,
    ) -> None:
        self.config, self.network, self.num_old = config, network, num_old
        self.material, self.device = material, device
        self.rng, self.generator = rng, generator
        self.steps = self.rehearses_from = self.done = 0
        self.batch_size = sum(parts_of_batch(config))
        self.loss: Callable[[Tensor, Tensor, float], Tensor]
        self.optimizer: torch.optim.Optimizer
        self.batch: Batch
        self.embeddings_bd: Tensor
        self.logits_bk: Tensor
        self.losses_b: Tensor
        self.total_loss = torch.zeros((), device=device)

    @property
    def share_done(self) -> float:
        """In [0, 1): share of the steps that is done."""
        return self.done / self.steps

    @property
    def rehearses(self) -> bool:
        """Whether the step that comes is taken on exemplars alone."""
        return self.done >= self.rehearses_from

    def weights(self) -> dict[str, torch.nn.Parameter]:
        """Return the weights that are trained, by name."""
        return {
            key: weight for key, weight in self.network.named_parameters() if weight.requires_grad
        }


class Part:
    """Something that takes a hand in an update; every hook does nothing unless overridden.

    The hooks stand in the order in which they are called, `prepare` to `stepped` once per
    step. Whatever a part remembers between steps must be in `tensors`, or a resumed update
    would differ from one that was never stopped.
    """

    name: str

    def begin(self, update: Update) -> None:
        """Look at the network and the material before the first step.

        Called again, with the same arguments, when an update is resumed; `restore` follows.
        """

    def parameters(self) -> Iterable[torch.nn.Parameter]:
        """Return weights of the part's own that the optimizer trains with the network's."""
        return ()

    def prepare(self, update: Update) -> None:
        """Look at what comes before the batch of a step is drawn."""

    def recall(self, update: Update, new: Batch, num: int) -> Tensor | None:
        """Return `num` rows of the buffer to replay beside the new samples, None for a draw."""
        return None

    def mask(self, update: Update, logits_bk: Tensor) -> Tensor:
        """Return the logits that the main loss sees."""
        return logits_bk

    def retarget(self, update: Update, targets_bk: Tensor) -> Tensor:
        """Return the targets that the main loss sees."""
        return targets_bk

    def weigh(self, update: Update, losses_b: Tensor) -> Tensor | None:
        """Return a factor, shape (B,), on the weight of each sample in the main loss."""
        return None

    def penalty(self, update: Update) -> Tensor | None:
        """Return what is added to the loss of this step."""
        return None

    def correct(self, update: Update) -> None:
        """Change the gradients, in `.grad` of the weights, before the optimizer uses them."""

    def stepped(self, update: Update) -> None:
        """Look at the weights the step has led to; the gradients are still there."""

    def finish(self, update: Update) -> Mapping[str, Tensor]:
        """Return what the next update needs, by the name it has in the learner state."""
        return {}

    def tensors(self) -> Mapping[str, Tensor]:
        """Return what `restore` needs to go on in the middle of an update."""
        return {}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `tensors` returned."""
