"""The exemplar buffer: copies of past samples, within a capacity.

Shape suffixes: n samples, m samples of an experience, k columns of logits, c channels,
h rows, w columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from holdfast.learning import exemplars
from holdfast.learning.streaming import JoinedImages
from holdfast.records import Experience, Floats, Ids, ImageRows

if TYPE_CHECKING:
    from holdfast.learning.settings import BufferConfig

PREFIX = "buffer."


@dataclass(frozen=True, kw_only=True, slots=True)
class Buffer:
    """Exemplars, ordered by sample id; nothing here changes, updates give a new buffer.

    Attributes
    ----------
    sample_ids_n, labels_n : ndarray of int64, shape (N,)
    images_nchw : ImageRows of uint8, shape (N, C, H, W)
        Copies: no past dataset is kept alive. Only between `merge` and `shrink` may it be
        other than an array.
    trust_n : ndarray of float32, shape (N,)
        Trust in each label as it came, in [0, 1]; low = doubtful.
    weights_n : ndarray of float32, shape (N,)
        Trust in each label by now, in [0, 1]: `trust_n`, or less since `rescore`. It
        decides who stays.
    keys_n : ndarray of float64, shape (N,)
        Drawn once per sample, uniform in [0, 1), so that who stays is a draw of all that
        ever came.
    logits_nk : ndarray of float32, shape (N, K)
        Answers remembered with exemplars, NaN where there is none. K is 0 until one is,
        and grows with the head.
    """

    sample_ids_n: Ids
    labels_n: Ids
    images_nchw: ImageRows
    trust_n: Floats
    weights_n: Floats
    keys_n: NDArray[np.float64]
    logits_nk: Floats

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
        trust_n=np.zeros(0, np.float32),
        weights_n=np.zeros(0, np.float32),
        keys_n=np.zeros(0, np.float64),
        logits_nk=np.zeros((0, 0), np.float32),
    )


def read_buffer(tensors: Mapping[str, NDArray[Any]]) -> Buffer:
    """Return the buffer among the tensors of a learner state."""
    return Buffer(**{field.name: tensors[PREFIX + field.name] for field in fields(Buffer)})


def capacity_of(
    config: BufferConfig, image_shape: tuple[int, int, int], num_logits: int = 0
) -> int:
    """Return how many exemplars may be kept: the smaller of samples and MiB.

    Parameters
    ----------
    image_shape : (int, int, int)
        Channels, rows, columns of one exemplar, a byte each.
    num_logits : int
        Answers remembered with each exemplar, 0 or more.

    Examples
    --------
    >>> from holdfast.learning.settings import BufferConfig
    >>> capacity_of(BufferConfig(capacity=2000, megabytes=1.0), (3, 32, 32))
    337
    """
    if not config.megabytes:
        return config.capacity
    one = empty_buffer(image_shape)
    scalars = sum(
        array.itemsize
        for array in (one.sample_ids_n, one.labels_n, one.trust_n, one.weights_n, one.keys_n)
    )
    size = int(np.prod(image_shape)) + scalars + num_logits * one.logits_nk.itemsize
    return min(config.capacity, int(config.megabytes * 2**20) // size)


def merge(buffer: Buffer, experience: Experience, rng: np.random.Generator) -> Buffer:
    """Return the buffer with the experience in it and what was withdrawn out of it.

    Where both hold a sample, the experience's label and trust replace the buffer's; the
    sample keeps its key, and its remembered answer if the label is the same. The result may
    exceed the capacity: it is what the learner trains on; `shrink` brings it back
    afterwards. Images of an experience that are not an array are left where they are, to be
    read when they are asked for.

    Raises
    ------
    ValueError
        If the experience holds a sample twice.

    Notes
    -----
    Cost: O((N + M) log(N + M)) for N exemplars and M new samples, whatever came before;
    each image is copied once.
    """
    ids_m = np.unique(experience.sample_ids_n)
    if len(ids_m) != len(experience):
        raise ValueError(
            f"experience {experience.number} holds {len(experience)} samples "
            f"but only {len(ids_m)} different ones"
        )
    keys_by_id = rng.random(len(ids_m))
    gone = np.concatenate([ids_m, experience.withdrawn_ids])
    old = np.flatnonzero(~np.isin(buffer.sample_ids_n, gone))
    sample_ids = np.sort(np.concatenate([buffer.sample_ids_n[old], ids_m]))
    old_at = np.searchsorted(sample_ids, buffer.sample_ids_n[old])
    new_at = np.searchsorted(sample_ids, experience.sample_ids_n)
    again = np.flatnonzero(np.isin(buffer.sample_ids_n, ids_m))
    again_at = np.searchsorted(sample_ids, buffer.sample_ids_n[again])

    def joined(held: NDArray[Any], came: NDArray[Any]) -> NDArray[Any]:
        array = np.empty((len(sample_ids), *held.shape[1:]), held.dtype)
        array[old_at], array[new_at] = held[old], came
        return array

    labels = joined(buffer.labels_n, experience.labels_n)
    keys = joined(buffer.keys_n, keys_by_id[np.searchsorted(ids_m, experience.sample_ids_n)])
    keys[again_at] = buffer.keys_n[again]
    nothing = np.full((len(ids_m), buffer.logits_nk.shape[1]), np.nan, np.float32)
    logits = joined(buffer.logits_nk, nothing)
    same = labels[again_at] == buffer.labels_n[again]
    logits[again_at[same]] = buffer.logits_nk[again[same]]
    held, came = buffer.images_nchw[:], experience.images_nchw
    images: ImageRows
    if isinstance(came, np.ndarray):
        images = joined(held, came)
    else:
        images = JoinedImages(held, old, old_at, came, new_at)
    return Buffer(
        sample_ids_n=sample_ids,
        labels_n=labels,
        images_nchw=images,
        trust_n=joined(buffer.trust_n, experience.weights_n),
        weights_n=joined(buffer.weights_n, experience.weights_n),
        keys_n=keys,
        logits_nk=logits,
    )


def take(buffer: Buffer, rows_m: Ids) -> Buffer:
    """Return copies of some exemplars, by ascending rows, their images in memory."""
    return Buffer(**{field.name: getattr(buffer, field.name)[rows_m] for field in fields(Buffer)})


def in_memory(buffer: Buffer) -> Buffer:
    """Return the buffer with its images as an array."""
    return replace(buffer, images_nchw=buffer.images_nchw[:])


def staying(
    buffer: Buffer,
    capacity: int,
    *,
    policy: str = "class_balanced",
    embeddings_nd: Floats | None = None,
    losses_n: Floats | None = None,
) -> Ids:
    """Return the rows, ascending, that stay within a capacity; while there is room, all do.

    Labels are trusted by `weights_n`: where a draw decides, a sample stays as often as its
    weight says, and one of weight 0 makes room first. Every policy but `reservoir` gives
    each class an equal share, and what one class cannot use to the others.

    Parameters
    ----------
    capacity : int
        0 or more.
    policy : str
        `class_balanced`, `reservoir`, `herding`, `loss_aware`; see `BufferConfig`.
    embeddings_nd : ndarray of float32, shape (N, D), optional
        Of every exemplar; `herding` needs them.
    losses_n : ndarray of float32, shape (N,), optional
        Of every exemplar, 0 or more; `loss_aware` needs them.

    Raises
    ------
    ValueError
        If the capacity is negative, the policy unknown, or what it needs is missing.

    Notes
    -----
    Cost: O(N log N) in exemplars; `herding` O(m n d) for each class, see
    `exemplars.herded`.

    References
    ----------
    .. [1] Vitter, "Random Sampling with a Reservoir", ACM TOMS 1985.
    .. [2] Chrysakis and Moens, "Online Continual Learning from Imbalanced Data",
       ICML 2020 (class-balancing reservoir).
    """
    if len(buffer) <= capacity:
        return np.arange(len(buffer))
    labels, weights, keys = buffer.labels_n, buffer.weights_n, buffer.keys_n
    if policy == "class_balanced":
        stays = exemplars.drawn(labels, weights, exemplars.priorities(keys, weights), capacity)
    elif policy == "reservoir":
        alike = np.zeros_like(labels)
        stays = exemplars.drawn(alike, weights, exemplars.priorities(keys, weights), capacity)
    elif policy == "loss_aware":
        losses = _of_every_exemplar(losses_n, "losses_n", policy, len(buffer))
        favor = weights * exemplars.hardness(labels, losses)
        stays = exemplars.drawn(labels, weights, exemplars.priorities(keys, favor), capacity)
    elif policy == "herding":
        embeddings = _of_every_exemplar(embeddings_nd, "embeddings_nd", policy, len(buffer))
        stays = exemplars.herded(labels, weights, embeddings, capacity)
    else:
        raise ValueError(
            "a buffer's policy should be class_balanced, reservoir, herding or loss_aware, "
            f"not {policy!r}"
        )
    return np.flatnonzero(stays)


def shrink(
    buffer: Buffer,
    capacity: int,
    *,
    policy: str = "class_balanced",
    embeddings_nd: Floats | None = None,
    losses_n: Floats | None = None,
) -> Buffer:
    """Return the buffer with the exemplars that stay; itself if all do. See `staying`."""
    stay = staying(buffer, capacity, policy=policy, embeddings_nd=embeddings_nd, losses_n=losses_n)
    return buffer if len(stay) == len(buffer) else take(buffer, stay)


def remember(buffer: Buffer, logits_nk: Floats) -> Buffer:
    """Return the buffer with new answers: a row without NaN replaces what was remembered.

    Parameters
    ----------
    logits_nk : ndarray of float32, shape (N, K)
        One row per exemplar, NaN where there is nothing to remember; K is at least the
        columns there are. Answers given before a class was known keep NaN for it.

    Raises
    ------
    ValueError
        If rows or columns are too few.
    """
    num, known = buffer.logits_nk.shape
    if len(logits_nk) != num or logits_nk.shape[1] < known:
        raise ValueError(
            f"answers should be {num} rows of at least {known} columns, not {logits_nk.shape}"
        )
    kept = np.full(logits_nk.shape, np.nan, np.float32)
    kept[:, :known] = buffer.logits_nk
    fresh = ~np.isnan(logits_nk).any(axis=1)
    kept[fresh] = logits_nk[fresh]
    return replace(buffer, logits_nk=kept)


def _of_every_exemplar(values: Floats | None, name: str, policy: str, num: int) -> Floats:
    if values is None or len(values) != num:
        found = "nothing" if values is None else f"{len(values)} rows"
        raise ValueError(f"policy {policy} needs {name} of all {num} exemplars, not {found}")
    return values
