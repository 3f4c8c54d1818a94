"""The results of the continual benchmark as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks.measurement import Row
from benchmarks.panels import PANELS

WIDTH = 128  # of the screen that a panel's table takes
# Title, key, digits after the point, whether the spread is shown.
COLUMNS = (
    ("accuracy", "accuracy", 3, True),
    ("balanced", "balanced_accuracy", 3, True),
    ("rarest 3", "rarest3_recall", 3, True),
    ("forgetting", "forgetting", 3, True),
    ("seconds", "seconds", 1, False),
    ("samples/s", "samples_per_s", 0, False),
    ("peak MiB", "peak_mb", 0, False),
    ("state MiB", "checkpoint_mb", 2, False),
)


def tables(rows: Sequence[Row], throughput: Sequence[dict[str, Any]]) -> Iterator[Table]:
    """Give a table per panel, means over seeds with their spread, and one of throughput."""
    for panel in dict.fromkeys(row["panel"] for row in rows):
        mine = [row for row in rows if row["panel"] == panel]
        yield _panel_table(panel, mine)
        if panel == "growth":
            yield _growth_table(mine)
    if throughput:
        table = Table(title="Samples through the network, exemplars included", box=SIMPLE_HEAD)
        for name in ("network", "method", "samples/s", "of the plain loop"):
            table.add_column(name, justify="left" if name in ("network", "method") else "right")
        for entry in throughput:
            speed, share = entry["samples_per_s"], entry["share_of_plain_loop"]
            table.add_row(entry["network"], entry["method"], f"{speed:,.0f}", f"{share:.2f}")
        yield table


def _panel_table(panel: str, rows: Sequence[Row]) -> Table:
    seeds = len({row["seed"] for row in rows})
    table = Table(
        title=f"{panel}: {PANELS[panel].about}; buffer {rows[0]['buffer']}, "
        f"passes {rows[0]['epochs']}, mean of {seeds} seeds (± standard deviation)",
        box=SIMPLE_HEAD,
    )
    table.add_column("method", no_wrap=True)
    for title, *_ in COLUMNS:
        table.add_column(title, justify="right", no_wrap=True)
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        cells = []
        for _, key, digits, spread in COLUMNS:
            values = [row[key] for row in mine if row[key] is not None]
            if not values:
                cells.append("none")
                continue
            deviation = f" ± {np.std(values):.{digits}f}" if spread and len(values) > 1 else ""
            cells.append(f"{np.mean(values):,.{digits}f}{deviation}")
        table.add_row(method, *cells)
    return table


def _growth_table(rows: Sequence[Row]) -> Table:
    last = len(rows[0]["rounds"])
    table = Table(title=f"growth: round {last} against round 1", box=SIMPLE_HEAD)
    table.add_column("method", no_wrap=True)
    for title in ("CPU s 1", f"CPU s {last}", "ratio", "MiB 1", f"MiB {last}", "ratio"):
        table.add_column(title, justify="right")
    for method in dict.fromkeys(row["method"] for row in rows):
        mine = [row for row in rows if row["method"] == method]
        cells = []
        for key, digits in (("cpu_seconds", 2), ("checkpoint_mb", 2)):
            first, latest = (
                float(np.mean([row["rounds"][place][key] for row in mine])) for place in (0, -1)
            )
            cells += [f"{first:.{digits}f}", f"{latest:.{digits}f}", f"{latest / first:.2f}"]
        table.add_row(method, *cells)
    return table
