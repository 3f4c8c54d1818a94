"""The results of the label quality benchmark as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from benchmarks.label_quality_methods import FILTERS, REVIEWS
from benchmarks.measurement import Row

WIDTH = 128  # of the screen that a table takes
# Title, key, digits after the point.
COLUMNS = (
    ("auroc", "auroc", 3),
    ("auprc", "auprc", 3),
    ("f1", "f1", 3),
    ("best cut", "f1_best_cut", 3),
    ("wrong", "num_wrong", 0),
    ("flagged", "num_flagged", 0),
    ("of correct rare", "flag_rate_correct_rare", 4),
    ("frequent", "flag_rate_correct_frequent", 4),
    ("seconds", "seconds", 2),
    ("peak MiB", "peak_mb", 0),
)


def tables(rows: Sequence[Row]) -> Iterator[Table]:
    """Give a table of rankings and cuts, one of cleanlab's filters, and one of reviews."""
    known = [row for row in rows if "f1" in row]
    if known:
        table = Table(title="Wrong labels found, and how many were flagged", box=SIMPLE_HEAD)
        _fill(table, known, COLUMNS)
        yield table
    filtered = [row for row in known if row["method"] == "holdfast" and f"f1_{FILTERS[0]}" in row]
    if filtered:
        table = Table(title="F1 of our cut, and of cleanlab's filters", box=SIMPLE_HEAD)
        names = [(name.replace("_", " "), f"f1_{name}", 3) for name in FILTERS]
        _fill(table, filtered, (("our cut", "f1", 3), *names))
        yield table
    reviewed = [row for row in rows if "confirmed" in row]
    if reviewed:
        table = Table(
            title="Errors that people confirmed, among the first labels of each order",
            box=SIMPLE_HEAD,
        )
        names = [(f"first {num}", f"found_first_{num}", 0) for num in REVIEWS]
        _fill(table, reviewed, (("samples", "samples", 0), ("confirmed", "confirmed", 0), *names))
        yield table


def _fill(table: Table, rows: Sequence[Row], columns: Sequence[tuple[str, str, int]]) -> None:
    table.add_column("input")
    table.add_column("method", no_wrap=True)
    for title, _, _ in columns:
        table.add_column(title, justify="right")
    for row in rows:
        cells = (row.get(key) for _, key, _ in columns)
        shown = (
            "none" if value is None else f"{value:,.{digits}f}"
            for value, (_, _, digits) in zip(cells, columns, strict=True)
        )
        table.add_row(row["input"], row["method"], *shown)
