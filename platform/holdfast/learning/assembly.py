"""Which parts take a hand in an update, as its settings say."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from holdfast.learning.averaging import Averaging
from holdfast.learning.consolidation import ewc, mas
from holdfast.learning.difficulty import DifficultyHead
from holdfast.learning.distillation import ChampionDistillation, DarkExperience
from holdfast.learning.early_stopping import EarlyStopping
from holdfast.learning.learner import LearnerState
from holdfast.learning.noise import SmallLoss, SoftLabels
from holdfast.learning.parts import Part
from holdfast.learning.rehearsal import (
    AsymmetricCrossEntropy,
    GradientProjection,
    InterferenceRetrieval,
)
from holdfast.learning.settings import LearningConfig
from holdfast.learning.synaptic import SynapticIntelligence
from holdfast.learning.two_stage import TwoStage

Past = Mapping[str, Tensor]

# By the names that `combinations.STRATEGIES` gives them; the others need no part.
_PARTS: dict[str, Callable[[Past, LearningConfig], Part]] = {
    "agem": GradientProjection,
    "der": DarkExperience,
    "er_ace": AsymmetricCrossEntropy,
    "ewc": ewc,
    "lwf": ChampionDistillation,
    "mas": mas,
    "mir": InterferenceRetrieval,
    "si": SynapticIntelligence,
}


def build_parts(
    config: LearningConfig,
    names: tuple[str, ...],
    state: LearnerState | None,
    device: torch.device,
) -> list[Part]:
    """Return the parts of an update, in the order in which they act.

    Parameters
    ----------
    names : tuple of str
        The way of rehearsing, and the ways of holding on.
    state : LearnerState or None
        Holds what each part left behind at the end of the last update.
    """
    parts: list[Part] = []
    imbalance, noise = config.imbalance, config.noise
    if imbalance.two_stage:
        parts.append(TwoStage())
    if config.optimizer.averaging:
        parts.append(Averaging(config.optimizer.averaging))
    if imbalance.early_stopping:
        parts.append(EarlyStopping())
    if imbalance.difficulty:
        parts.append(DifficultyHead(_past(state, DifficultyHead.name, device)))
    if noise.soft_labels:
        parts.append(SoftLabels())
    if noise.small_loss:
        parts.append(SmallLoss())
    for name in names:
        if name in _PARTS:
            parts.append(_PARTS[name](_past(state, name, device), config))
    return parts


def _past(state: LearnerState | None, name: str, device: torch.device) -> dict[str, Tensor]:
    start = f"{name}."
    tensors = {} if state is None else state.tensors
    return {
        key[len(start) :]: torch.from_numpy(value.copy()).to(device)
        for key, value in tensors.items()
        if key.startswith(start)
    }
