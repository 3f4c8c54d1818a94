"""What an update leaves behind: weights, exemplars, and what its parts will need.

Shape suffixes: n samples, d embedding dimensions, k classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from holdfast.learning import replay
from holdfast.learning.combinations import STRATEGIES, parts_of
from holdfast.learning.distillation import TRUSTED
from holdfast.learning.learner import LearnerState
from holdfast.learning.parts import Part, Update
from holdfast.learning.prototypes import use_prototypes
from holdfast.learning.replay import Buffer
from holdfast.learning.rescoring import describe_buffer, rescore
from holdfast.learning.settings import LearningConfig
from holdfast.model.ensemble import earlier_members
from holdfast.model.inference import predict
from holdfast.model.network import describe, weights_of
from holdfast.model.spec import NetworkConfig
from holdfast.records import Experience, Floats


def keep(
    update: Update,
    parts: Sequence[Part],
    merged: Buffer,
    state: LearnerState | None,
    experience: Experience,
    network_config: NetworkConfig,
) -> LearnerState:
    """Return the state that an update ends in.

    Cost: a forward pass over the exemplars; over the experience as well where the policy of
    the buffer asks what the network says about each sample.
    """
    tensors: dict[str, NDArray[Any]] = {}
    for part in parts:
        for key, tensor in part.finish(update).items():
            tensors[f"{part.name}.{key}"] = tensor.detach().cpu().numpy()
    kept = replay.in_memory(_exemplars(update, merged, network_config))
    if update.config.imbalance.prototypes and len(kept):
        said = predict(update.network, kept.images_nchw, config=network_config)
        rows = np.searchsorted(merged.sample_ids_n, kept.sample_ids_n)
        use_prototypes(
            update.network,
            torch.from_numpy(said.embeddings_nd).to(update.device),
            update.material.columns(torch.from_numpy(rows).to(update.device)),
            torch.from_numpy(kept.weights_n).to(update.device),
            update.config.imbalance.prototypes,
        )
    if len(kept):
        kept = _rescored(update, kept, network_config)
    earlier: dict[str, NDArray[Any]] = {}
    counts: list[int] = []
    if state is not None:
        others = update.config.imbalance.ensemble - 1
        earlier, counts = earlier_members(state.tensors, state.header, others)
    before = {"updates": 0, "steps": 0, "samples_seen": 0} if state is None else state.header
    return LearnerState(
        tensors=tensors | weights_of(update.network) | kept.tensors() | earlier,
        header={
            "strategy": update.config.strategy,
            "class_ids": list(update.network.class_ids),
            "experience": experience.number,
            "updates": before["updates"] + 1,
            "steps": before["steps"] + update.steps,
            "samples_seen": before["samples_seen"] + update.steps * update.batch_size,
            "network": describe(network_config),
            "channels": int(kept.images_nchw.shape[1]),
            "image_size": list(kept.images_nchw.shape[2:]),
            "buffer": describe_buffer(
                kept, capacity_of(update.config, merged, update.material.num_classes)
            ),
            "members": counts,
        },
    )


def _exemplars(update: Update, merged: Buffer, network_config: NetworkConfig) -> Buffer:
    config = update.config.buffer
    way = parts_of(update.config.strategy)[0]
    if not STRATEGIES[way].remembers:
        return replay.shrink(merged, 0)
    if way == "joint":
        return merged
    if update.config.stream:
        return replay.take(merged, np.sort(update.material.memory_rows))
    embeddings: Floats | None = None
    losses: Floats | None = None
    room = capacity_of(update.config, merged, update.material.num_classes)
    if len(merged) > room and config.policy in ("herding", "loss_aware"):
        said = predict(update.network, merged.images_nchw, config=network_config)
        if config.policy == "herding":
            embeddings = said.embeddings_nd
        else:
            columns = update.material.positions_n[: len(merged)]
            of_label = said.pred_probs_nk[np.arange(len(merged)), columns]
            losses = -np.log(np.clip(of_label, 1e-12, 1.0))
    return replay.shrink(
        merged, room, policy=config.policy, embeddings_nd=embeddings, losses_n=losses
    )


def _rescored(update: Update, kept: Buffer, network_config: NetworkConfig) -> Buffer:
    """Return the exemplars with the trust in them looked at again, and with their answers."""
    said = predict(update.network, kept.images_nchw, config=network_config)
    kept = rescore(kept, said.pred_probs_nk, said.class_ids_k)
    if not _remembers_answers(update.config):
        return kept
    # A logit is a log-probability up to a constant per sample; the mean of the logits of a
    # linear head is not kept by training, so nothing is lost by choosing it to be 0.
    logits = np.log(np.maximum(said.pred_probs_nk, np.finfo(np.float32).tiny))
    logits -= logits.mean(axis=1, keepdims=True)
    # An answer is stored once, when the exemplar comes, and only where its label is trusted:
    # a network that has learned a wrong label would be held to it.
    answered = ~np.isnan(kept.logits_nk).all(axis=1) if kept.logits_nk.shape[1] else False
    logits[answered | (kept.weights_n < TRUSTED)] = np.nan
    return replay.remember(kept, logits)


def capacity_of(config: LearningConfig, merged: Buffer, num_classes: int) -> int:
    """Return how many exemplars the buffer may hold."""
    shape = merged.images_nchw.shape[1:]
    answers = num_classes if _remembers_answers(config) else 0
    return replay.capacity_of(config.buffer, shape, answers)  # type: ignore[arg-type]  # three of four


def _remembers_answers(config: LearningConfig) -> bool:
    return parts_of(config.strategy)[0] == "der"
