"""Training batches: drawn by class and trust, gathered and augmented whole.

Shape suffixes: n samples, b samples of a batch, c channels, h rows, w columns, k classes.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from holdfast.learning import augmentation
from holdfast.learning.learner import LearningConfig
from holdfast.learning.losses import soft_targets
from holdfast.learning.replay import Buffer
from holdfast.learning.sampling import BatchSampler
from holdfast.model.network import Network


class Batches:
    """As many batches as there are steps, gathered whole from bytes in memory.

    Parameters
    ----------
    merged : Buffer
        The experience and the exemplars together.
    network : Network
        Knows every class among the labels.
    rng : Generator
        Draws the samples.
    generator : torch.Generator
        On the CPU; draws the augmentation.

    Attributes
    ----------
    images_nchw : Tensor of uint8, shape (N, C, H, W)
        On the device.
    shares_k : Tensor of float, shape (K,)
        Share of each of the network's classes in the batches; sums to 1.

    Notes
    -----
    Each batch is a list of images, floats in [0, 1] of shape (B, C, H, W), and target
    probabilities, shape (B, K). No sample is touched alone: a step costs the same however
    many samples there are.
    """

    def __init__(
        self,
        merged: Buffer,
        network: Network,
        config: LearningConfig,
        rng: np.random.Generator,
        generator: torch.Generator,
        device: torch.device,
    ) -> None:
        class_ids = np.array(network.class_ids, np.int64)
        order = np.argsort(class_ids)
        positions_n = order[np.searchsorted(class_ids[order], merged.labels_n)]
        self.sampler = BatchSampler(positions_n, merged.weights_n, balance=config.class_balance)
        self.images_nchw = torch.from_numpy(merged.images_nchw).to(device)
        self._positions_n = torch.from_numpy(positions_n).to(device)
        self._num_classes = len(class_ids)
        self._config, self._rng, self._generator = config, rng, generator
        self.shares_k = torch.zeros(self._num_classes, device=device)
        drawn_k = np.unique(positions_n[merged.weights_n > 0])
        self.shares_k[torch.from_numpy(drawn_k)] = torch.from_numpy(self.sampler.shares_k).to(
            self.shares_k
        )

    def __len__(self) -> int:
        return self._config.steps

    def __iter__(self) -> Iterator[list[Tensor]]:
        for _ in range(len(self)):
            drawn = torch.from_numpy(self.sampler.draw(self._config.batch_size, self._rng))
            drawn = drawn.to(self.images_nchw.device)
            images = self.images_nchw[drawn].float() / 255
            targets = soft_targets(
                self._positions_n[drawn], self._num_classes, self._config.label_smoothing
            )
            if self._config.augment:
                images = augmentation.perturb(images, self._generator)
            if self._config.mixup:
                images, targets = augmentation.mix(
                    images, targets, self._config.mixup, self._generator
                )
            yield [images, targets]
