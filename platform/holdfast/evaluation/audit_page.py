"""What an audit found, as one page with pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from holdfast.evaluation.report import page
from holdfast.evaluation.sections import tile
from holdfast.evaluation.tables import count, empty, section, table
from holdfast.evaluation.thumbnails import data_uri


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditCard:
    """One sample with a finding.

    Attributes
    ----------
    image : bytes
        An image file of any common format.
    given, suggested : str
        Names of the classes on record and proposed; empty for none.
    notes : tuple of str
        Short lines below the picture.
    """

    image: bytes
    source: str
    given: str = ""
    suggested: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Gallery:
    """Samples with one kind of finding, worst first; `total` counts those not shown, too."""

    title: str
    lead: str
    cards: tuple[AuditCard, ...]
    total: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table with a sentence above it; `text` columns align left."""

    title: str
    lead: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: int = 1
    nothing: str = "Nothing stands out."


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditPage:
    """Everything the page shows.

    Attributes
    ----------
    errors : tuple of str
        What makes the numbers of this project untrue until somebody acts.
    tiles : tuple of (str, str, str)
        Headline numbers: name, value, note.
    """

    title: str
    made_at: str
    errors: tuple[str, ...] = ()
    tiles: tuple[tuple[str, str, str], ...] = ()
    tables: tuple[Table, ...] = ()
    galleries: tuple[Gallery, ...] = ()


def render(data: AuditPage) -> str:
    """Return the page, which needs nothing but itself; the same data give the same page."""
    numbers = "".join(tile(*one) for one in data.tiles)
    errors = "".join(f"<li>{escape(one)}</li>" for one in data.errors)
    parts = [
        f'<dl class="tiles">{numbers}</dl>',
        section("To put right first", "", f"<ol>{errors}</ol>", "next") if errors else "",
        *(_gallery(one) for one in data.galleries[:1]),
        *(_table(one) for one in data.tables),
        *(_gallery(one) for one in data.galleries[1:]),
    ]
    return page(
        f"Audit of {data.title}",
        data.made_at,
        "\n".join(part for part in parts if part),
        "Holdfast audit · nothing was changed or removed; labels are corrected by people",
    )


def _table(data: Table) -> str:
    content = table("", data.head, data.rows, data.text) if data.rows else empty(data.nothing)
    return section(data.title, data.lead, content)


def _gallery(data: Gallery) -> str:
    lead = data.lead
    if data.total > len(data.cards):
        lead += f" {len(data.cards)} of {count(data.total)} are shown."
    cards = "".join(_card(card) for card in data.cards)
    content = f'<ul class="gallery">{cards}</ul>' if cards else empty("None found.")
    return section(data.title, lead, content)


def _card(card: AuditCard) -> str:
    uri, tiny = data_uri(card.image)
    if uri:
        kind = ' class="tiny"' if tiny else ""
        shown = f'<img{kind} src="{uri}" alt="{escape(card.source)}" loading="lazy">'
    else:
        shown = '<div class="nothing">no picture</div>'
    change = ""
    if card.given and card.suggested and card.given != card.suggested:
        change = f"<del>{escape(card.given)}</del> → <ins>{escape(card.suggested)}</ins>"
    elif card.given:
        change = escape(card.given)
    notes = "".join(f'<p class="small">{escape(note)}</p>' for note in (*card.notes, card.source))
    return f'<li>{shown}<p class="change">{change}</p>{notes}</li>'
