"""The panels of the continual benchmark: one labeled set as a stream of experiences.

Classes come in their natural order: experience 1 brings the first fifth of them, experience
2 the next. Where their number does not divide by five, the first experiences bring one more.

Shape suffixes: n training samples, m test samples, k classes, h rows, w columns, c channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.sources import Source
from benchmarks.world import to_nchw
from holdfast.catalog import suggestion
from holdfast.errors import ConfigError
from holdfast.records import Ids, Images
from holdfast.seeds import generator

NUM_EXPERIENCES = 5
LARGEST_CLASS = 5000  # of a long tail
IMBALANCE = 100.0
NOISE = 0.4
GROWTH_ROUNDS = 21
NUM_RAREST = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """One protocol; the same for every method.

    Attributes
    ----------
    name : str
    about : str
        What is hard about it, for people.
    buffer : int
        Exemplars a method may keep.
    epochs : int
        Passes over the new samples of each experience.
    new_batch, memory_batch : int
        New samples and exemplars per step.
    imbalance : float
        Largest class over rarest; 1 leaves the set as it is.
    noise : float
        Share of labels redrawn uniformly over all classes, before the split.
    rounds : int
        Experiences; more than five bring the same groups of classes again, with samples
        that are new, each time as many.
    online : bool
        New samples come in batches, each seen once, and never wait for one another.
    """

    name: str
    about: str
    buffer: int = 500
    epochs: int = 1
    new_batch: int = 64
    memory_batch: int = 64
    imbalance: float = 1.0
    noise: float = 0.0
    rounds: int = NUM_EXPERIENCES
    online: bool = False


PANELS = {
    panel.name: panel
    for panel in (
        Panel(name="clean", about="right labels, all classes as frequent as they are"),
        Panel(name="imbalanced", about="100:1 long tail", imbalance=IMBALANCE, epochs=3),
        Panel(name="noisy", about="40 % of labels redrawn", noise=NOISE),
        Panel(
            name="noisy-imbalanced",
            about="40 % redrawn on a 100:1 long tail",
            imbalance=IMBALANCE,
            noise=NOISE,
            epochs=3,
        ),
        Panel(
            name="online",
            about="batches of 10, one pass",
            buffer=1000,
            new_batch=10,
            memory_batch=10,
            online=True,
        ),
        Panel(name="growth", about="21 experiences, classes come back", rounds=GROWTH_ROUNDS),
    )
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """What a method meets, experience by experience, and what it is judged by.

    Attributes
    ----------
    images_nchw : ndarray of uint8, shape (N, C, H, W)
    labels_n : ndarray of int64, shape (N,)
        As given, wrong ones among them; they decide the experience.
    true_labels_n : ndarray of int64, shape (N,)
    parts : tuple of ndarray of int64
        Rows of each experience, in the order in which they come.
    test_images_mchw : ndarray of uint8, shape (M, C, H, W)
    test_labels_m : ndarray of int64, shape (M,)
        True.
    """

    panel: Panel
    seed: int
    images_nchw: Images
    labels_n: Ids
    true_labels_n: Ids
    parts: tuple[Ids, ...]
    test_images_mchw: Images
    test_labels_m: Ids
    num_classes: int

    @property
    def rarest_classes(self) -> Ids:
        """The three classes with the fewest training samples, by their true labels."""
        counts_k = np.bincount(self.true_labels_n, minlength=self.num_classes)
        return np.argsort(counts_k, kind="stable")[:NUM_RAREST]


def find_panel(name: str) -> Panel:
    """Return a panel by its name.

    Raises
    ------
    ConfigError
        If there is none, with what may have been meant.
    """
    if name not in PANELS:
        raise ConfigError(f"there is no panel {name!r}; {suggestion(name, PANELS)}")
    return PANELS[name]


def build_stream(panel: Panel, source: Source, seed: int) -> Stream:
    """Make the stream of a panel: the same arguments always make the same one.

    Raises
    ------
    ConfigError
        If the set has fewer than five classes, or a class without training images, or too
        few for the panel.
    """
    labels_n = source.train_labels_n
    num_classes = len(source.class_names)
    counts_k = np.bincount(labels_n, minlength=num_classes)
    if num_classes < NUM_EXPERIENCES:
        raise ConfigError(
            f"the set has {num_classes} classes; {NUM_EXPERIENCES} experiences need at least "
            f"{NUM_EXPERIENCES}"
        )
    if not counts_k.all():
        raise ConfigError(
            f"class {int(np.argmin(counts_k))} has no image in train.npz; number the classes "
            "from 0 without gaps"
        )
    kept_n = np.arange(len(labels_n))
    if panel.imbalance > 1:
        sizes_k = long_tail(counts_k, panel.imbalance)
        draw = generator(seed, "continual", "tail").permutation(kept_n)
        chosen = [draw[labels_n[draw] == k][:size] for k, size in enumerate(sizes_k.tolist())]
        kept_n = np.sort(np.concatenate(chosen))
    true_n = labels_n[kept_n]
    given_n = true_n
    if panel.noise:
        given_n = redraw(true_n, panel.noise, num_classes, generator(seed, "continual", "noise"))
    return Stream(
        panel=panel,
        seed=seed,
        images_nchw=to_nchw(source.train_images_n[kept_n]),
        labels_n=given_n,
        true_labels_n=true_n,
        parts=_split(given_n, num_classes, panel.rounds, generator(seed, "continual", "order")),
        test_images_mchw=to_nchw(source.test_images_m),
        test_labels_m=source.test_labels_m,
        num_classes=num_classes,
    )


def long_tail(counts_k: Ids, imbalance: float) -> Ids:
    """Return how many samples of each class stay: 5000 * imbalance^(-r / (K - 1)) of rank r.

    The class of rank r is the r-th of a fixed permutation, the same for every seed. Where a
    class has fewer samples than its rank asks for, all classes shrink by the same factor, so
    that the ratio holds.

    Parameters
    ----------
    counts_k : ndarray of int64, shape (K,)
        What there is of each class, 1 or more.

    Returns
    -------
    ndarray of int64, shape (K,)
        1 or more, at most `counts_k`.

    Examples
    --------
    >>> long_tail(np.full(10, 6000), 100.0).tolist()
    [1796, 645, 1077, 139, 50, 2997, 83, 232, 5000, 387]
    """
    num_classes = len(counts_k)
    class_of_rank = np.random.RandomState(7).permutation(num_classes)  # as published
    share_k = np.empty(num_classes)
    share_k[class_of_rank] = imbalance ** (-np.arange(num_classes) / (num_classes - 1))
    largest = min(float(LARGEST_CLASS), float((counts_k / share_k).min()))
    # A hair more, or a class that may stay whole might lose a sample to rounding.
    sizes_k: Ids = np.maximum(np.floor(largest * share_k + 1e-9), 1).astype(np.int64)
    return sizes_k


def redraw(labels_n: Ids, share: float, num_classes: int, rng: np.random.Generator) -> Ids:
    """Draw a share of the labels anew, uniformly over all classes, the right one included."""
    chosen = rng.permutation(len(labels_n))[: round(share * len(labels_n))]
    redrawn = labels_n.copy()
    redrawn[chosen] = rng.integers(num_classes, size=len(chosen))
    return redrawn


def _split(
    labels_n: Ids, num_classes: int, rounds: int, rng: np.random.Generator
) -> tuple[Ids, ...]:
    """Return the rows of each experience, in random order."""
    groups = np.array_split(np.arange(num_classes), NUM_EXPERIENCES)
    order = rng.permutation(len(labels_n))
    rows = [order[np.isin(labels_n[order], group)] for group in groups]
    if rounds == NUM_EXPERIENCES:
        return tuple(rows)
    # Equally many each time, so that rounds can be compared.
    visits = [len(range(g, rounds, NUM_EXPERIENCES)) for g in range(NUM_EXPERIENCES)]
    size = min(len(group) // times for group, times in zip(rows, visits, strict=True))
    if not size:
        raise ConfigError(f"{rounds} rounds need more training images of each class")
    return tuple(
        rows[r % NUM_EXPERIENCES][size * (r // NUM_EXPERIENCES) :][:size] for r in range(rounds)
    )
