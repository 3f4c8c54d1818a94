"""A small update, step by step, without the learner around it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from holdfast.learning.losses import soft_targets
from holdfast.learning.material import Material
from holdfast.learning.parts import Batch, Update
from holdfast.learning.replay import Buffer
from holdfast.learning.settings import LearningConfig, settle
from holdfast.model.network import build_network
from holdfast.model.spec import NetworkConfig

CPU = torch.device("cpu")


def _network(classes=(0, 1, 2), name="mlp", seed=3):
    config = NetworkConfig(name=name, width=4)
    return build_network(config, channels=1, image_size=8, class_ids=classes, seed=seed)


def _images(num):
    return np.random.default_rng(0).integers(0, 256, (num, 1, 8, 8), np.uint8)


def _update(labels, new, *, network=None, num_old=0, trust=None, logits=None, **settings):
    """`labels` of the rows, and which of them are new; the others are exemplars."""
    num = len(labels)
    labels = np.array(labels, np.int64)
    trust_n = np.ones(num, np.float32) if trust is None else np.array(trust, np.float32)
    network = network or _network()
    merged = Buffer(
        sample_ids_n=np.arange(num),
        labels_n=labels,
        images_nchw=_images(num),
        trust_n=trust_n,
        weights_n=trust_n,
        keys_n=np.linspace(0.1, 0.9, num),
        logits_nk=np.zeros((num, 0), np.float32) if logits is None else np.float32(logits),
    )
    update = Update(
        config=settle(LearningConfig(**settings), NetworkConfig(name="mlp")),
        network=network,
        num_old=num_old,
        material=Material(merged, np.array(new, np.int64), network.class_ids, CPU),
        device=CPU,
        rng=np.random.default_rng(1),
        generator=torch.Generator().manual_seed(1),
    )
    update.steps = 10
    update.loss = lambda logits, targets, _: -(targets * torch.log_softmax(logits, dim=1)).sum(1)
    update.optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    return update


def _batch(update, rows, num_new, *, trust=None, smoothing=0.0):
    """Look at rows, new ones first; what the network says is left in the update."""
    rows = torch.tensor(rows)
    positions = update.material.columns(rows)
    update.batch = Batch(
        rows_b=rows,
        images_bchw=update.material.pixels(rows),
        targets_bk=soft_targets(positions, update.material.num_classes, smoothing),
        positions_b=positions,
        trust_b=torch.ones(len(rows)) if trust is None else torch.tensor(trust),
        num_new=num_new,
    )
    update.logits_bk = update.network(update.batch.images_bchw)
    return update.batch


def _step(update, part, rows, num_new):
    """Take one step as the runner does."""
    part.prepare(update)
    batch = _batch(update, rows, num_new)
    targets, logits = part.retarget(update, batch.targets_bk), part.mask(update, update.logits_bk)
    losses = update.loss(logits, targets, update.share_done)
    factor = part.weigh(update, losses)
    weights = batch.trust_b if factor is None else batch.trust_b * factor
    total = (weights * losses).sum() / weights.sum()
    penalty = part.penalty(update)
    update.optimizer.zero_grad()
    (total if penalty is None else total + penalty).backward()
    part.correct(update)
    update.optimizer.step()
    part.stepped(update)
    update.done += 1
    return total.detach()


@pytest.fixture
def small():
    """Builders of a small network, an update, a batch and a step."""
    return SimpleNamespace(
        network=_network, images=_images, update=_update, batch=_batch, step=_step
    )
