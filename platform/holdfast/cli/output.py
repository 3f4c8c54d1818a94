"""What a command gives back, and plain-text tables."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_RIGHT = (int, float)


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The outcome of a command.

    Attributes
    ----------
    data : mapping
        For programs: printed by `--json`.
    text : str
        The same for people.
    """

    data: Mapping[str, object]
    text: str
    exit_code: int = 0

    def render(self, as_json: bool) -> str:
        """Return what goes to stdout."""
        if as_json:
            return json.dumps(self.data, indent=2, ensure_ascii=False, default=str)
        return self.text


def facts(pairs: Mapping[str, str]) -> str:
    """Lay out names and values in two columns.

    Examples
    --------
    >>> print(facts({"samples": "12", "round": "none yet"}))
    samples  12
    round    none yet
    """
    width = max((len(name) for name in pairs), default=0)
    return "\n".join(f"{name:<{width}}  {value}".rstrip() for name, value in pairs.items())


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay out rows in aligned columns, numbers to the right; None is a dash.

    Examples
    --------
    >>> print(table(["class", "labels"], [["cat", 12], ["dog", None]]))
    class  labels
    cat        12
    dog         -
    """
    cells = [[_cell(value) for value in row] for row in rows]
    right = [
        all(row[column] is None or isinstance(row[column], _RIGHT) for row in rows)
        for column in range(len(header))
    ]
    widths = [
        max(len(line[column]) for line in [list(header), *cells]) for column in range(len(header))
    ]
    lines = []
    for line in [list(header), *cells]:
        aligned = [
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ]
        lines.append("  ".join(aligned).rstrip())
    return "\n".join(lines)


def count(number: int, noun: str, plural: str | None = None) -> str:
    """Say a number with its noun: `1 sample`, `2,527 samples`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
