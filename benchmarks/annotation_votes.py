"""Votes of a crowd from files, and how good a consensus of them is.

Shape suffixes: n samples, j annotators, k classes.
"""

from __future__ import annotations

import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata  # type: ignore[import-untyped]  # ships no types

from benchmarks.measurement import Row
from holdfast.errors import ConfigError
from holdfast.quality.consensus import find_consensus
from holdfast.quality.votes import Votes
from holdfast.records import Ids

METHODS = ("majority", "dawid_skene", "crowdlab", "default")
# Probabilities from float16 or printed with few digits do not sum to 1 exactly.
SUM_TOLERANCE = 0.02


@dataclass(frozen=True, kw_only=True, slots=True)
class VoteFile:
    """What a file of votes holds.

    Attributes
    ----------
    votes_nj : ndarray of int64, shape (N, J)
        Class of each answer, -1 for none.
    true_n : ndarray of int64, shape (N,), or None
        True classes, -1 where unknown.
    probs_nk : ndarray of float, shape (N, K), or None
    """

    votes_nj: Ids
    true_n: Ids | None
    probs_nk: NDArray[np.floating] | None


def read_votes(path: Path, probs: Path | None = None) -> VoteFile:
    """Read a .npz of `votes` and, if it has them, `true_labels` and `pred_probs`.

    Parameters
    ----------
    probs : Path, optional
        A .npy, or a .npz with `pred_probs`, whose probabilities are taken instead.

    Raises
    ------
    ConfigError
        If a file cannot be read, or what it holds does not fit together.
    """
    arrays = _arrays(path)
    if "votes" not in arrays:
        held = ", ".join(sorted(arrays)) or "nothing"
        raise ConfigError(f"{path} should hold an array called votes, but holds {held}")
    votes_nj = _whole(arrays["votes"], f"votes of {path}")
    if votes_nj.ndim != 2 or 0 in votes_nj.shape:
        raise ConfigError(
            f"votes of {path} should have shape (samples, annotators), not {votes_nj.shape}"
        )
    if votes_nj.max() < 0:
        raise ConfigError(f"votes of {path} are all -1: there is no answer in it")
    true_n = None
    if "true_labels" in arrays:
        true_n = _whole(arrays["true_labels"], f"true_labels of {path}")
        if true_n.shape != votes_nj.shape[:1]:
            raise ConfigError(
                f"true_labels of {path} should have shape ({len(votes_nj)},), one for each row "
                f"of votes, not {true_n.shape}"
            )
    probs_nk = arrays.get("pred_probs")
    source = path
    if probs is not None:
        source, held_probs = probs, _arrays(probs)
        if "pred_probs" not in held_probs:
            raise ConfigError(f"{probs} should hold an array called pred_probs")
        probs_nk = held_probs["pred_probs"]
    if probs_nk is not None:
        least = 1 + max(int(votes_nj.max()), -1 if true_n is None else int(true_n.max()))
        probs_nk = _probabilities(probs_nk, source, len(votes_nj), least)
    return VoteFile(votes_nj=votes_nj, true_n=true_n, probs_nk=probs_nk)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file by name; that of a .npy is called `pred_probs`."""
    try:
        with path.open("rb") as file:
            held = np.load(file, allow_pickle=False)
            if isinstance(held, np.ndarray):
                return {"pred_probs": held}
            return {name: held[name] for name in held.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"{path} cannot be read as a .npz or .npy file ({said})") from error


def _whole(array: NDArray[Any], name: str) -> Ids:
    """Return classes from -1 up; not a number stands for none, as in cleanlab."""
    if np.issubdtype(array.dtype, np.floating):
        array = np.where(np.isnan(array), -1.0, array)
        if not (np.isfinite(array).all() and (array == np.round(array)).all()):
            raise ConfigError(f"{name} should be whole numbers, but some are fractions or infinite")
    elif not np.issubdtype(array.dtype, np.integer):
        raise ConfigError(f"{name} should be whole numbers, not {array.dtype}")
    if array.size and (array.min() < -1 or array.max() >= 1 << 31):
        raise ConfigError(
            f"{name} should lie between -1, for none, and the number of classes, but go from "
            f"{array.min()} to {array.max()}"
        )
    return np.asarray(array, np.int64)


def _probabilities(
    probs: NDArray[Any], path: Path, num_samples: int, least: int
) -> NDArray[np.floating]:
    if probs.ndim != 2 or not np.issubdtype(probs.dtype, np.floating):
        raise ConfigError(
            f"pred_probs of {path} should be fractions of shape (samples, classes), not "
            f"{probs.dtype} of shape {probs.shape}"
        )
    if len(probs) != num_samples or probs.shape[1] < least:
        raise ConfigError(
            f"pred_probs of {path} should have shape ({num_samples}, {least} or more), as many "
            f"as there are samples and classes, not {probs.shape}"
        )
    if not np.isfinite(probs).all() or probs.min() < 0.0:
        raise ConfigError(f"pred_probs of {path} hold numbers that are not finite, or below 0")
    total = probs.sum(axis=1, dtype=np.float64, keepdims=True)
    if np.abs(total - 1.0).max() > SUM_TOLERANCE:
        row = int(np.abs(total[:, 0] - 1.0).argmax())
        raise ConfigError(
            f"pred_probs of {path} should sum to 1 in each row, but row {row} sums to "
            f"{total[row, 0]:.4g}"
        )
    return np.asarray(probs / total)


def judge_methods(given: VoteFile) -> list[Row]:
    """Return one row for each method.

    Returns
    -------
    list of dict
        `method`; `consensus_accuracy`: share of the samples with an answer whose consensus
        is the true class; `error_auroc`: how well a low confidence tells wrong ones, 0.5 as
        by chance; `annotator_spearman`: rank correlation of annotators' estimated quality
        with their share of right answers; `seconds`. None where the truth is missing, or
        there is nothing to tell apart.
    """
    rows_a, who_a = np.nonzero(given.votes_nj >= 0)
    said_a = given.votes_nj[rows_a, who_a]
    highest = max(int(said_a.max()), -1 if given.true_n is None else int(given.true_n.max()))
    votes = Votes(
        rows_a,
        who_a,
        said_a,
        num_samples=len(given.votes_nj),
        num_annotators=given.votes_nj.shape[1],
        num_classes=highest + 1 if given.probs_nk is None else given.probs_nk.shape[1],
    )
    rows = []
    for method in METHODS:
        started = time.perf_counter()
        found = find_consensus(method, votes, given.probs_nk)
        seconds = time.perf_counter() - started
        row: Row = {
            "method": method,
            "consensus_accuracy": None,
            "error_auroc": None,
            "annotator_spearman": None,
            "seconds": seconds,
        }
        if given.true_n is not None:
            judged = (given.true_n >= 0) & (votes.answers_m > 0)
            wrong = (found.columns_m != given.true_n)[judged]
            row["consensus_accuracy"] = float(1.0 - wrong.mean()) if len(wrong) else None
            row["error_auroc"] = auroc(1.0 - found.confidence_m[judged], wrong)
            known = given.true_n[rows_a] >= 0
            right = (said_a == given.true_n[rows_a])[known]
            number = np.bincount(who_a[known], minlength=votes.num_annotators)
            share = np.bincount(who_a[known], right, minlength=len(number)) / np.maximum(number, 1)
            row["annotator_spearman"] = spearman(found.quality_j[number > 0], share[number > 0])
        rows.append(row)
    return rows


def auroc(score_n: NDArray[np.floating], wrong_n: NDArray[np.bool_]) -> float | None:
    """Return the chance that a wrong one scores higher than a right one; ties count half."""
    bad = int(wrong_n.sum())
    good = len(wrong_n) - bad
    if bad == 0 or good == 0:
        return None
    ranks = rankdata(score_n)[wrong_n].sum()
    return float((ranks - bad * (bad + 1) / 2) / (bad * good))


def spearman(first_j: NDArray[np.floating], second_j: NDArray[np.floating]) -> float | None:
    """Return the rank correlation; None where one of them is the same for all."""
    finite = np.isfinite(first_j) & np.isfinite(second_j)
    ranks = [rankdata(one[finite]) for one in (first_j, second_j)]
    if any(len(one) < 2 or one.min() == one.max() for one in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])
