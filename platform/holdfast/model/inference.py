"""What a network says about images, in batches.

Shape suffixes: n images, c channels, h rows, w columns, d embedding dimensions, k classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from holdfast.model.ensemble import Ensemble
from holdfast.model.network import Network, resolve_device
from holdfast.model.spec import NetworkConfig
from holdfast.model.threads import threads_for
from holdfast.records import Floats, Ids, ImageRows


@dataclass(frozen=True, kw_only=True, slots=True)
class Predictions:
    """What a network says about N images.

    Attributes
    ----------
    pred_probs_nk : ndarray of float32, shape (N, K)
        Rows sum to 1.
    embeddings_nd : ndarray of float32, shape (N, D)
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
) -> Predictions:
    """Return probabilities and embeddings of images, linear in their number.

    Parameters
    ----------
    network : Network or Ensemble
        Moved to the device and put into evaluation mode.
    images_nchw : ImageRows of uint8, shape (N, C, H, W)
        An array, or read a batch at a time. No images give arrays of shape (0, K) and (0, D).
    config : NetworkConfig
        Says where, how many images at once and in which precision; the batch size
        changes the result by rounding only.

    Raises
    ------
    ConfigError
        If the machine has no such device.
    """
    place = resolve_device(config.device)
    network = network.to(place).eval()
    if config.channels_last:
        network = network.to(memory_format=torch.channels_last)
    answer = torch.compile(network.answer) if config.compile else network.answer
    num_images, num_classes = len(images_nchw), len(network.class_ids)
    probs_nk = np.empty((num_images, num_classes), np.float32)
    embeddings_nd = np.empty((num_images, network.num_features), np.float32)
    reduced = torch.autocast(place.type, torch.bfloat16, enabled=config.precision == "bfloat16")
    with threads_for(max(images_nchw.shape[2:])), torch.inference_mode(), reduced:
        for start in range(0, num_images, config.batch_size):
            stop = min(start + config.batch_size, num_images)
            batch = torch.from_numpy(images_nchw[start:stop].copy()).to(place)
            logits, embeddings = answer(batch)
            probs_nk[start:stop] = torch.softmax(logits.float(), dim=1).cpu().numpy()
            embeddings_nd[start:stop] = embeddings.float().cpu().numpy()
    return Predictions(
        pred_probs_nk=probs_nk,
        embeddings_nd=embeddings_nd,
        class_ids_k=np.array(network.class_ids, np.int64),
    )
