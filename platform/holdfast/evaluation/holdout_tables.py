"""The sections of a report that say how good the model in use is, with intervals."""

from __future__ import annotations

from holdfast.evaluation.metrics import Metrics
from holdfast.evaluation.report_data import ReportData
from holdfast.evaluation.tables import NOTHING, count, section, share, span, table


def numbers(data: ReportData, metrics: Metrics) -> str:
    """Return what was measured over all classes together, each number with its interval."""
    number, version = (0, None)
    if data.latest is not None:
        number, version = data.latest.number, data.latest.dataset_version
    on = f", dataset version {version}" if version is not None else ""
    lead = (
        f"Of the model in use after round {number}, on {metrics.num_samples:,} holdout samples{on}."
    )
    found = metrics.intervals
    if found is not None:
        lead += f" The true number lies in the interval in about {found.confidence:.0%} of cases."
    rows = [
        [text, share(getattr(metrics, name)), span(found.overall.get(name) if found else None)]
        for name, text in (
            ("accuracy", "Accuracy"),
            ("balanced_accuracy", "Balanced accuracy"),
            ("macro_f1", "Macro-F1"),
            ("weighted_f1", "Weighted F1"),
            ("calibration_error", "Calibration error (lower is better)"),
        )
    ]
    kept = data.arms[0].retention
    if kept is not None and len(kept.forgetting.class_ids_k):
        for text, change in (
            ("Forgetting (lower is better)", kept.forgetting),
            ("Backward transfer", kept.backward_transfer),
        ):
            rows.append([text, share(change.mean), span((change.mean_low, change.mean_high))])
    flips = data.flips()
    if flips:
        rows.append(
            [
                "Newly wrong: right before, wrong now",
                share(flips["share"]),
                span((flips["low"], flips["high"])),
            ]
        )
    return section("On the whole holdout", lead, table("All classes", _HEAD, rows))


def each_class(data: ReportData, metrics: Metrics) -> str:
    """Return precision, recall, forgetting and flips of each class, the lowest recall first."""
    lead = (
        "Lowest recall first. Forgotten: recall lost since the class's best round, on the samples "
        "both rounds answered. Newly wrong: samples the champion had right and the newest model "
        "has wrong. An interval of a class without a mistake has no width: too few samples."
    )
    found, kept, flips = metrics.intervals, data.arms[0].retention, data.flips()
    forgotten = {} if kept is None else kept.forgetting.to_json()["by_class"]
    by_class = flips.get("by_class", {})
    rows = []
    for k in sorted(metrics.support, key=lambda k: metrics.recall[k]):
        lost, flipped = forgotten.get(str(k)), by_class.get(str(k))
        rows.append(
            [
                data.class_label(k),
                count(metrics.support[k]),
                share(metrics.recall[k]),
                span(found.recall.get(k) if found else None),
                share(metrics.precision[k]),
                span(found.precision.get(k) if found else None),
                share(lost["value"] if lost else None),
                span((lost["low"], lost["high"]) if lost else None),
                count(flipped["flips"] if flipped else None),
                _mistakes(data, metrics, k),
            ]
        )
    head = [
        "Class",
        "Samples",
        "Recall",
        "interval",
        "Precision",
        "interval",
        "Forgotten",
        "interval",
        "Newly wrong",
        "Most often taken for",
    ]
    return section("Each class on the holdout", lead, table("Per class", head, rows))


_HEAD = ("", "Measured", "Interval")


def _mistakes(data: ReportData, metrics: Metrics, k: int) -> str:
    wrong = {j: number for j, number in metrics.confusion[k].items() if j != k}
    if not wrong:
        return NOTHING
    worst = max(wrong, key=lambda j: wrong[j])
    return f"{data.class_names[worst]} ({wrong[worst]})"
