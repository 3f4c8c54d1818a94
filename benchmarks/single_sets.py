"""Sets that come in one piece, divided into a part to train on and a balanced test part.

Shape suffixes: s all samples of a set, n training samples, m test samples, k classes,
g groups.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from benchmarks.sources import Place, Source, read_arrays
from holdfast.errors import ConfigError
from holdfast.records import Ids, Images
from holdfast.seeds import generator

SIDE = 48  # pixels of the squares that image files become
TEST_SHARE = 0.25  # of the rarest class; of every other class as many samples
ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


def read_array_set(path: Path, seed: int) -> Source:
    """Read one file with `X` and `y`, and maybe `class_names`, and `group` or `source`.

    Samples of one group (a slide, a track) stay on one side of the split.

    Raises
    ------
    ConfigError
        If the arrays do not fit, or cannot be divided.
    """
    arrays = read_arrays(path)
    labels = arrays["y"].astype(np.int64)
    num_classes = int(labels.max()) + 1
    names = arrays.get("class_names", np.arange(num_classes).astype(str))
    if len(names) < num_classes:
        raise ConfigError(f"{path}: y names {num_classes} classes, class_names {len(names)}")
    groups = arrays.get("group", arrays.get("source"))
    return divide(
        arrays["X"],
        labels,
        class_names=tuple(str(name) for name in names),
        groups_s=None if groups is None else groups.astype(str),
        seed=seed,
        where=path,
    )


def holds_images(folder: Path) -> bool:
    """Whether there are image files in folders below it, one folder for each class."""
    return bool(_image_files(folder))


def read_image_set(folder: Path, seed: int) -> Source:
    """Read `images/<class>/*` or `<class>/*`, classes and files by name.

    Images become squares of 48 pixels, in color; what does not fit a square is cut off on
    both sides alike.

    Raises
    ------
    ConfigError
        If an image cannot be read, or the set cannot be divided.
    """
    images, labels, names = _read_images(folder)
    return divide(images, labels, class_names=names, groups_s=None, seed=seed, where=folder)


def divide(
    images_s: Images,
    labels_s: Ids,
    *,
    class_names: tuple[str, ...],
    groups_s: NDArray[np.str_] | None,
    seed: int,
    where: Path,
) -> Source:
    """Divide a set: as many test samples of each class, groups kept together.

    Groups, in random order, go to the test part until it has enough of every class; what
    it has beyond belongs to neither part. Without groups, identical images are one.

    Raises
    ------
    ConfigError
        If a class has fewer than two groups.
    """
    num_classes = len(class_names)
    counts_k = np.bincount(labels_s, minlength=num_classes)
    if counts_k.min() < 2:
        lacking = int(np.argmin(counts_k))
        raise ConfigError(
            f"{where}: class {class_names[lacking]!r} has {int(counts_k[lacking])} samples; "
            "2 or more can be divided"
        )
    size = max(round(TEST_SHARE * int(counts_k.min())), 1)
    keys_s: NDArray[np.generic] = _fingerprints(images_s) if groups_s is None else groups_s
    _, group_s = np.unique(keys_s, return_inverse=True)
    rng = generator(seed, "world", "test")
    held_s = _hold_out(group_s, labels_s, num_classes, size, rng)
    for name, part in (("train on", ~held_s), ("test on", held_s)):
        found_k = np.bincount(labels_s[part], minlength=num_classes)
        if not found_k.all():
            lacking = class_names[int(np.argmin(found_k))]
            raise ConfigError(
                f"{where}: all samples of class {lacking!r} share too few groups to leave "
                f"one to {name}; merge the class with another or add groups"
            )
    order = rng.permutation(np.flatnonzero(held_s))
    size = min(size, int(np.bincount(labels_s[held_s], minlength=num_classes).min()))
    test = np.concatenate([order[labels_s[order] == k][:size] for k in range(num_classes)])
    test.sort()
    train = np.flatnonzero(~held_s)
    return Source(
        train_images_n=images_s[train],
        train_labels_n=labels_s[train],
        test_images_m=images_s[test],
        test_labels_m=labels_s[test],
        class_names=class_names,
        groups_n=None if groups_s is None else groups_s[train],
        place=Place(train_rows_n=train, test_rows_m=test, num_rows=len(labels_s)),
    )


def _hold_out(
    group_s: Ids, labels_s: Ids, num_classes: int, size: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return which samples lie in groups that go to the test part."""
    num_groups = int(group_s.max()) + 1
    counts_gk = np.zeros((num_groups, num_classes), np.int64)
    np.add.at(counts_gk, (group_s, labels_s), 1)
    have_k = np.zeros(num_classes, np.int64)
    left_k = counts_gk.sum(axis=0)
    held_g = np.zeros(num_groups, np.bool_)
    for group in rng.permutation(num_groups).tolist():
        if (have_k >= size).all():
            break
        gain_k = counts_gk[group]
        useful = (gain_k[have_k < size] > 0).any()
        # The last group of a class stays: there is nothing else to learn it from.
        if useful and ((left_k - gain_k > 0) | (gain_k == 0)).all():
            held_g[group] = True
            have_k += gain_k
            left_k -= gain_k
    return held_g[group_s]


def _fingerprints(images_s: Images) -> NDArray[np.void]:
    """Return one value for each image, equal for identical ones."""
    flat = np.ascontiguousarray(images_s).reshape(len(images_s), -1)
    # Plain bytes compare at once, a field of many numbers one number after another.
    return flat.view(np.dtype((np.void, flat.shape[1]))).ravel()


def _image_files(folder: Path) -> dict[str, list[Path]]:
    """Return the image files of each class, both by name."""
    root = folder / "images" if (folder / "images").is_dir() else folder
    found = {
        place.name: sorted(file for file in place.iterdir() if file.suffix.lower() in ENDINGS)
        for place in sorted(root.iterdir())
        if place.is_dir()
    }
    return {name: files for name, files in found.items() if files}


@lru_cache(maxsize=1)  # the images are the same for every seed
def _read_images(folder: Path) -> tuple[Images, Ids, tuple[str, ...]]:
    files = _image_files(folder)
    images = np.stack([_square(file) for listed in files.values() for file in listed])
    labels = np.repeat(np.arange(len(files)), [len(listed) for listed in files.values()])
    return images, labels, tuple(files)


def _square(file: Path) -> Images:
    try:
        with Image.open(file) as image:
            square = ImageOps.fit(image.convert("RGB"), (SIDE, SIDE), Image.Resampling.BILINEAR)
    except OSError as error:
        raise ConfigError(f"{file} cannot be read as an image ({error})") from error
    return np.asarray(square, np.uint8)
