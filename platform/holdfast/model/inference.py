"""What a network says about images, in batches.

Shape suffixes: n images, c channels, h rows, w columns, d embedding dimensions, k classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from holdfast.model.ensemble import Ensemble
from holdfast.model.network import Network, resolve_device
from holdfast.model.spec import NetworkConfig
from holdfast.model.threads import threads_for
from holdfast.records import Floats, Ids, ImageRows, Images

# Images read at once where they are not in memory: one read of a store costs too much for a
# batch.
_CHUNK = 1024

Answer = Callable[[Tensor], tuple[Tensor, ...]]
Told = Callable[[int, int], None]


class Allocate(Protocol):
    """Makes an array to be filled, like `numpy.empty`."""

    def __call__(self, shape: tuple[int, ...], dtype: type[Any], /) -> NDArray[Any]:
        """Return an array of any content."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """What a network says about N images.

    Attributes
    ----------
    pred_probs_nk : ndarray of float32, shape (N, K)
        Rows sum to 1.
    embeddings_nd : ndarray of float32, shape (N, D)
        Shape (N, 0) where nobody wanted them.
    class_ids_k : ndarray of int64, shape (K,)
        What each column of `pred_probs_nk` stands for.
    """

    pred_probs_nk: Floats
    embeddings_nd: Floats
    class_ids_k: Ids

    @property
    def guesses_n(self) -> Ids:
        """Class id of the most probable class of each image."""
        guesses: Ids = self.class_ids_k[self.pred_probs_nk.argmax(axis=1)]
        return guesses


def predict(
    network: Network | Ensemble,
    images_nchw: ImageRows,
    *,
    config: NetworkConfig,
    keep_embeddings: bool = True,
    allocate: Allocate = np.empty,
    told: Told | None = None,
) -> Predictions:
    """Return probabilities and embeddings of images, linear in their number.

    Parameters
    ----------
    network : Network or Ensemble
        Moved to the device and put into evaluation mode.
    images_nchw : ImageRows of uint8, shape (N, C, H, W)
        An array, or rows that are read ahead while the network works. No images give arrays
        of shape (0, K) and (0, D).
    config : NetworkConfig
        Says where, how many images at once and in which precision; the batch size
        changes the result by rounding only.
    keep_embeddings : bool
        Without them a pool of many images takes N K numbers and no more.
    allocate : callable
        Where the result goes; `numpy.empty`, or what maps a file.
    told : callable, optional
        Told (done, total) as images are done.

    Raises
    ------
    ConfigError
        If the machine has no such device.
    """
    network = prepared(network, config)
    answer = torch.compile(network.answer) if config.compile else network.answer
    num_images, num_classes = len(images_nchw), len(network.class_ids)
    kept = network.num_features if keep_embeddings else 0
    probs_nk = allocate((num_images, num_classes), np.float32)
    embeddings_nd = allocate((num_images, kept), np.float32)

    def said(batch: Tensor) -> tuple[Tensor, ...]:
        logits, embeddings = answer(batch)
        return torch.softmax(logits.float(), dim=1), embeddings[:, :kept]

    for rows, (probs, embeddings) in answers(said, images_nchw, config, told):
        probs_nk[rows], embeddings_nd[rows] = probs, embeddings
    return Predictions(
        pred_probs_nk=probs_nk,
        embeddings_nd=embeddings_nd,
        class_ids_k=np.array(network.class_ids, np.int64),
    )


def prepared(network: Network | Ensemble, config: NetworkConfig) -> Network | Ensemble:
    """Return the network on its device, in its layout, ready to answer."""
    network = network.to(resolve_device(config.device)).eval()
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)
    return network


def answers(
    answer: Answer, images_nchw: ImageRows, config: NetworkConfig, told: Told | None = None
) -> Iterator[tuple[slice, tuple[NDArray[Any], ...]]]:
    """Yield what is answered about each batch, with the rows it is about.

    The result of a batch is fetched when the next one is on its way, so that a GPU need not
    wait for the copy; on the CPU the order makes no difference.
    """
    place = resolve_device(config.device)
    reduced = config.precision == "bfloat16"
    pending: tuple[slice, tuple[Tensor, ...]] | None = None
    for rows, batch in _batches(images_nchw, config.batch_size, pinned=place.type == "cuda"):
        with (
            threads_for(max(images_nchw.shape[2:])),
            torch.inference_mode(),
            torch.autocast(place.type, torch.bfloat16, enabled=reduced),
        ):
            result = answer(batch.to(place, non_blocking=True))
        if pending is not None:
            yield _fetched(*pending)
        pending = rows, result
        if told is not None:
            told(rows.stop, len(images_nchw))
    if pending is not None:
        yield _fetched(*pending)


def _fetched(rows: slice, result: tuple[Tensor, ...]) -> tuple[slice, tuple[NDArray[Any], ...]]:
    # Half-precision numbers have no place in numpy.
    kept = (one.float() if one.is_floating_point() else one for one in result)
    return rows, tuple(one.cpu().numpy() for one in kept)


def _batches(
    images_nchw: ImageRows, batch_size: int, *, pinned: bool
) -> Iterator[tuple[slice, Tensor]]:
    """Yield images batch by batch; the next chunk is read while one is worked on."""
    num = len(images_nchw)
    chunk = num if isinstance(images_nchw, np.ndarray) else max(_CHUNK, batch_size)

    def read(start: int) -> Images:
        return images_nchw[slice(start, min(start + chunk, num))]

    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as reader:
        coming = reader.submit(read, 0)
        for first in range(0, num, max(chunk, 1)):
            images = coming.result()
            coming = reader.submit(read, first + chunk)
            for start in range(0, len(images), batch_size):
                # A copy: an array may be a map of a file that must not be written.
                batch = torch.from_numpy(images[start : start + batch_size].copy())
                yield (
                    slice(first + start, first + start + len(batch)),
                    batch.pin_memory() if pinned else batch,
                )
