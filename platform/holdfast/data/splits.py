"""Leak-free holdout: whole groups, every class, the same choice every time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import ConfigError, IngestError
from holdfast.records import Ids

UNDECIDED, TRAIN, HOLDOUT = -1, 0, 1

# Below this many training labels a class is not learned at all, so judging it on a
# holdout is pointless: training comes first.
MIN_TRAINING_LABELS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """How images are read, and how many are kept for evaluation.

    Attributes
    ----------
    image_size : int
        Side in pixels that every image is scaled to, 8 to 1024.
    channels : int
        3 (color) or 1 (gray).
    classes : tuple of str
        Classes known from the start, in the order of their ids. Others are added in
        the order in which labels name them.
    retired : tuple of str
        Classes no longer in use: annotators are not offered them, and an answer that names
        one is set aside. What was learned about them stays.
    holdout_fraction : float
        Share of each class's labels kept for evaluation, in [0, 0.5]. A class gives
        none before training has 8.
    group_near_duplicates : bool
        Whether images that are copies of each other but for size, light, a slight crop or
        compression are found when they are taken in, and kept on one side of the split. A group
        that the source names comes first.
    """

    image_size: int = 32
    channels: int = 3
    classes: tuple[str, ...] = ()
    retired: tuple[str, ...] = ()
    holdout_fraction: float = 0.1
    group_near_duplicates: bool = True

    def __post_init__(self) -> None:
        if not 8 <= self.image_size <= 1024:
            raise ConfigError(
                f"data.image_size must be 8 to 1024 pixels, got {self.image_size}; 32 suits "
                "small pictures, 224 photographs"
            )
        if self.channels not in (1, 3):
            raise ConfigError(
                f"data.channels must be 3 (color) or 1 (gray), got {self.channels}; set one of them"
            )
        if not 0 <= self.holdout_fraction <= 0.5:
            raise ConfigError(
                f"data.holdout_fraction must be in [0, 0.5], got {self.holdout_fraction}; "
                "0.1 keeps a tenth of the labels for evaluation"
            )
        if any(not name.strip() or not name.isprintable() for name in self.classes):
            raise ConfigError(
                f"data.classes must be printable names, got {list(self.classes)}; "
                "remove the empty or unprintable one"
            )
        if len(set(self.classes)) < len(self.classes):
            raise ConfigError(
                f"data.classes names a class twice: {list(self.classes)}; remove one of them"
            )
        both = sorted(set(self.classes) & set(self.retired))
        if both:
            raise ConfigError(
                f"data.retired and data.classes both name {both[0]!r}; remove it from one of them"
            )


def choose_holdout(
    uids: Sequence[str],
    groups: Sequence[str | None],
    class_ids_n: Ids,
    decided_n: NDArray[np.int8],
    *,
    fraction: float,
    seed: int,
    known_train_k: Ids | None = None,
    known_holdout_k: Ids | None = None,
) -> NDArray[np.bool_]:
    """Choose which samples are kept for evaluation and never trained on.

    Groups (a slide, a patient, a track) stay whole, unlabeled members included. Each
    class gives `fraction` of its labels, rounded up, as long as training keeps
    MIN_TRAINING_LABELS of it. The choice follows from the seed and from hashes of uid
    and group, not from the order of the rows.

    Parameters
    ----------
    uids : sequence of str, length N
        Hexadecimal sha256 of each image.
    groups : sequence of str or None, length N
        None: the sample is its own group.
    class_ids_n : ndarray of int64, shape (N,)
        -1 for a sample without a label.
    decided_n : ndarray of int8, shape (N,)
        TRAIN or HOLDOUT where it is settled (earlier, or by the manifest), which
        settles the whole group; else UNDECIDED.
    fraction : float
        In [0, 0.5].
    seed : int
    known_train_k, known_holdout_k : ndarray of int64, shape (K,), optional
        Labels per class that either side has already, beyond these rows.

    Returns
    -------
    ndarray of bool, shape (N,)
        True: holdout.

    Raises
    ------
    IngestError
        If a group is settled to both sides.

    Notes
    -----
    O(N log N), and one step of Python per group of two samples or more. A group is
    taken when that brings the holdout closer to its target, each class weighing the
    same, so a large group may overshoot by less than half of its size.
    """
    if not len(uids):
        return np.zeros(0, dtype=np.bool_)
    unit_n, named, hash_u = _units(uids, groups, seed)
    num_units = len(hash_u)
    decided_u = np.full(num_units, UNDECIDED, dtype=np.int8)
    in_train, in_holdout = (
        np.bincount(unit_n, decided_n == side, num_units) > 0 for side in (TRAIN, HOLDOUT)
    )
    both = np.flatnonzero(in_train & in_holdout)
    if len(both):
        name = named[both[0]] if both[0] < len(named) else "of one image"
        raise IngestError(
            f"group {name!r} would be in both train and holdout ({len(both)} such groups); "
            "put the whole group on one side in the manifest's split column"
        )
    decided_u[in_train], decided_u[in_holdout] = TRAIN, HOLDOUT

    labeled = class_ids_n >= 0
    held = labeled & (decided_u[unit_n] == HOLDOUT)
    known = [np.zeros(0, np.int64) if k is None else k for k in (known_train_k, known_holdout_k)]
    num_classes = max(int(class_ids_n.max()) + 1, *(len(counts) for counts in known))
    train_k, held_k = (np.pad(counts, (0, num_classes - len(counts))) for counts in known)
    total_k = train_k + held_k + np.bincount(class_ids_n[labeled], minlength=num_classes)
    held_k = held_k + np.bincount(class_ids_n[held], minlength=num_classes)
    target_k = np.ceil(fraction * total_k - 1e-9).astype(np.int64)
    target_k = np.minimum(target_k, np.maximum(total_k - MIN_TRAINING_LABELS, 0))

    open_n = labeled & (decided_u[unit_n] == UNDECIDED)
    in_group = open_n & (unit_n < len(named))
    order = np.flatnonzero(in_group)
    order = order[np.lexsort((unit_n[order], hash_u[unit_n[order]]))]
    cuts = np.flatnonzero(np.diff(unit_n[order])) + 1
    for rows in np.split(order, cuts) if len(order) else []:
        classes, counts = np.unique(class_ids_n[rows], return_counts=True)
        gap, spare = (target_k - held_k)[classes], (total_k - held_k)[classes] - counts
        closer = ((np.abs(gap - counts) - np.abs(gap)) / total_k[classes]).sum() < 0
        if closer and (spare >= MIN_TRAINING_LABELS).all():
            decided_u[unit_n[rows[0]]] = HOLDOUT
            held_k[classes] += counts

    single = np.flatnonzero(open_n & ~in_group)
    single = single[np.lexsort((hash_u[unit_n[single]], class_ids_n[single]))]
    class_s = class_ids_n[single]
    rank_s = np.arange(len(single)) - np.searchsorted(class_s, class_s)
    decided_u[unit_n[single[rank_s < (target_k - held_k)[class_s]]]] = HOLDOUT
    return np.asarray(decided_u[unit_n] == HOLDOUT)


def _units(
    uids: Sequence[str], groups: Sequence[str | None], seed: int
) -> tuple[Ids, list[str], NDArray[np.uint64]]:
    """Return each row's unit, the names of the named units (they come first), and hashes."""
    is_named = np.fromiter((bool(group) for group in groups), dtype=np.bool_, count=len(uids))
    named, of_row = np.unique([group for group in groups if group], return_inverse=True)
    names = [str(name) for name in named]
    # The same image twice is one sample, so it must be one unit.
    lone = [uid for uid, grouped in zip(uids, is_named.tolist(), strict=True) if not grouped]
    lone_uids, lone_of_row = np.unique(np.asarray(lone, dtype="S64"), return_inverse=True)
    unit_n = np.empty(len(uids), dtype=np.int64)
    unit_n[is_named] = of_row
    unit_n[~is_named] = len(names) + lone_of_row
    keys = [name.encode() for name in names] + lone_uids.tolist()
    salt = str(seed).encode()
    hashes = b"".join(hashlib.blake2b(key, digest_size=8, key=salt).digest() for key in keys)
    return unit_n, names, np.frombuffer(hashes, dtype=np.uint64)
