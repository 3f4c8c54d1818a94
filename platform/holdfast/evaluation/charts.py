"""The sections of a report that are pictures, each with its numbers folded beneath it.

Shape suffixes: k classes, r rounds.
"""

from __future__ import annotations

import numpy as np

from holdfast.evaluation import figures, holdout_tables
from holdfast.evaluation.continual import Recalls
from holdfast.evaluation.report_data import ReportData
from holdfast.evaluation.tables import count, empty, picture, section, share, table

NO_HOLDOUT = "Nothing to measure on: this project has no holdout, or no round has finished."


def learning(data: ReportData) -> str:
    """Return labels per class beside macro-F1 over rounds."""
    return f'<div class="pair">{_counts(data)}{_macro_f1(data)}</div>'


def classes(data: ReportData) -> str:
    """Return recall and forgetting of each class over rounds."""
    recall_lead = "Per cent of each class found, round by round. A dot: not learned yet."
    loss_lead = "Points of recall below the class's best round so far. All pale is what you want."
    if data.latest is None:
        both = section("Recall of each class", recall_lead, empty(NO_HOLDOUT))
        both += section("Forgetting of each class", loss_lead, empty(NO_HOLDOUT))
        return f'<div class="pair">{both}</div>'
    ids, recall_rk = data.arms[0].recalls()
    labels = [f"{result.number}" for result in data.arms[0].measured()]
    order = _worst_first(recall_rk)
    if len(order) < len(ids):
        recall_lead += f" The {len(order)} classes with the lowest recall."
        loss_lead += " The same classes."
    names = [data.class_label(int(k)) for k in ids[order]]
    parts = []
    lost_rk = data.arms[0].losses()
    for title, lead, values_rk, color, full in (
        ("Recall of each class", recall_lead, recall_rk, figures.PALETTE[0], 1.0),
        ("Forgetting of each class", loss_lead, lost_rk, figures.LOSS, 0.5),
    ):
        values = values_rk.T[order]
        svg = figures.heatmap(
            values, names, labels, label=title, x_label="round", y_label="", color=color, full=full
        )
        cells = [
            [name, *(share(None if np.isnan(v) else v) for v in row)]
            for name, row in zip(names, values.tolist(), strict=True)
        ]
        numbers = table(title, ["Class", *(f"round {label}" for label in labels)], cells)
        parts.append(section(title, lead, picture(svg, numbers)))
    return f'<div class="pair">{"".join(parts)}</div>'


def confusion(data: ReportData) -> str:
    """Return the latest confusion matrix and the numbers of the holdout."""
    lead = "Rows are true classes, columns what the model said, in per cent of the row."
    if data.latest is None or data.latest.metrics is None:
        return section("What is taken for what", lead, empty(NO_HOLDOUT))
    metrics = data.latest.metrics
    ids = sorted(metrics.support)
    if len(ids) > figures.MOST_CLASSES:
        ids = sorted(sorted(ids, key=lambda k: metrics.recall[k])[: figures.MOST_CLASSES])
        lead += f" The {figures.MOST_CLASSES} classes with the lowest recall."
    matrix = np.array(
        [[metrics.confusion[i].get(j, 0) / metrics.support[i] for j in ids] for i in ids]
    )
    names = [data.class_names[k] for k in ids]
    svg = figures.heatmap(
        matrix, names, names, label="Confusion matrix", x_label="predicted", y_label="true"
    )
    return (
        '<div class="pair">'
        + section("What is taken for what", lead, f"<figure>{svg}</figure>")
        + holdout_tables.numbers(data, metrics)
        + "</div>"
        + holdout_tables.each_class(data, metrics)
    )


def _counts(data: ReportData) -> str:
    title = "Labels of each class"
    lead = (
        "A class is rare below the dashed line: fewer than half of the labels it would have "
        "if all classes had the same number."
    )
    if not data.class_names:
        return section(title, lead, empty("There are no classes yet."))
    if len(data.class_names) > figures.MOST_CLASSES:
        lead += f" The largest and the smallest {figures.MOST_CLASSES // 2} classes."
    rare = [k in data.rare for k in range(len(data.class_names))]
    svg = figures.class_counts(
        data.class_names, data.labeled_counts, rare, data.line, data.start_counts
    )
    start = data.start_counts or data.labeled_counts
    rows = [
        [data.class_label(k), count(start[k]), count(data.labeled_counts[k])]
        for k in range(len(data.class_names))
    ]
    return section(title, lead, picture(svg, table(title, ["Class", "At the start", "Now"], rows)))


def _macro_f1(data: ReportData) -> str:
    title, lead = (
        "Macro-F1 over rounds",
        "As measured on the holdout of each round. Higher is better.",
    )
    series = {
        arm.name: (
            [float(result.number) for result in arm.measured()],
            [r.metrics.macro_f1 for r in arm.rounds if r.metrics is not None],
        )
        for arm in data.arms
        if arm.measured()
    }
    if not series:
        return section(title, lead, empty(NO_HOLDOUT))
    rows = [
        [f"{number:g}", *(_at(x, y, number) for x, y in series.values())]
        for number in sorted({x for xs, _ in series.values() for x in xs})
    ]
    numbers = table(title, ["Round", *series], rows)
    return section(title, lead, picture(figures.curves(series, "macro-F1"), numbers))


def _worst_first(recall_rk: Recalls) -> list[int]:
    """Positions of the classes to show: all in order, or the lowest recalls where many."""
    positions = list(range(recall_rk.shape[1]))
    if len(positions) <= figures.MOST_CLASSES:
        return positions
    latest = np.nan_to_num(recall_rk[-1], nan=2.0)
    return [int(k) for k in np.argsort(latest, kind="stable")[: figures.MOST_CLASSES]]


def _at(x: list[float], y: list[float], number: float) -> str:
    return share(y[x.index(number)] if number in x else None)
