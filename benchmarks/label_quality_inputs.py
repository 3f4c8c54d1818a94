"""Labels with out-of-sample probabilities and what is known of the truth, from files.

Shape suffixes: n samples, k classes, r samples that people reviewed.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.errors import ConfigError
from holdfast.records import Ids
from holdfast.seeds import generator

SUM_TOLERANCE = 1e-2
NOISE = 0.1  # of made-up labels
_ROWS = 65_536
_MAJORITY = 3  # of the five people who looked at an image

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """Labels, probabilities, and which labels are wrong.

    Attributes
    ----------
    pred_probs_nk : ndarray of float, shape (N, K)
    wrong_n : ndarray of bool, shape (N,)
    classes_n : ndarray of int64, shape (N,)
        What makes a class rare is counted by: true labels where they are known, else labels.
    """

    labels_n: Ids
    pred_probs_nk: NDArray[np.floating]
    wrong_n: NDArray[np.bool_]
    classes_n: Ids


@dataclass(frozen=True, kw_only=True, slots=True)
class Reviewed:
    """Labels and probabilities, and what people said of a part of them.

    Attributes
    ----------
    rows_r : ndarray of int64, shape (R,)
        Samples that five people looked at.
    wrong_r : ndarray of bool, shape (R,)
        Fewer than three of them chose the label.
    """

    labels_n: Ids
    pred_probs_nk: NDArray[np.floating]
    rows_r: Ids
    wrong_r: NDArray[np.bool_]


def read_input(path: Path) -> Input | Reviewed:
    """Read `labels`, `pred_probs`, and `true_labels` or `label_errors_mask`.

    Or `given`, `pred_probs`, `mturk_id` and `mturk_given`, as published with cleanlab's
    label errors.

    Raises
    ------
    ConfigError
        If the file or an array is missing, or they do not fit each other.
    """
    arrays = _read(path)
    if "mturk_id" in arrays:
        _need(path, arrays, ("given", "pred_probs", "mturk_given"))
        labels = _check(path, arrays, "given")
        rows, votes = arrays["mturk_id"], arrays["mturk_given"]
        if len(rows) != len(votes) or (len(rows) and rows.max() >= len(labels)):
            raise ConfigError(f"{path}: mturk_id and mturk_given do not fit {len(labels)} labels")
        return Reviewed(
            labels_n=labels,
            pred_probs_nk=arrays["pred_probs"],
            rows_r=rows.astype(np.int64),
            wrong_r=votes < _MAJORITY,
        )
    _need(path, arrays, ("labels", "pred_probs"))
    labels = _check(path, arrays, "labels")
    if "true_labels" in arrays:
        true = _check(path, arrays, "true_labels")
        return Input(
            labels_n=labels,
            pred_probs_nk=arrays["pred_probs"],
            wrong_n=labels != true,
            classes_n=true,
        )
    if "label_errors_mask" not in arrays:
        raise ConfigError(f"{path} holds neither true_labels nor label_errors_mask")
    mask = arrays["label_errors_mask"]
    if mask.shape != labels.shape or not np.isin(mask, (0, 1)).all():
        raise ConfigError(
            f"{path}: label_errors_mask should hold {len(labels)} values, true or false, but has "
            f"the shape {mask.shape} and the type {mask.dtype}"
        )
    return Input(
        labels_n=labels,
        pred_probs_nk=arrays["pred_probs"],
        wrong_n=mask.astype(np.bool_),
        classes_n=labels,
    )


def make_input(folder: Path, num: int, num_classes: int) -> None:
    """Write made-up labels and probabilities, a tenth of the labels wrong at random.

    `pred_probs.npy`, `labels.npy` and `true_labels.npy`; the same for the same numbers.
    """
    rng = generator(0, "label quality at scale", num, num_classes)
    true_n = rng.integers(0, num_classes, num)
    wrong_n = rng.random(num) < NOISE
    moved_n = (true_n + rng.integers(1, num_classes, num)) % num_classes
    probs = np.lib.format.open_memmap(
        folder / "pred_probs.npy", "w+", np.float32, (num, num_classes)
    )
    # As sure as a network that is right on nine in ten.
    height = np.float32(2.0 + np.log(num_classes))
    for start in range(0, num, _ROWS):
        span = slice(start, min(start + _ROWS, num))
        logits = 1.5 * rng.standard_normal((span.stop - start, num_classes), np.float32)
        logits[np.arange(len(logits)), true_n[span]] += height
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        probs[span] = logits / logits.sum(axis=1, keepdims=True)
    probs.flush()
    np.save(folder / "labels.npy", np.where(wrong_n, moved_n, true_n))
    np.save(folder / "true_labels.npy", true_n)


def load_made(folder: Path) -> Input:
    """Return what `make_input` wrote; the probabilities as a map of their file."""
    labels, true = np.load(folder / "labels.npy"), np.load(folder / "true_labels.npy")
    return Input(
        labels_n=labels,
        pred_probs_nk=np.load(folder / "pred_probs.npy", mmap_mode="r"),
        wrong_n=labels != true,
        classes_n=true,
    )


def _read(path: Path) -> Arrays:
    if not path.is_file():
        raise ConfigError(f"{path} is missing; --probs needs an .npz file")
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} cannot be read as an .npz of plain arrays ({error})") from error


def _need(path: Path, arrays: Arrays, names: Sequence[str]) -> None:
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ConfigError(f"{path} holds no {' and no '.join(missing)}")


def _check(path: Path, arrays: Arrays, key: str) -> Ids:
    """Return labels once they are known to fit the probabilities."""
    labels, probs = arrays[key], arrays["pred_probs"]
    if probs.ndim != 2 or not np.issubdtype(probs.dtype, np.floating) or probs.shape[1] < 2:
        raise ConfigError(
            f"{path}: pred_probs should be numbers of shape (n, k) with k at least 2, not "
            f"{probs.dtype} of shape {probs.shape}"
        )
    if labels.shape != (len(probs),):
        raise ConfigError(
            f"{path}: {key} has the shape {labels.shape} but pred_probs has {len(probs)} rows"
        )
    if not len(labels):
        raise ConfigError(f"{path}: {key} is empty")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ConfigError(f"{path}: {key} should hold whole numbers, not {labels.dtype}")
    if labels.min() < 0 or labels.max() >= probs.shape[1]:
        raise ConfigError(
            f"{path}: {key} should lie from 0 to {probs.shape[1] - 1}, the columns of pred_probs, "
            f"but goes from {labels.min()} to {labels.max()}"
        )
    if not np.isfinite(probs).all():
        row = int(np.argmin(np.isfinite(probs).all(axis=1)))
        raise ConfigError(f"{path}: pred_probs is not a number in row {row}")
    sums = probs.sum(axis=1, dtype=np.float64)
    bad = (np.abs(sums - 1.0) > SUM_TOLERANCE) | (probs.min(axis=1) < 0)
    if bad.any():
        row = int(np.argmax(bad))
        raise ConfigError(
            f"{path}: row {row} of pred_probs should hold probabilities that sum to 1, but sums "
            f"to {sums[row]:g}"
        )
    return labels.astype(np.int64)
