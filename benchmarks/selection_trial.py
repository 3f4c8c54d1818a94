"""One seed of the selection benchmark: a long-tailed pool, a balanced test set, answers.

Shape suffixes: n pool samples, m test samples, d feature dimensions, k classes, p pixels,
a answers, s all samples of a set.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.sources import Place, Source, read_source
from benchmarks.world import flip, to_nchw
from holdfast.errors import ConfigError
from holdfast.model.pixels import average_pixels, principal_components
from holdfast.records import Floats, Ids, Images
from holdfast.seeds import generator

DIMENSIONS = 64  # of the features made of pixels
MOST_PIXELS = 1024  # of an image, up to which all components are computed
NUM_RAREST = 3
FEATURES_FILE = "features.npy"
ENCODERS = {
    "pixels": f"the first {DIMENSIONS} principal components of the pool's pixels, unscaled",
    "platform": "what the product describes samples by: 32 principal components of pixels "
    "averaged to at most 16 x 16, the first one of deviation 1",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What decides a trial, beside its seed.

    Attributes
    ----------
    data : str
        `digits`, or a folder.
    encoder : str
        A key of `ENCODERS`.
    features : Path or None
        Rows for all samples of the set, in place of an encoder.
    imbalance : float or None
        Largest class over rarest, 1 or more; None leaves the set as it is.
    answer_noise : float
        Probability that an answer is wrong, at least 0 and below 1.
    start, budget, rounds : int
        Labels at the start, answers a round, rounds.
    """

    data: str
    encoder: str = "pixels"
    features: Path | None = None
    imbalance: float | None = None
    answer_noise: float = 0.2
    start: int = 50
    budget: int = 50
    rounds: int = 20

    def __post_init__(self) -> None:
        for name in ("start", "budget", "rounds"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} should be 1 or more, not {getattr(self, name)}")
        if not 0 <= self.answer_noise < 1:
            raise ConfigError(
                f"--answer-noise should be at least 0 and below 1, not {self.answer_noise}"
            )
        if self.imbalance is not None and not 1 <= self.imbalance < np.inf:
            raise ConfigError(f"--imbalance should be at least 1, not {self.imbalance}")

    @property
    def checkpoints(self) -> list[int]:
        """Labels paid for whenever the model is measured."""
        return [self.start + self.budget * r for r in range(self.rounds + 1)]

    @property
    def described_by(self) -> str:
        """Where the features come from, in words."""
        if self.features is not None:
            return f"the rows of {self.features}"
        return ENCODERS[self.encoder]


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What every method meets with one seed.

    Attributes
    ----------
    features_nd, test_features_md : ndarray of float32, shapes (N, D) and (M, D)
    true_n, test_labels_m : ndarray of int64, shapes (N,) and (M,)
        The test set has as many samples of each class.
    start_rows : ndarray of int64
        The samples that are labeled first, drawn at random.
    """

    seed: int
    setting: Setting
    features_nd: Floats
    true_n: Ids
    test_features_md: Floats
    test_labels_m: Ids
    num_classes: int
    start_rows: Ids

    @property
    def rarest_classes(self) -> Ids:
        """The three classes with the fewest samples; half of the classes where they are few."""
        counts_k = np.bincount(self.true_n, minlength=self.num_classes)
        return np.argsort(counts_k, kind="stable")[: min(NUM_RAREST, self.num_classes // 2)]

    def answers(self, rows_a: Ids, times_a: Ids) -> Ids:
        """Return the answer to asking about each row for the given time, counted from 0.

        The n-th answer about a sample is the same whoever asks and whenever, so methods
        differ by what they ask alone; answers about one sample are drawn independently. A
        wrong one is any other class, uniformly. Time O(N) for each different time.
        """
        said_a = np.empty(len(rows_a), np.int64)
        for time in np.unique(times_a).tolist():
            rng = generator(self.seed, "selection", "answer", time)
            wrong_n = rng.random(len(self.true_n)) < self.setting.answer_noise
            told_n = flip(self.true_n, wrong_n, self.num_classes, rng)
            said_a[times_a == time] = told_n[rows_a[times_a == time]]
        return said_a


def build_trial(setting: Setting, seed: int) -> Trial:
    """Make a trial: the same arguments always make the same one.

    Raises
    ------
    ConfigError
        If the data or the features cannot be used, or the pool is too small.
    """
    source = _read(setting.data, seed)
    num_classes = len(source.class_names)
    if num_classes < 2:
        raise ConfigError(f"{setting.data} has a single class; there is nothing to tell apart")
    rng = generator(seed, "selection", "pool")
    pool = _draw_pool(source.train_labels_n, num_classes, setting.imbalance, rng)
    wanted = setting.checkpoints[-1]
    if wanted > len(pool):
        told = "" if setting.imbalance is None else f" at --imbalance {setting.imbalance:g}"
        raise ConfigError(
            f"{setting.data}: the pool holds {len(pool)} samples{told}, but {setting.start} at "
            f"the start and {setting.rounds} rounds of {setting.budget} need {wanted}; lower "
            "--rounds, --budget or --imbalance"
        )
    test = _balanced(source.test_labels_m, num_classes, generator(seed, "selection", "test"))
    features_nd, test_features_md = _features(setting, source, pool, test)
    return Trial(
        seed=seed,
        setting=setting,
        features_nd=features_nd,
        true_n=source.train_labels_n[pool],
        test_features_md=test_features_md,
        test_labels_m=source.test_labels_m[test],
        num_classes=num_classes,
        start_rows=generator(seed, "selection", "start").permutation(len(pool))[: setting.start],
    )


def tail_sizes(counts_k: Ids, ranks_k: Ids, imbalance: float) -> Ids:
    """Return how many samples of each class stay: n_max * imbalance^(-rank / (K - 1)).

    n_max is the largest number for which no class has too few samples.

    Examples
    --------
    >>> tail_sizes(np.array([500, 500, 500]), np.array([0, 2, 1]), 100.0).tolist()
    [500, 5, 50]
    """
    share_k = imbalance ** (-ranks_k / max(len(counts_k) - 1, 1))
    # A hair more, or a class that may stay whole might lose a sample to rounding.
    sizes_k = np.floor((counts_k / share_k).min() * share_k + 1e-9)
    return np.asarray(np.maximum(sizes_k, 1), np.int64)


@lru_cache(maxsize=1)
def _read(data: str, seed: int) -> Source:
    if data != "digits" and (Path(data) / "train.npz").is_file():
        return _read_fixed(data)
    return read_source(data, seed)


@lru_cache(maxsize=1)
def _read_fixed(data: str) -> Source:
    """Read a set whose split is given: no seed changes it, and it may be large."""
    return read_source(data, 0)


def _draw_pool(
    labels_n: Ids, num_classes: int, imbalance: float | None, rng: np.random.Generator
) -> Ids:
    counts_k = np.bincount(labels_n, minlength=num_classes)
    if not counts_k.all():
        raise ConfigError(
            f"class {int(np.argmin(counts_k))} has no image to train on; number the classes "
            "from 0 without gaps"
        )
    ranks_k = rng.permutation(num_classes)
    sizes_k = counts_k if imbalance is None else tail_sizes(counts_k, ranks_k, imbalance)
    return _draw(labels_n, sizes_k, rng)


def _balanced(labels_m: Ids, num_classes: int, rng: np.random.Generator) -> Ids:
    counts_k = np.bincount(labels_m, minlength=num_classes)
    if not counts_k.all():
        raise ConfigError(
            f"class {int(np.argmin(counts_k))} has no test image; the test set should hold all "
            "classes"
        )
    return _draw(labels_m, np.full(num_classes, counts_k.min()), rng)


def _draw(labels_n: Ids, sizes_k: Ids, rng: np.random.Generator) -> Ids:
    """Return rows, in order, of which each class has its number."""
    order = rng.permutation(len(labels_n))
    chosen = [order[labels_n[order] == k][:size] for k, size in enumerate(sizes_k.tolist())]
    return np.sort(np.concatenate(chosen))


def _features(setting: Setting, source: Source, pool: Ids, test: Ids) -> tuple[Floats, Floats]:
    if setting.features is not None:
        return _given_features(setting.features, source, pool, test)
    train, other = source.train_images_n[pool], source.test_images_m[test]
    if setting.encoder == "pixels":
        return _pixel_components(_pixels(train), _pixels(other))
    pixels_np, test_pixels_mp = (average_pixels(to_nchw(images)) for images in (train, other))
    embeddings_nd = principal_components(pixels_np)
    # The product describes all its samples at once. Test images should not take part in
    # finding the components; the map is linear, so least squares gives it back.
    mean_p = pixels_np.mean(axis=0)
    map_pd = np.linalg.lstsq(pixels_np - mean_p, embeddings_nd, rcond=None)[0]
    return embeddings_nd, np.asarray((test_pixels_mp - mean_p) @ map_pd, np.float32)


def _pixels(images_n: Images) -> Floats:
    return images_n.reshape(len(images_n), -1).astype(np.float32) / np.float32(255)


def _pixel_components(pixels_np: Floats, test_pixels_mp: Floats) -> tuple[Floats, Floats]:
    """Project both on the components of the first; no component is rescaled."""
    mean_p = pixels_np.mean(axis=0)
    centered = pixels_np - mean_p
    if centered.shape[1] > MOST_PIXELS and min(centered.shape) > DIMENSIONS:
        leading = _leading_components(centered)
    else:
        _, components = np.linalg.eigh((centered.T @ centered / len(centered)).astype(np.float64))
        leading = components[:, ::-1][:, :DIMENSIONS].astype(np.float32)
    return centered @ leading, (test_pixels_mp - mean_p) @ leading


def _leading_components(centered_np: Floats) -> Floats:
    """Return the components alone that are wanted: all of them take P^3."""
    from scipy.sparse.linalg import svds

    start = np.ones(min(centered_np.shape), np.float32)  # the same on every run
    _, _, components = svds(centered_np, k=DIMENSIONS, v0=start)
    return np.asarray(components[::-1].T, np.float32)


def _given_features(path: Path, source: Source, pool: Ids, test: Ids) -> tuple[Floats, Floats]:
    rows = _open_features(path)
    num_train, num_test = len(source.train_labels_n), len(source.test_labels_m)
    place = source.place
    if place is None:
        place = Place(
            train_rows_n=np.arange(num_train),
            test_rows_m=num_train + np.arange(num_test),
            num_rows=num_train + num_test,
        )
        told = f"{num_train} for train.npz, then {num_test} for test.npz"
    else:
        told = "one for each sample of the set, in its order"
    if len(rows) != place.num_rows:
        raise ConfigError(f"{path} should have {place.num_rows} rows ({told}), not {len(rows)}")
    parts = [
        np.asarray(rows[chosen], np.float32)
        for chosen in (place.train_rows_n[pool], place.test_rows_m[test])
    ]
    if not all(np.isfinite(part).all() for part in parts):
        raise ConfigError(f"{path} holds numbers that are not finite")
    return parts[0], parts[1]


def _open_features(path: Path) -> NDArray[np.floating]:
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as a plain array ({error})") from error
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype.kind not in "fiu":
        raise ConfigError(f"{path} should hold one array of numbers, a row for each sample")
    return rows
