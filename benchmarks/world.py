"""A world that moves, made from a labeled set: long tail, wrong labels, classes to come.

Shape suffixes: n training samples, m test samples, k classes, a annotators.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.sources import Source
from holdfast.errors import ConfigError
from holdfast.records import Ids, Images
from holdfast.seeds import generator

INITIAL_FRACTION = 0.15


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """What a loop meets: a pool that grows and a record that is partly wrong.

    Attributes
    ----------
    source : Source
        Training samples are those kept in the long tail, without exact duplicates.
    given_n : ndarray of int64, shape (N,)
        Label on record at the start; -1 where there is none.
    arrival_n : ndarray of int64, shape (N,)
        Round (from 1) before which the sample enters the pool.
    start_classes : tuple of int
        Classes with a label at the start.
    answer_noise : float
        Share of wrong answers, in [0, 1]; unused where the source has votes.
    """

    source: Source
    seed: int
    given_n: Ids
    arrival_n: Ids
    start_classes: tuple[int, ...]
    answer_noise: float
    rounds: int
    budget: int

    @property
    def true_counts_k(self) -> Ids:
        """Training samples per true class: what makes a class rare."""
        return np.bincount(self.source.train_labels_n, minlength=len(self.source.class_names))

    def answers(self, samples_n: Ids, rng: np.random.Generator) -> Ids:
        """Return one answer per sample: a class, or -1 where nobody can tell."""
        source = self.source
        if source.votes_na is not None:
            votes = source.votes_na[samples_n]
            first = np.argmax(votes >= 0, axis=1)
            return votes[np.arange(len(votes)), first]
        true = source.train_labels_n[samples_n]
        return flip(true, rng.random(len(true)) < self.answer_noise, len(source.class_names), rng)


def flip(
    labels_n: Ids, wrong_n: NDArray[np.bool_], num_classes: int, rng: np.random.Generator
) -> Ids:
    """Replace the marked labels by another class, drawn uniformly."""
    shift = rng.integers(1, num_classes, size=len(labels_n))
    return np.where(wrong_n, (labels_n + shift) % num_classes, labels_n)


def build(
    source: Source,
    *,
    seed: int,
    imbalance: float | None,
    label_noise: float,
    answer_noise: float,
    start_classes: int,
    rounds: int,
    budget: int,
) -> World:
    """Make a world: the same arguments always make the same one.

    Parameters
    ----------
    imbalance : float or None
        Largest class over rarest, at least 1; class sizes fall off exponentially in a
        random order. None leaves the set as it is.
    label_noise : float
        Share of the labels at the start that are wrong, in [0, 1]; unused where the
        source brings its own given labels.
    start_classes : int
        Classes with labels at the start; the others enter the pool one after another
        from round 2 on.

    Raises
    ------
    ConfigError
        If an argument is out of range.
    """
    num_classes = len(source.class_names)
    for option, value, least in (("--rounds", rounds, 1), ("--budget", budget, 1)):
        if value < least:
            raise ConfigError(f"{option} should be {least} or more, not {value}")
    for option, share in (("--label-noise", label_noise), ("--answer-noise", answer_noise)):
        if not 0 <= share < 1:
            raise ConfigError(f"{option} should be at least 0 and below 1, not {share}")
    if not 2 <= start_classes <= num_classes:
        raise ConfigError(
            f"--start-classes should lie between 2 and the {num_classes} classes of the set, "
            f"not {start_classes}"
        )
    rng = generator(seed, "world", "build")
    kept = _distinct(source.train_images_n)
    if imbalance is not None:
        kept = long_tailed(source.train_labels_n, kept, imbalance, num_classes, rng)
    source = take(source, kept)
    labels = source.train_labels_n

    class_order = rng.permutation(num_classes)
    start = np.sort(class_order[:start_classes])
    later = class_order[start_classes:]
    arrival_k = np.ones(num_classes, np.int64)
    arrival_k[later] = np.minimum(
        2 + np.arange(len(later)) * max(rounds - 2, 1) // max(len(later), 1), rounds
    )
    given = _given_labels(source, start, label_noise, rng)
    return World(
        source=source,
        seed=seed,
        given_n=given,
        arrival_n=arrival_k[labels],
        start_classes=tuple(start.tolist()),
        answer_noise=answer_noise,
        rounds=rounds,
        budget=budget,
    )


def encode(images_n: Images) -> list[bytes]:
    """Return each image as the bytes of a PNG file."""
    payloads = []
    for image in images_n:
        buffer = io.BytesIO()
        Image.fromarray(image.squeeze()).save(buffer, "PNG", compress_level=1)
        payloads.append(buffer.getvalue())
    return payloads


def to_nchw(images_n: Images) -> Images:
    """Return (N, H, W) or (N, H, W, C) images as (N, C, H, W)."""
    if images_n.ndim == 3:
        return images_n[:, None]
    return np.ascontiguousarray(images_n.transpose(0, 3, 1, 2))


def long_tailed(
    labels_n: Ids, kept: Ids, imbalance: float, num_classes: int, rng: np.random.Generator
) -> Ids:
    """Return those of the kept samples that make class sizes fall off exponentially.

    Raises
    ------
    ConfigError
        If `imbalance`, the largest class over the rarest, is below 1.
    """
    if imbalance < 1:
        raise ConfigError(f"--imbalance should be at least 1, not {imbalance}")
    ranks = rng.permutation(num_classes)
    share_k = imbalance ** (-ranks / max(num_classes - 1, 1))
    counts_k = np.bincount(labels_n[kept], minlength=num_classes)
    largest = (counts_k / share_k).min()
    sizes_k = np.maximum(np.round(largest * share_k), 1).astype(np.int64)
    chosen = [rng.permutation(kept[labels_n[kept] == k])[:size] for k, size in enumerate(sizes_k)]
    return np.sort(np.concatenate(chosen))


def take(source: Source, kept: Ids) -> Source:
    """Return a set with some of its training samples."""
    return Source(
        train_images_n=source.train_images_n[kept],
        train_labels_n=source.train_labels_n[kept],
        test_images_m=source.test_images_m,
        test_labels_m=source.test_labels_m,
        class_names=source.class_names,
        given_labels_n=None if source.given_labels_n is None else source.given_labels_n[kept],
        votes_na=None if source.votes_na is None else source.votes_na[kept],
        groups_n=None if source.groups_n is None else source.groups_n[kept],
    )


def _distinct(images_n: Images) -> Ids:
    """Positions of the first of each set of identical images, in order."""
    flat = np.ascontiguousarray(images_n).reshape(len(images_n), -1)
    rows = flat.view([("", flat.dtype, flat.shape[1])]).ravel()
    return np.sort(np.unique(rows, return_index=True)[1])


def _given_labels(source: Source, start: Ids, label_noise: float, rng: np.random.Generator) -> Ids:
    labels = source.train_labels_n
    given = np.full(len(labels), -1, np.int64)
    eligible = np.isin(labels, start)
    if source.given_labels_n is not None:
        eligible &= np.isin(source.given_labels_n, start)
    order = rng.permutation(np.flatnonzero(eligible))
    # One sample of each class comes first and keeps its label, so that every start
    # class is known at the start however rare it is.
    _, first = np.unique(labels[order], return_index=True)
    protected = order[np.sort(first)]
    rest = np.delete(order, np.sort(first))
    wanted = max(round(INITIAL_FRACTION * len(labels)), len(protected))
    labeled = np.concatenate([protected, rest[: wanted - len(protected)]])
    if source.given_labels_n is not None:
        given[labeled] = source.given_labels_n[labeled]
        return given
    given[labeled] = labels[labeled]
    num_wrong = min(round(label_noise * len(labeled)), len(labeled) - len(protected))
    wrong = rng.choice(labeled[len(protected) :], size=num_wrong, replace=False)
    position = np.searchsorted(start, labels[wrong])
    shift = rng.integers(1, len(start), size=num_wrong)
    given[wrong] = start[(position + shift) % len(start)]
    return given
