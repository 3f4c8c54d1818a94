"""The network of all methods and a training loop written by hand.

Shape suffixes: n samples, b samples of a batch, k classes, c channels, h rows, w columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.panels import Stream
from holdfast.records import Floats, Ids, Images
from holdfast.seeds import generator, integer_seed

HIDDEN = 400
LEARNING_RATE = 0.05
# Enough for the network to converge: an upper bound, not a race.
JOINT_EPOCHS = 10
JOINT_BATCH = 128
PREDICTION_BATCH = 1000


class Mlp(nn.Module):
    """Two hidden layers of rectified units on standardised pixels, one logit per class."""

    def __init__(self, num_pixels: int, num_classes: int, *, mean: float, deviation: float) -> None:
        super().__init__()
        self._mean, self._deviation = 255 * mean, 255 * deviation
        self.layers = nn.Sequential(
            nn.Linear(num_pixels, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, num_classes),
        )

    def forward(self, images_nchw: Tensor) -> Tensor:
        """Return logits, shape (N, K), of uint8 images."""
        logits: Tensor = self.layers(
            (images_nchw.flatten(1).float() - self._mean) / self._deviation
        )
        return logits


def build_mlp(stream: Stream) -> Mlp:
    """Return a new network for the images and classes of a stream."""
    pixels = stream.images_nchw
    return Mlp(
        int(np.prod(pixels.shape[1:])),
        stream.num_classes,
        mean=float(pixels.mean()) / 255,
        deviation=max(float(pixels.std()) / 255, 1e-3),
    )


class JointMethod:
    """All data at once with true labels: the upper bound.

    Everything is learned before the first measurement; nothing is left for later.
    """

    def __init__(self, stream: Stream, _recipe: Path) -> None:
        self._stream = stream
        seed = integer_seed(generator(stream.seed, "continual", "joint"))
        self._generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        self._model = build_mlp(stream)
        self._rows = np.concatenate(stream.parts)

    def learn(self, number: int) -> None:
        """Train on everything the first time."""
        if number > 1:
            return
        images = torch.from_numpy(self._stream.images_nchw[self._rows])
        labels = torch.from_numpy(self._stream.true_labels_n[self._rows])
        optimizer = torch.optim.SGD(self._model.parameters(), lr=LEARNING_RATE)
        for _ in range(JOINT_EPOCHS):
            order = torch.randperm(len(labels), generator=self._generator)
            for drawn in order.split(JOINT_BATCH):
                step(self._model, optimizer, images[drawn], labels[drawn])

    def predict(self, images_nchw: Images) -> tuple[Floats, Ids]:
        """Return probabilities of all classes."""
        return probabilities(self._model, images_nchw), np.arange(self._stream.num_classes)

    def state_bytes(self) -> int:
        """Return the bytes of the weights and of all samples, which the next update needs."""
        pixels = int(np.prod(self._stream.images_nchw.shape[1:]))
        kept = len(self._rows) * (pixels + self._stream.labels_n.itemsize)
        return tensor_bytes(self._model.state_dict().values()) + kept


def step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images_bchw: Tensor, labels_b: Tensor
) -> None:
    """Take one step of plain cross-entropy."""
    optimizer.zero_grad()
    functional.cross_entropy(model(images_bchw), labels_b).backward()
    optimizer.step()


@torch.inference_mode()
def probabilities(model: nn.Module, images_nchw: Images) -> Floats:
    """Return probabilities, shape (N, K), from a model in evaluation mode."""
    training = model.training
    model.eval()
    batches = torch.from_numpy(images_nchw).split(PREDICTION_BATCH)
    probs_nk = torch.cat([torch.softmax(model(batch), dim=1) for batch in batches])
    model.train(training)
    found: Floats = probs_nk.numpy()
    return found


def tensor_bytes(tensors: Iterable[Tensor]) -> int:
    """Return how many bytes tensors hold."""
    return sum(tensor.element_size() * tensor.numel() for tensor in tensors)
