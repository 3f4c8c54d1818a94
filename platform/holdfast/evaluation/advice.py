"""What to do next, read from a report's numbers."""

from __future__ import annotations

import numpy as np

from holdfast.evaluation.audit_section import leak
from holdfast.evaluation.metrics import Metrics
from holdfast.evaluation.report_data import ReportData

# Below these a number is noise or normal, and advice about it would only distract.
CONFUSED_SHARE = 0.1
CONFUSED_SAMPLES = 3
FORGOTTEN = 0.1
MISCALIBRATED = 0.1
NAMED_CLASSES = 5


def next_steps(data: ReportData) -> list[str]:
    """Return sentences, the most pressing first; never empty."""
    steps = []
    if data.waiting_for:
        steps.append(f"Answers are missing: fill in {data.waiting_for}, then run again.")
    if not data.arms or not data.arms[0].rounds:
        steps.append("No round has finished yet. Run the project to start the first one.")
    elif data.latest is None:
        steps.append(
            "There is no holdout, so nobody can tell whether a model got better. Set some "
            "samples aside that training never sees, a few of every class."
        )
    copied = leak(data)
    if copied is not None:
        steps.append(copied)
    if data.verdicts:
        number = max(data.verdicts)
        if not data.verdicts[number].promote:
            steps.append(
                f"The model of round {number} was not promoted; the one before it stays in use. "
                "Label more of what it lost, then run another round."
            )
    steps += _rare(data) + _forgotten(data)
    if data.latest is not None and data.latest.metrics is not None:
        steps += _metrics(data, data.latest.metrics)
    return steps or ["Nothing needs attention. Run the next round when new samples have come."]


def _rare(data: ReportData) -> list[str]:
    below = [k for k in data.rare if data.labeled_counts[k] < data.line]
    if not below:
        return []
    below.sort(key=lambda k: data.labeled_counts[k])
    named = ", ".join(
        f"{data.class_names[k]} ({data.labeled_counts[k]}{' labels' if k == below[0] else ''})"
        for k in below[:NAMED_CLASSES]
    )
    more = f" and {len(below) - NAMED_CLASSES} more" if len(below) > NAMED_CLASSES else ""
    return [
        f"Collect more samples of the classes with the fewest labels: {named}{more}. "
        f"The rare-class line is at {data.line:.0f} labels."
    ]


def _forgotten(data: ReportData) -> list[str]:
    if data.latest is None:
        return []
    classes, _ = data.arms[0].recalls()
    drop_k = np.nan_to_num(data.arms[0].drops()[-1], nan=-1.0)
    worst = int(drop_k.argmax())
    if drop_k[worst] < FORGOTTEN:
        return []
    return [
        f"Class {data.class_names[classes[worst]]} lost {100 * drop_k[worst]:.0f} points of recall "
        "since its best round. Look at the labels it got since, or keep more of its samples "
        "for replay."
    ]


def _metrics(data: ReportData, metrics: Metrics) -> list[str]:
    steps = []
    pairs = [
        (count / metrics.support[true], count, true, predicted)
        for true, row in metrics.confusion.items()
        for predicted, count in row.items()
        if predicted != true and true in metrics.known
    ]
    share, count, true, predicted = max(pairs, default=(0.0, 0, 0, 0))
    if share >= CONFUSED_SHARE and count >= CONFUSED_SAMPLES:
        steps.append(
            f"{count} of {metrics.support[true]} holdout samples of class {data.class_names[true]} "
            f"are taken for class {data.class_names[predicted]}: look at the labels of both."
        )
    unknown = [k for k in metrics.support if k not in metrics.known]
    if unknown:
        named = ", ".join(data.class_names[k] for k in unknown[:NAMED_CLASSES])
        steps.append(f"The holdout has classes that the model has not met yet: {named}.")
    if metrics.calibration_error > MISCALIBRATED:
        steps.append(
            f"The model's probabilities are off by {100 * metrics.calibration_error:.0f} points "
            "on average: do not set thresholds on them yet."
        )
    return steps
