"""The exemplar buffer: copies of past samples, every class its share.

Shape suffixes: n samples, k classes, c channels, h rows, w columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Experience, Floats, Ids, Images

PREFIX = "buffer."


@dataclass(frozen=True, kw_only=True, slots=True)
class Buffer:
    """Exemplars, ordered by sample id; nothing here changes, updates give a new buffer.

    Attributes
    ----------
    sample_ids_n, labels_n : ndarray of int64, shape (N,)
    images_nchw : ndarray of uint8, shape (N, C, H, W)
        Copies: no past dataset is kept alive.
    weights_n : ndarray of float32, shape (N,)
        Trust in each label, in [0, 1].
    keys_n : ndarray of float64, shape (N,)
        Drawn once per sample, uniform in [0, 1); when a class must shrink the lowest
        leave, so those that stay are a uniform draw of all that ever came.
    """

    sample_ids_n: Ids
    labels_n: Ids
    images_nchw: Images
    weights_n: Floats
    keys_n: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.sample_ids_n)

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the arrays under the names that `read_buffer` reads."""
        return {PREFIX + field.name: getattr(self, field.name) for field in fields(self)}


def empty_buffer(image_shape: tuple[int, int, int]) -> Buffer:
    """Return a buffer without exemplars, for images of (C, H, W)."""
    return Buffer(
        sample_ids_n=np.zeros(0, np.int64),
        labels_n=np.zeros(0, np.int64),
        images_nchw=np.zeros((0, *image_shape), np.uint8),
        weights_n=np.zeros(0, np.float32),
        keys_n=np.zeros(0, np.float64),
    )


def read_buffer(tensors: Mapping[str, NDArray[Any]]) -> Buffer:
    """Return the buffer among the tensors of a learner state."""
    return Buffer(**{field.name: tensors[PREFIX + field.name] for field in fields(Buffer)})


def merge(buffer: Buffer, experience: Experience, rng: np.random.Generator) -> Buffer:
    """Return the buffer with the experience in it and what was withdrawn out of it.

    Where both hold a sample, the experience's label and trust replace the buffer's; the
    sample keeps its key. The result may exceed the capacity: it is what the learner
    trains on; `shrink` brings it back afterwards.

    Raises
    ------
    ValueError
        If the experience holds a sample twice.

    Notes
    -----
    Cost: O((N + M) log(N + M)) for N exemplars and M new samples, whatever came before.
    """
    ids_m, first_m = np.unique(experience.sample_ids_n, return_index=True)
    if len(ids_m) != len(experience):
        raise ValueError(
            f"experience {experience.number} holds {len(experience)} samples "
            f"but only {len(ids_m)} different ones"
        )
    position = np.searchsorted(buffer.sample_ids_n, ids_m)
    known = np.zeros(len(ids_m), bool)
    inside = position < len(buffer)
    known[inside] = buffer.sample_ids_n[position[inside]] == ids_m[inside]
    keys_m = rng.random(len(ids_m))
    keys_m[known] = buffer.keys_n[position[known]]

    stays = ~np.isin(buffer.sample_ids_n, np.r_[ids_m, experience.withdrawn_ids])
    sample_ids = np.r_[buffer.sample_ids_n[stays], ids_m]
    order = np.argsort(sample_ids, kind="stable")
    return Buffer(
        sample_ids_n=sample_ids[order],
        labels_n=np.r_[buffer.labels_n[stays], experience.labels_n[first_m]][order],
        images_nchw=np.concatenate([buffer.images_nchw[stays], experience.images_nchw[first_m]])[
            order
        ],
        weights_n=np.r_[buffer.weights_n[stays], experience.weights_n[first_m]][order],
        keys_n=np.r_[buffer.keys_n[stays], keys_m][order],
    )


def shrink(buffer: Buffer, capacity: int) -> Buffer:
    """Return the buffer within its capacity, every class its fair share.

    Raises
    ------
    ValueError
        If the capacity is negative.

    Notes
    -----
    A reservoir per class, by random keys: of all samples of a class that ever came, each
    is as likely to be here. Cost: O(N log N) in exemplars.

    References
    ----------
    .. [1] Vitter, "Random Sampling with a Reservoir", ACM TOMS 1985.
    .. [2] Chrysakis and Moens, "Online Continual Learning from Imbalanced Data",
       ICML 2020 (class-balancing reservoir).
    """
    if len(buffer) <= capacity:
        return buffer
    _, classes_n, counts_k = np.unique(buffer.labels_n, return_inverse=True, return_counts=True)
    # Highest key of each class first; the rank is the place in that line.
    line = np.lexsort((-buffer.keys_n, classes_n))
    starts_k = np.cumsum(counts_k) - counts_k
    rank = np.empty(len(buffer), np.int64)
    rank[line] = np.arange(len(buffer)) - starts_k[classes_n[line]]
    stays = rank < fair_shares(counts_k, capacity)[classes_n]
    return Buffer(**{field.name: getattr(buffer, field.name)[stays] for field in fields(Buffer)})


def fair_shares(counts_k: Ids, capacity: int) -> Ids:
    """Split a capacity over classes: equally, and what one cannot use goes to the others.

    Parameters
    ----------
    counts_k : ndarray of int64, shape (K,)
        What each class could fill, 0 or more.
    capacity : int
        0 or more.

    Returns
    -------
    ndarray of int64, shape (K,)
        At most `counts_k`; sums to the capacity, or to all there is if that is less.

    Examples
    --------
    >>> fair_shares(np.array([4000, 400, 40]), 600).tolist()
    [280, 280, 40]
    """
    if capacity < 0:
        raise ValueError(f"a buffer's capacity should be 0 or more, not {capacity}")
    counts = np.sort(counts_k)
    # After filling the i smallest classes, the rest share what is left equally.
    left = capacity - (np.cumsum(counts) - counts)
    levels = left // np.arange(len(counts), 0, -1)
    unmet = np.flatnonzero(counts > levels)
    if not len(unmet):
        return counts_k.astype(np.int64)
    shares: Ids = np.minimum(counts_k, levels[unmet[0]]).astype(np.int64)
    spare = np.flatnonzero(counts_k > shares)[: capacity - int(shares.sum())]
    shares[spare] += 1
    return shares
