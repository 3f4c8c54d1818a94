"""Old answers are kept: those of the champion, or those exemplars got when they came.

Shape suffixes: b samples of a batch, k classes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from holdfast.learning.parts import Part, Update
from holdfast.learning.settings import LearningConfig
from holdfast.model.network import Network

# Shows how the champion ranks classes it does not answer; the paper's value.
TEMPERATURE = 2.0
# Answers are remembered for samples whose label is at least this much trusted, more likely
# right than wrong: a network that has learned a wrong label answers with it.
TRUSTED = 0.5


class ChampionDistillation(Part):
    """Holds the champion's answers on what is trained now.

    Notes
    -----
    A copy of the network as it was, in evaluation mode, looks at the same images; what the
    two believe about the classes it knew is compared at a temperature of 2, by
    Kullback-Leibler divergence (the paper's cross-entropy without its constant), times the
    temperature squared [2]_ so that gradients are of the size of the loss's. Labels play no
    part. A first update has no champion. Cost: one forward pass of the batch, in full
    precision, a step; memory: the weights once more. Nothing changes between steps, so
    there is nothing to restore.

    References
    ----------
    .. [1] Li and Hoiem, "Learning without Forgetting", IEEE TPAMI 2018.
    .. [2] Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015.
    """

    name = "lwf"

    def __init__(self, past: Mapping[str, Tensor], config: LearningConfig) -> None:  # noqa: ARG002  built alike
        self._weight = config.consolidation.distillation
        self._champion: Network | None = None

    def begin(self, update: Update) -> None:
        """Copy the network as it is."""
        if update.num_old:
            self._champion = copy.deepcopy(update.network).eval().requires_grad_(False)

    def penalty(self, update: Update) -> Tensor | None:
        """Return how far the answers have moved, a mean over the batch; None at first."""
        if self._champion is None:
            return None
        with torch.no_grad():
            old_bk = self._champion(update.batch.images_bchw)[:, : update.num_old]
        divergence = functional.kl_div(
            torch.log_softmax(update.logits_bk[:, : update.num_old] / TEMPERATURE, dim=1),
            torch.log_softmax(old_bk / TEMPERATURE, dim=1),
            reduction="batchmean",
            log_target=True,
        )
        return self._weight * TEMPERATURE**2 * divergence


class DarkExperience(Part):
    """Holds the logits that exemplars were remembered with (DER++).

    Notes
    -----
    Replayed samples are in the main loss with their labels, as in DER++; here their logits,
    on newly augmented images, are held to the remembered ones by the square of the
    difference, averaged over the batch and all classes. Both are taken from their mean over
    the remembered classes first: what is added to all logits alike changes no answer, so
    log-probabilities may be remembered just as well. Of the two batches of the paper one is
    drawn for both. Classes that came after an answer are left out of it: nothing is known
    about them [2]_. Cost: O(batch times classes) a step.

    References
    ----------
    .. [1] Buzzega et al., "Dark Experience for General Continual Learning: a Strong, Simple
       Baseline", NeurIPS 2020.
    .. [2] Boschini et al., "Class-Incremental Continual Learning into the eXtended
       DER-verse", IEEE TPAMI 2023.
    """

    name = "der"

    def __init__(self, past: Mapping[str, Tensor], config: LearningConfig) -> None:  # noqa: ARG002  built alike
        self._weight = config.consolidation.distillation

    def penalty(self, update: Update) -> Tensor:
        """Return the mean square over the batch; what is not remembered counts as kept."""
        stored_bk = update.material.logits_nk[update.batch.rows_b]
        known_bk = ~stored_bk.isnan()
        # Zeros first: a product with NaN would be NaN, even one with 0.
        apart_bk = (update.logits_bk - stored_bk.nan_to_num()) * known_bk
        num_b1 = known_bk.sum(dim=1, keepdim=True)
        shift_b1 = apart_bk.sum(dim=1, keepdim=True) / num_b1.clamp(min=1)
        squares_bk = (apart_bk - shift_b1).square() * known_bk
        return self._weight * squares_bk.mean()
