"""The results of the selection benchmark as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks.measurement import Row

WIDTH = 140  # of the screen that the widest table takes
REFERENCE = "random"
CONTENDERS = ("holdfast", "holdfast-reask")
# Title, key, digits after the point, whether the spread is shown.
COLUMNS = (
    ("area", "area", 3, True),
    ("F1 at 550", "macro_f1_550", 3, True),
    ("F1 at 1050", "macro_f1_1050", 3, True),
    ("rare found", "rare_found", 0, False),
    ("wrong", "wrong_labels", 2, False),
    ("asked again", "re_asked", 0, False),
    ("s/choice", "seconds_per_selection", 2, False),
    ("peak MiB", "peak_mb", 0, False),
)


def add_labels_to_random(rows: Sequence[Row]) -> None:
    """Fill in with how many labels each row reaches random's last macro-F1 of its seed.

    None where random was not run or a method never gets there.
    """
    finals = {row["seed"]: row["curve"][-1] for row in rows if row["method"] == REFERENCE}
    for row in rows:
        reached = [
            labels
            for labels, score in zip(row["checkpoints"], row["curve"], strict=True)
            if score >= finals.get(row["seed"], np.inf)
        ]
        row["labels_to_random_final"] = reached[0] if reached else None


def paired_difference(rows: Sequence[Row], first: str, second: str, key: str) -> dict[str, Any]:
    """Mean of first minus second over the seeds of both, and its standard error.

    Returns
    -------
    dict
        `mean`, `standard_error` (None below two seeds) and `num_seeds`; `mean` None
        without a common seed.
    """
    values: dict[str, dict[int, float]] = {first: {}, second: {}}
    for row in rows:
        if row["method"] in values and row[key] is not None:
            values[row["method"]][row["seed"]] = row[key]
    seeds = sorted(values[first].keys() & values[second].keys())
    gaps = np.array([values[first][seed] - values[second][seed] for seed in seeds])
    return {
        "mean": float(gaps.mean()) if len(gaps) else None,
        "standard_error": float(gaps.std(ddof=1) / np.sqrt(len(gaps))) if len(gaps) > 1 else None,
        "num_seeds": len(gaps),
    }


def tables(rows: Sequence[Row]) -> Iterator[Table]:
    """Give a table of means over seeds, and one of paired differences for each contender."""
    if not rows:
        return
    methods = list(dict.fromkeys(row["method"] for row in rows))
    yield _means(rows, methods)
    for contender in CONTENDERS:
        if contender in methods and len(methods) > 1:
            yield _differences(rows, contender, [name for name in methods if name != contender])


def _means(rows: Sequence[Row], methods: Sequence[str]) -> Table:
    seeds = len({row["seed"] for row in rows})
    imbalance = rows[0]["imbalance"]
    tail = "as the set is" if imbalance is None else f"{imbalance:g}:1"
    table = Table(
        title=f"Macro-F1 on a balanced test set, {tail}, {rows[0]['answer_noise']:.0%} wrong "
        f"answers, mean of {seeds} seeds (± standard deviation)",
        box=SIMPLE_HEAD,
    )
    table.add_column("method", no_wrap=True)
    kept = [column for column in COLUMNS if any(row[column[1]] is not None for row in rows)]
    for title, *_ in kept:
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("to random's end", justify="right", no_wrap=True)
    for method in methods:
        mine = [row for row in rows if row["method"] == method]
        table.add_row(method, *(_cell(mine, *column[1:]) for column in kept), _reached(mine))
    return table


def _cell(rows: Sequence[Row], key: str, digits: int, spread: bool) -> str:
    values = [row[key] for row in rows if row[key] is not None]
    if not values:
        return "none"
    deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if spread and len(values) > 1 else ""
    return f"{np.mean(values):,.{digits}f}{deviation}"


def _reached(rows: Sequence[Row]) -> str:
    """Return the median of labels over the seeds that got there, and how many did."""
    reached = [row["labels_to_random_final"] for row in rows]
    known = [labels for labels in reached if labels is not None]
    if not known:
        return "none"
    return f"{np.median(known):.0f} ({len(known)} of {len(reached)})"


def _differences(rows: Sequence[Row], contender: str, others: Sequence[str]) -> Table:
    table = Table(
        title=f"{contender} less each other method, paired by seed (± standard error)",
        box=SIMPLE_HEAD,
    )
    table.add_column("method", no_wrap=True)
    columns = [key for key in ("area", "macro_f1_550", "macro_f1_1050") if rows[0][key] is not None]
    for key in columns:
        table.add_column(key, justify="right")
    table.add_column("seeds", justify="right")
    for other in others:
        gaps = [paired_difference(rows, contender, other, key) for key in columns]
        if gaps[0]["num_seeds"]:
            table.add_row(other, *map(_gap, gaps), str(gaps[0]["num_seeds"]))
    return table


def _gap(gap: dict[str, Any]) -> str:
    error = gap["standard_error"]
    return f"{gap['mean']:+.3f}" + ("" if error is None else f" ± {error:.3f}")
