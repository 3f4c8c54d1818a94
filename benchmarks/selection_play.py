"""One method in one trial: choose, ask, fit, measure, round by round.

Shape suffixes: n pool samples, m labeled samples.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measurement import Row, peak_mb
from benchmarks.selection_methods import Desk, Scene, start_method
from benchmarks.selection_trial import Trial
from holdfast.records import Floats, Ids
from holdfast.seeds import generator

REGULARIZATION = 0.1
MAX_STEPS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """What one row of the result takes.

    Attributes
    ----------
    recipe : Path
        Holdfast's settings.
    threads : int
        CPU threads of every method, 1 or more.
    """

    trial: Trial
    method: str
    recipe: Path
    threads: int


def play(job: Job) -> Row:
    """Let a method live through a trial and return its row.

    Returns
    -------
    dict
        `curve`: macro-F1 in [0, 1] on the balanced test set at each of `checkpoints`, the
        answers paid for by then; `area` is its mean. `macro_f1_550`, `macro_f1_1050`: null
        where no checkpoint has that many. `rare_found`: samples of `rarest_classes` among
        those asked about. `wrong_labels`: share of the labels held at the end that are
        wrong. `held_back`: samples asked about that have no label at the end. `re_asked`:
        answers about samples that had one. `seconds_per_selection`,
        `cpu_seconds_per_selection`: choosing alone, scoring the pool included, fitting the
        model not. `peak_mb`: most memory the process held, libraries and features included,
        in MiB; `start_mb` of it before the method began. `labels_to_random_final` comes
        with random's row of the same seed.
    """
    from threadpoolctl import threadpool_limits  # only children compute

    with threadpool_limits(job.threads):
        return _play(job)


def _play(job: Job) -> Row:
    trial, setting = job.trial, job.trial.setting
    started_mb = peak_mb()
    method = start_method(job.method, trial, job.recipe)
    desk = Desk(trial)
    desk.grant(setting.start)
    desk.ask(trial.start_rows)
    curve, seconds, cpu_seconds = [], [], []
    for number in range(setting.rounds + 1):
        rows_m, labels_m = method.labels(desk)
        model = fit(trial.features_nd[rows_m], labels_m)
        curve.append(_macro_f1(model, labels_m, trial))
        if number == setting.rounds:
            break
        desk.grant(setting.budget)
        scene = Scene(
            features_nd=trial.features_nd,
            open_rows_u=np.setdiff1d(np.arange(len(trial.true_n)), desk.asked_rows),
            labeled_rows_m=rows_m,
            labels_m=labels_m,
            model=model,
            rng=generator(trial.seed, "selection", job.method, number),
        )
        started, worked = time.perf_counter(), time.process_time()
        method.ask(scene, desk)
        seconds.append(time.perf_counter() - started)
        cpu_seconds.append(time.process_time() - worked)
    at = dict(zip(setting.checkpoints, curve, strict=True))
    asked = desk.asked_rows
    return {
        "method": job.method,
        "seed": trial.seed,
        "area": float(np.mean(curve)),
        "macro_f1_550": at.get(550),
        "macro_f1_1050": at.get(1050),
        "rare_found": int(np.isin(trial.true_n[asked], trial.rarest_classes).sum()),
        "labels_to_random_final": None,
        "seconds_per_selection": float(np.mean(seconds)),
        "peak_mb": peak_mb(),
        "re_asked": desk.num_asked_again,
        "wrong_labels": float(np.mean(trial.true_n[rows_m] != labels_m)),
        "held_back": len(asked) - len(rows_m),
        "cpu_seconds_per_selection": float(np.mean(cpu_seconds)),
        "start_mb": started_mb,
        "imbalance": setting.imbalance,
        "answer_noise": setting.answer_noise,
        "pool": len(trial.true_n),
        "rarest_classes": trial.rarest_classes.tolist(),
        "checkpoints": setting.checkpoints,
        "curve": curve,
    }


def fit(features_md: Floats, labels_m: Ids) -> Any:
    """Return the one model of all methods, or None for labels of a single class."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(labels_m)) < 2:
        return None
    model = LogisticRegression(C=REGULARIZATION, class_weight="balanced", max_iter=MAX_STEPS)
    with warnings.catch_warnings():
        # Features of a large scale may need more steps; all methods stop at the same one.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features_md, labels_m)


def _macro_f1(model: Any, labels_m: Ids, trial: Trial) -> float:
    """Return the mean F1 over all classes; 0 for one the model does not know."""
    from sklearn.metrics import f1_score

    told = np.full(len(trial.test_labels_m), labels_m[0])
    if model is not None:
        told = model.predict(trial.test_features_md)
    return float(
        f1_score(
            trial.test_labels_m,
            told,
            labels=np.arange(trial.num_classes),
            average="macro",
            zero_division=0.0,
        )
    )
