"""What a method makes of labels and probabilities, measured in a process of its own.

Shape suffixes: n samples, k classes.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.label_quality_inputs import Input, Reviewed, load_made, read_input
from benchmarks.measurement import MEBI, Row
from benchmarks.memory_watch import MemoryWatch
from holdfast.records import Ids

METHODS = ("holdfast", "cleanlab")
# Every way cleanlab has to choose; the first is what it does unless told otherwise.
FILTERS = (
    "prune_by_noise_rate",
    "prune_by_class",
    "both",
    "confident_learning",
    "predicted_neq_given",
    "low_normalized_margin",
    "low_self_confidence",
)
REVIEWS = (50, 100)
RARE_CLASSES = 3
_WARM_UP = 2_000

Probs = NDArray[np.floating]
Scores = NDArray[np.float64]
Mask = NDArray[np.bool_]
# Scores (low = suspect) and labels flagged.
Find = Callable[[Ids, Probs], tuple[Scores, Mask]]


@dataclass(frozen=True, kw_only=True, slots=True)
class QualityJob:
    """What one row takes: an .npz file or a folder of made-up arrays, and a method."""

    path: Path
    method: str
    with_filters: bool


def play(job: QualityJob) -> Row:
    """Find wrong labels, and say how well it went.

    Returns
    -------
    dict
        See `figures` and `review`; and `seconds`, `cpu_seconds` of finding them, after a
        warm-up on a part; `peak_mb`: most memory beyond the inputs and the libraries, in
        MiB, pages of mapped files not counted.
    """
    given = load_made(job.path) if job.path.is_dir() else read_input(job.path)
    find = _FINDERS[job.method]()
    labels, probs = given.labels_n, given.pred_probs_nk
    # A part with every class that has labels, or else methods refuse it.
    part = np.sort(np.unique(labels, return_index=True)[1].tolist() + list(range(_WARM_UP)))
    part = np.unique(part[part < len(labels)])
    find(labels[part], np.asarray(probs[part]))
    watch = MemoryWatch()
    started, worked = time.perf_counter(), time.process_time()
    scores, flagged = find(labels, probs)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - worked
    row: Row = {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": watch.stop() / MEBI}
    row |= {"samples": len(labels), "classes": probs.shape[1]}
    if isinstance(given, Reviewed):
        return row | review(given, scores)
    row |= figures(given, scores, flagged)
    if job.with_filters:
        row |= {f"f1_{name}": _filter_f1(given, name) for name in FILTERS}
    return row


def figures(given: Input, scores_n: Scores, flagged_n: Mask) -> Row:
    """Say how well labels were ranked and flagged.

    Returns
    -------
    dict
        `auroc`, `auprc` of the ranking; `f1` of the labels flagged; `f1_best_cut`: the most
        that any cut of that ranking would have reached. None without a wrong label.
        `num_wrong`, `num_flagged`. `flag_rate_correct_rare`, `flag_rate_correct_frequent`:
        share of correct labels flagged among the three rarest and the three most frequent
        classes that occur, or half of the classes each where there are fewer than six.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    wrong = given.wrong_n
    row: Row = {"num_wrong": int(wrong.sum()), "num_flagged": int(flagged_n.sum())}
    known = bool(wrong.any()) and not bool(wrong.all())
    row["auroc"] = float(roc_auc_score(wrong, -scores_n)) if known else None
    row["auprc"] = float(average_precision_score(wrong, -scores_n)) if known else None
    row["f1"] = f1_of(wrong, flagged_n) if wrong.any() else None
    row["f1_best_cut"] = best_f1(wrong, scores_n) if wrong.any() else None
    counts = np.bincount(given.classes_n)
    occurring = np.flatnonzero(counts)
    by_size = occurring[np.argsort(counts[occurring], kind="stable")]
    num = min(RARE_CLASSES, max(1, len(by_size) // 2))
    for name, classes in (("rare", by_size[:num]), ("frequent", by_size[-num:])):
        correct = np.isin(given.classes_n, classes) & ~wrong
        row[f"flag_rate_correct_{name}"] = (
            float(flagged_n[correct].mean()) if correct.any() else None
        )
    return row


def review(given: Reviewed, scores_n: Scores) -> Row:
    """Say how many of the errors that people confirmed come first."""
    order = np.argsort(scores_n, kind="stable")
    wrong = given.rows_r[given.wrong_r]
    row: Row = {"reviewed": len(given.rows_r), "confirmed": len(wrong)}
    for num in REVIEWS:
        row[f"found_first_{num}"] = int(np.isin(order[:num], wrong).sum())
    return row


def f1_of(wrong_n: Mask, flagged_n: Mask) -> float:
    """Return F1 of flagged labels; 0.0 where nothing is flagged or wrong."""
    found = int((wrong_n & flagged_n).sum())
    return 2.0 * found / max(1, int(wrong_n.sum()) + int(flagged_n.sum()))


def best_f1(wrong_n: Mask, scores_n: Scores) -> float:
    """Return the highest F1 of any cut; labels alike in score fall on one side of it."""
    order = np.argsort(scores_n, kind="stable")
    found = np.cumsum(wrong_n[order])
    last = np.append(np.diff(scores_n[order]) > 0, True)
    values = 2.0 * found / (np.arange(1, len(order) + 1) + int(wrong_n.sum()))
    return float(values[last].max())


def _holdfast() -> Find:
    from holdfast.quality.audit import audit
    from holdfast.quality.settings import AuditConfig

    config = AuditConfig()

    def find(labels_n: Ids, probs_nk: Probs) -> tuple[Scores, Mask]:
        report = audit(
            labels_n,
            None,
            config=config,
            rng=np.random.default_rng(0),
            pred_probs_nk=probs_nk,
            class_ids_k=np.arange(probs_nk.shape[1]),
        )
        return report.scores_n, report.flagged_n

    return find


def _cleanlab() -> Find:
    from cleanlab.rank import get_label_quality_scores

    def find(labels_n: Ids, probs_nk: Probs) -> tuple[Scores, Mask]:
        scores = get_label_quality_scores(labels_n, probs_nk, method="self_confidence")
        return scores, _find_label_issues(labels_n, probs_nk, FILTERS[0])

    return find


_FINDERS: dict[str, Callable[[], Find]] = {"holdfast": _holdfast, "cleanlab": _cleanlab}


def _filter_f1(given: Input, name: str) -> float | None:
    if not given.wrong_n.any():
        return None
    try:
        flagged = _find_label_issues(given.labels_n, given.pred_probs_nk, name)
    except ValueError:
        return None  # cleanlab refuses some inputs, as where a class has no label
    return f1_of(given.wrong_n, flagged)


def _find_label_issues(labels_n: Ids, probs_nk: Probs, name: str) -> Mask:
    from cleanlab.filter import find_label_issues

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: Any = find_label_issues(labels_n, probs_nk, filter_by=name, n_jobs=1)
    return np.asarray(found, np.bool_)
