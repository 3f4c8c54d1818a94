"""A labeled set, from scikit-learn or from files, before anything is done to it.

Shape suffixes: n training samples, m test samples, a annotators, s all samples of a set.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import ConfigError
from holdfast.records import Ids, Images
from holdfast.seeds import generator

DIGITS_TEST_PER_CLASS = 40

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where the samples of both parts stand in a set that comes in one piece.

    Attributes
    ----------
    train_rows_n, test_rows_m : ndarray of int64
    num_rows : int
        Samples of the set, those of neither part included.
    """

    train_rows_n: Ids
    test_rows_m: Ids
    num_rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A labeled set before anything is done to it.

    Attributes
    ----------
    train_images_n, test_images_m : ndarray of uint8, shape (N, H, W) or (N, H, W, C)
    train_labels_n, test_labels_m : ndarray of int64
        True classes, 0..K-1.
    given_labels_n : ndarray of int64, shape (N,), or None
        Labels on record, where the set has its own wrong ones.
    votes_na : ndarray of int64, shape (N, A), or None
        What each person answered; -1 for none.
    groups_n : ndarray of str, shape (N,), or None
        Samples of one group belong on one side of every split.
    place : Place or None
        None where the set comes in two parts, train and test.
    """

    train_images_n: Images
    train_labels_n: Ids
    test_images_m: Images
    test_labels_m: Ids
    class_names: tuple[str, ...]
    given_labels_n: Ids | None = None
    votes_na: Ids | None = None
    groups_n: NDArray[np.str_] | None = None
    place: Place | None = None


def read_source(data: str, seed: int) -> Source:
    """Read `digits` or a folder: two parts, one piece, or images in a folder for each class.

    What comes in one piece is divided anew for each seed.

    Raises
    ------
    ConfigError
        If there is no such set, or it cannot be used.
    """
    if data == "digits":
        return read_digits(seed)
    # Deferred: these readers build on this module.
    from benchmarks.single_sets import holds_images, read_array_set, read_image_set

    folder = Path(data)
    if (folder / "train.npz").is_file() or not folder.is_dir():
        return read_folder(folder)
    if (folder / "data.npz").is_file():
        return read_array_set(folder / "data.npz", seed)
    return read_image_set(folder, seed) if holds_images(folder) else read_folder(folder)


def read_digits(seed: int) -> Source:
    """Handwritten digits that ship with scikit-learn: 1,797 of 8×8, split by class.

    The test set is balanced and drawn anew for each seed.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = np.clip(bunch.images * 255 / 16, 0, 255).round().astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    order = generator(seed, "world", "test").permutation(len(labels))
    rank = np.empty(len(labels), np.int64)  # position of each sample among its class
    for k in range(10):
        members = order[labels[order] == k]
        rank[members] = np.arange(len(members))
    test = rank < DIGITS_TEST_PER_CLASS
    return Source(
        train_images_n=images[~test],
        train_labels_n=labels[~test],
        test_images_m=images[test],
        test_labels_m=labels[test],
        class_names=tuple(str(k) for k in range(10)),
        place=Place(
            train_rows_n=np.flatnonzero(~test),
            test_rows_m=np.flatnonzero(test),
            num_rows=len(labels),
        ),
    )


def read_folder(folder: Path) -> Source:
    """Read `train.npz` and `test.npz`.

    Both hold `X`, uint8 of shape (n, h, w) or (n, h, w, c), and `y`, class indices from 0.
    `train.npz` may hold `y_given` (labels on record, -1 for none), `votes` (n, annotators;
    -1 for none), `group` (n) and `class_names`.

    Raises
    ------
    ConfigError
        If a file or an array is missing or does not fit the others.
    """
    train, test = read_arrays(folder / "train.npz"), read_arrays(folder / "test.npz")
    if train["X"].shape[1:] != test["X"].shape[1:]:
        raise ConfigError(
            f"{folder}: images should be alike, but are {train['X'].shape[1:]} in train.npz and "
            f"{test['X'].shape[1:]} in test.npz"
        )
    num_classes = int(max(train["y"].max(), test["y"].max())) + 1
    names = train.get("class_names", np.arange(num_classes).astype(str))
    if len(names) < num_classes:
        raise ConfigError(f"{folder}: y names {num_classes} classes, class_names {len(names)}")
    for key in ("y_given", "votes"):
        _check_labels(folder / "train.npz", train, key, -1, len(names))
    given, votes, group = train.get("y_given"), train.get("votes"), train.get("group")
    if votes is not None and votes.ndim != 2:
        raise ConfigError(f"{folder / 'train.npz'}: votes should have the shape (n, annotators)")
    return Source(
        train_images_n=train["X"],
        train_labels_n=train["y"].astype(np.int64),
        test_images_m=test["X"],
        test_labels_m=test["y"].astype(np.int64),
        class_names=tuple(str(name) for name in names),
        given_labels_n=None if given is None else given.astype(np.int64),
        votes_na=None if votes is None else votes.astype(np.int64),
        groups_n=None if group is None else group.astype(str),
    )


def read_arrays(path: Path) -> Arrays:
    """Read `X` and `y` and what else a file holds.

    Raises
    ------
    ConfigError
        If the file or one of both is missing, or the arrays do not fit each other.
    """
    if not path.is_file():
        raise ConfigError(
            f"{path} is missing; --data needs train.npz and test.npz, or data.npz, or a folder "
            "of images for each class"
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} cannot be read as plain arrays ({error})") from error
    missing = sorted({"X", "y"} - arrays.keys())
    if missing:
        raise ConfigError(f"{path} holds no {' and no '.join(missing)}")
    images = arrays["X"]
    if (
        images.dtype != np.uint8
        or images.ndim not in (3, 4)
        or images.shape[1] != images.shape[2]
        or images.shape[3:] not in ((), (1,), (3,))
    ):
        raise ConfigError(
            f"{path}: X should be uint8 of shape (n, h, h) or (n, h, h, 1 or 3), not "
            f"{images.dtype} of shape {images.shape}; pad or scale images to squares"
        )
    if not len(images):
        raise ConfigError(f"{path}: X is empty")
    for key in arrays.keys() & {"y", "y_given", "votes", "group", "source"}:
        if len(arrays[key]) != len(images):
            raise ConfigError(f"{path}: X has {len(images)} rows but {key} has {len(arrays[key])}")
    if arrays["y"].ndim != 1:
        raise ConfigError(f"{path}: y should have the shape (n,), not {arrays['y'].shape}")
    _check_labels(path, arrays, "y", 0, None)
    return arrays


def _check_labels(path: Path, arrays: Arrays, key: str, least: int, below: int | None) -> None:
    """Check that an array, where there is one, holds class indices."""
    if key not in arrays:
        return
    labels = arrays[key]
    limits = f"from {least}" + ("" if below is None else f" to {below - 1}")
    if (
        not np.issubdtype(labels.dtype, np.integer)
        or labels.min() < least
        or (below is not None and labels.max() >= below)
    ):
        raise ConfigError(
            f"{path}: {key} should hold whole numbers {limits}, not {labels.dtype} from "
            f"{labels.min()} to {labels.max()}"
        )
