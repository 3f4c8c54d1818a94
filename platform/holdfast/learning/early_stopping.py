"""The candidate is the state of the network that was best for rare classes.

Shape suffixes: n samples, k classes, v samples that are set aside.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from holdfast.data.balance import rare_classes
from holdfast.learning.evaluating import evaluating
from holdfast.learning.material import Material
from holdfast.learning.parts import Part, Update
from holdfast.model.network import Network
from holdfast.records import Ids

SHARE = 5  # one sample in so many is set aside
MEASURES = 10  # in an update
TRUSTED = 0.5  # labels below are no measure of anything
_BATCH = 256


class EarlyStopping(Part):
    """Keeps the weights with the best mean recall of rare classes on samples set aside.

    A fifth of the trusted samples of each class with five or more is not trained on. The
    classes measured are those with fewer than half of an equal share; all that have samples
    set aside where none of those has. Where no class has any, nothing is measured, and the
    last weights stay. At equal recall the later weights do.

    Notes
    -----
    Cost: ten forward passes over the samples set aside, and a copy of the weights. It
    measures the weights as they are after a step, and once more those it finds at the end,
    which are an average where averaging is on.

    References
    ----------
    .. [1] Prechelt, "Early Stopping - But When?", in Neural Networks: Tricks of the Trade,
       1998.
    """

    name = "early_stopping"

    def __init__(self) -> None:
        self._rows_v: Ids = np.zeros(0, np.int64)
        self._rare_k: Tensor
        self._best: dict[str, Tensor] = {}
        self._recall = -1.0

    def begin(self, update: Update) -> None:
        """Set samples aside."""
        material = update.material
        # Samples only: synthetic images are no measure of anything.
        known = slice(material.num_samples)
        trusted_m = np.where(material.trust_n[known] >= TRUSTED, material.positions_n[known], -1)
        self._rows_v = rows_to_set_aside(trusted_m, material.sample_ids_m)
        counts_k = np.bincount(trusted_m + 1, minlength=material.num_classes + 1)[1:]
        measured_k = np.zeros(material.num_classes, np.bool_)
        measured_k[material.positions_n[self._rows_v]] = True
        rare_k = counts_k > 0
        rare_k[rare_k] = rare_classes(counts_k[rare_k])
        rare_k &= measured_k
        chosen_k = rare_k if rare_k.any() else measured_k
        self._rare_k = torch.from_numpy(chosen_k).to(update.device)
        material.set_aside(self._rows_v)

    def stepped(self, update: Update) -> None:
        """Measure from time to time."""
        if update.done and update.done % max(1, update.steps // MEASURES) == 0:
            self._measure(update.network, update.material)

    def finish(self, update: Update) -> Mapping[str, Tensor]:
        """Leave the best weights in the network."""
        self._measure(update.network, update.material)
        if self._best:
            update.network.load_state_dict(self._best)
        return {}

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the best weights so far and their recall."""
        found = {f"weights.{key}": value for key, value in self._best.items()}
        return found | {"recall": torch.tensor(self._recall)}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back the best weights so far."""
        self._recall = float(tensors["recall"])
        self._best = {
            key.removeprefix("weights."): value.clone()
            for key, value in tensors.items()
            if key.startswith("weights.")
        }

    def _measure(self, network: Network, material: Material) -> None:
        if not len(self._rows_v):
            return
        recall = mean_recall(network, material, self._rows_v, self._rare_k)
        if recall >= self._recall:
            self._recall = recall
            self._best = {
                key: value.detach().clone() for key, value in network.state_dict().items()
            }


def rows_to_set_aside(positions_n: Ids, sample_ids_n: Ids) -> Ids:
    """Return rows of a fifth of each class, rounded down.

    A scrambled sample id decides, not chance: a sample that was set aside stays so in later
    updates, mostly. Else the network would be measured on what it knows by heart.

    Parameters
    ----------
    positions_n : ndarray of int64, shape (N,)
        Class of each sample; below 0 for those that are not to be set aside.
    sample_ids_n : ndarray of int64, shape (N,)

    Returns
    -------
    ndarray of int64, shape (V,)
        Ascending.

    Notes
    -----
    Cost: O(N log N).
    """
    keys_n = _scrambled(sample_ids_n)
    order = np.lexsort((keys_n, positions_n))
    sorted_n = positions_n[order]
    firsts = np.searchsorted(sorted_n, sorted_n, side="left")
    sizes = np.searchsorted(sorted_n, sorted_n, side="right") - firsts
    chosen = (np.arange(len(order)) - firsts < sizes // SHARE) & (sorted_n >= 0)
    return np.sort(order[chosen])


@torch.no_grad()
def mean_recall(network: Network, material: Material, rows_v: Ids, classes_k: Tensor) -> float:
    """Mean recall of some classes on rows of the material, in [0, 1]; low is bad.

    Parameters
    ----------
    network : Network
        Left in the mode it is in.
    material : Material
    rows_v : ndarray of int64, shape (V,)
        Holds a sample of each of the classes.
    classes_k : Tensor of bool, shape (K,)
        Which classes count; one or more.
    """
    with evaluating(network):
        guesses = [network(part).argmax(dim=1) for part in material.in_turn(rows_v, _BATCH)]
    positions_v = material.columns(torch.from_numpy(rows_v).to(material.device))
    counts_k = positions_v.bincount(minlength=len(classes_k))
    hits_k = positions_v[torch.cat(guesses) == positions_v].bincount(minlength=len(classes_k))
    return float((hits_k[classes_k] / counts_k[classes_k]).mean())


def _scrambled(ids_n: Ids) -> NDArray[np.uint64]:
    """Return a well mixed 64-bit number for each id (the finalizer of splitmix64)."""
    mixed = ids_n.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
