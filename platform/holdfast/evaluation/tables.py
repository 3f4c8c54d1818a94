"""Small pieces of HTML: everything a caller passes as text is escaped here.

Names ending in `html` hold markup that is safe already; all others hold plain text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

NOTHING = "\N{EN DASH}"


def share(value: float | None) -> str:
    """Return three decimals, or a dash where there is no value."""
    return NOTHING if value is None else f"{value:.3f}"


def span(limits: Sequence[float] | None) -> str:
    """Return an interval as `0.812 to 0.861`, or a dash where there is none."""
    return NOTHING if limits is None else f"{limits[0]:.3f} to {limits[1]:.3f}"


def count(value: int | None) -> str:
    """Return a whole number with separators, or a dash where there is none."""
    return NOTHING if value is None else f"{value:,}"


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1) -> str:
    """Return a table whose first column names its rows; the first `text` columns align left."""
    top = "".join(
        f'<th scope="col"{_left(j, text)}>{escape(name)}</th>' for j, name in enumerate(head)
    )
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td{_left(j, text)}>{escape(cell)}</td>" for j, cell in enumerate(row[1:], 1))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{escape(caption)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column of a grouped table; `own` makes it stand out."""

    name: str
    cells: tuple[str, ...]
    own: bool = False


def grouped_table(
    caption: str, corner: str, rows: Sequence[str], groups: Sequence[tuple[str, Sequence[Column]]]
) -> str:
    """Return a table with one block of columns per group; every group has a column."""
    top = "".join(
        f'<th scope="colgroup" class="first" colspan="{len(columns)}">{escape(group)}</th>'
        for group, columns in groups
    )
    flat = [
        (column, f"{'own' if column.own else 'other'}{' first' if j == 0 else ''}")
        for _, columns in groups
        for j, column in enumerate(columns)
    ]
    second = "".join(
        f'<th scope="col" class="{place}">{escape(column.name)}</th>' for column, place in flat
    )
    body = "".join(
        f'<tr><th scope="row">{escape(row)}</th>'
        + "".join(f'<td class="{place}">{escape(column.cells[i])}</td>' for column, place in flat)
        + "</tr>"
        for i, row in enumerate(rows)
    )
    return (
        f'<div class="scroll" tabindex="0"><table><caption>{escape(caption)}</caption><thead>'
        f'<tr class="groups"><td></td>{top}</tr>'
        f'<tr><th scope="col">{escape(corner)}</th>{second}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def section(title: str, lead: str, content_html: str, kind: str = "") -> str:
    """Return a titled card with one explaining sentence."""
    lead_html = f'<p class="lead">{escape(lead)}</p>' if lead else ""
    kind_html = f' class="{escape(kind)}"' if kind else ""
    return f"<section{kind_html}><h2>{escape(title)}</h2>{lead_html}{content_html}</section>"


def empty(text: str) -> str:
    """Return a quiet box that says why there is nothing here."""
    return f'<p class="empty">{escape(text)}</p>'


def picture(svg_html: str, numbers_html: str) -> str:
    """Return a picture with its numbers folded beneath it."""
    return (
        f"<figure>{svg_html}</figure>"
        f"<details><summary>Show the numbers</summary>{numbers_html}</details>"
    )


def _left(column: int, text: int) -> str:
    return ' class="text"' if column < text else ""
