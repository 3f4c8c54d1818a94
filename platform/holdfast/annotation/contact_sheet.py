"""Pages that show a query's images, what the model takes them for, and why it asks."""

from __future__ import annotations

import base64
import html
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from string import Template

from PIL import Image, UnidentifiedImageError

from holdfast.annotation.oracle import Card
from holdfast.records import AskReason, Query

# Longest side of a thumbnail: 200 cards stay near 3 MB.
THUMBNAIL = 320
# Below this an image is enlarged with hard pixels, since blurring hides what it shows.
TINY = 64

REASONS: dict[AskReason, str] = {
    "suspect": "Label looks wrong",
    "uncertain": "Worth learning",
    "disagreement": "Second opinion",
    "random": "Random check",
    "holdout": "To be sure",
}
LEGEND: dict[AskReason, str] = {
    "suspect": "asked again: the label looks wrong",
    "uncertain": "worth learning",
    "disagreement": "for a second opinion",
    "random": "drawn at random",
    "holdout": "kept for evaluation: the label has to be beyond doubt",
}


def render(
    query: Query,
    cards: Sequence[Card],
    images: Sequence[bytes],
    class_names: Sequence[str],
    *,
    csv_name: str,
) -> str:
    """Return a self-contained HTML page with one card per sample, in the order of the CSV.

    Parameters
    ----------
    cards : sequence of Card
    images : sequence of bytes
        One image file per card, in any format Pillow reads; one it cannot read is shown
        as missing.
    class_names : sequence of str
        Names to choose from.
    csv_name : str
        File that takes the answers.

    Raises
    ------
    ValueError
        If cards and images differ in number.
    """
    return _page(
        heading="What is this?",
        title=f"Round {query.round_number}",
        subtitle=_subtitle(query, len(cards)),
        how=f"The cards stand in the order of the rows of <code>{html.escape(csv_name)}</code>. "
        "Write the class of each image into that file's last column, <code>label</code>; write "
        "<code>?</code> where you cannot tell, and leave a row empty to answer it later. Then run "
        "<code>holdfast run</code> again.",
        class_names=class_names,
        cards=cards,
        bodies=[
            _card(number, card, data)
            for number, (card, data) in enumerate(zip(cards, images, strict=True), start=1)
        ],
    )


def render_preview(
    query: Query,
    cards: Sequence[Card],
    images: Sequence[bytes],
    class_names: Sequence[str],
    *,
    formula: str,
) -> str:
    """Return a self-contained HTML page of what would be asked, each card with its score's parts.

    Parameters
    ----------
    query : Query
        Whose items the cards are of, in its order.
    images : sequence of bytes
        As for `render`.
    formula : str
        What the score of new samples is made of.

    Raises
    ------
    ValueError
        If items, cards and images differ in number.
    """
    rows = zip(query.items, cards, images, strict=True)
    return _page(
        heading="What would be asked",
        title=f"Round {query.round_number}",
        subtitle=_subtitle(query, len(cards)),
        how="A preview: nothing was sent and nothing recorded. New samples are scored by "
        f"<code>{html.escape(formula)}</code>; each card shows its score and the parts of it.",
        class_names=class_names,
        cards=cards,
        bodies=[
            _card(number, card, data, _score(item.score, item.parts))
            for number, (item, card, data) in enumerate(rows, start=1)
        ],
    )


def _page(
    *,
    heading: str,
    title: str,
    subtitle: str,
    how: str,
    class_names: Sequence[str],
    cards: Sequence[Card],
    bodies: Sequence[str],
) -> str:
    """Fill the page in; `how` is HTML, all else text."""
    counts = Counter(card.reason for card in cards)
    return _PAGE.substitute(
        heading=html.escape(heading),
        title=html.escape(title),
        subtitle=html.escape(subtitle),
        how=how,
        classes="".join(f"<code>{html.escape(name)}</code>" for name in class_names),
        classes_hidden="" if class_names else " hidden",
        legend="".join(
            f'<li><span class="dot {reason}"></span>{counts[reason]} {text}</li>'
            for reason, text in LEGEND.items()
            if counts[reason]
        ),
        cards="".join(bodies),
    )


def _subtitle(query: Query, num_cards: int) -> str:
    samples = "1 image" if num_cards == 1 else f"{num_cards} images"
    return samples if query.batch == 1 else f"{samples}, question {query.batch}"


def _score(score: float, parts: Mapping[str, float]) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(name.replace('_', ' '))}</th><td>{value:.3f}</td>"
        f'<td class="bar"><i style="width:{100 * min(max(value, 0.0), 1.0):.0f}%"></i></td></tr>'
        for name, value in [("score", score), *parts.items()]
    )
    return f'<table class="parts">{rows}</table>'


def _card(number: int, card: Card, data: bytes, extra: str = "") -> str:
    guess = (
        '<p class="guess none">No guess yet</p>'
        if card.guess is None
        else f'<p class="guess"><b>{html.escape(card.guess)}</b>'
        f"<span>{card.confidence:.0%}</span></p>"
        f'<div class="meter" role="img" aria-label="{card.confidence:.0%} sure">'
        f'<i style="width:{100 * min(max(card.confidence, 0.0), 1.0):.0f}%"></i></div>'
    )
    record = (
        f'<p class="record">On record: <b>{html.escape(card.label)}</b></p>' if card.label else ""
    )
    source = f"{html.escape(card.source)} · " if card.source else ""
    heading = "Our guess" if card.reason == "suspect" else "Model's guess"
    return (
        f'<article class="card {card.reason}" id="n{number}">'
        f'<div class="picture">{_picture(number, data)}<span class="number">{number}</span></div>'
        f'<div class="text"><p class="tag"><span class="dot {card.reason}"></span>'
        f"{html.escape(REASONS[card.reason])}</p>"
        f'<p class="small">{heading}</p>{guess}{record}'
        f'<p class="why">{html.escape(card.why)}</p>{extra}'
        f'<p class="uid" title="{html.escape(card.uid)}">{source}{html.escape(card.uid[:12])}</p>'
        "</div></article>"
    )


def _picture(number: int, data: bytes) -> str:
    try:
        with Image.open(io.BytesIO(data)) as opened:
            opened.load()
            image = opened.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return '<p class="missing">This image cannot be shown</p>'
    tiny = max(image.size) <= TINY
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    if tiny:
        image.save(buffer, "PNG")
    else:
        image.save(buffer, "JPEG", quality=82)
    kind = "png" if tiny else "jpeg"
    uri = f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    style = ' class="tiny"' if tiny else ""
    return f'<img{style} src="{uri}" alt="Image {number}">'


_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title: $heading</title>
<style>
:root { color-scheme: light dark; --back: #f5f5f3; --card: #fff; --ink: #1c1e21; --soft: #6a6f76;
  --line: #e2e2de; --well: #ecece8; --suspect: #c8453b; --uncertain: #2f6fd0;
  --disagreement: #8a56c2; --random: #7a8088; }
@media (prefers-color-scheme: dark) { :root { --back: #131417; --card: #1d1f23; --ink: #ececea;
  --soft: #9aa0a8; --line: #2c2f35; --well: #0d0e10; --suspect: #f0776c; --uncertain: #72a5f5;
  --disagreement: #bd92ec; --random: #9aa0a8; } }
* { box-sizing: border-box; margin: 0; }
body { font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  background: var(--back); color: var(--ink); padding: 40px 24px 64px; }
main { max-width: 1240px; margin: 0 auto; }
header h1 { font-size: 30px; letter-spacing: -.02em; line-height: 1.15; }
header h1 span { color: var(--soft); font-weight: 400; }
.how { margin-top: 12px; max-width: 68ch; color: var(--soft); }
code { font: 13px/1 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; color: var(--ink);
  background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: 3px 7px;
  white-space: nowrap; }
.classes { display: flex; flex-wrap: wrap; gap: 6px; margin-top: 14px; align-items: center; }
.classes[hidden] { display: none; }
.classes span { color: var(--soft); margin-right: 4px; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 20px; list-style: none; padding: 0;
  margin: 18px 0 22px; color: var(--soft); }
.dot { display: inline-block; width: 9px; height: 9px; border-radius: 50%; margin-right: 7px; }
.dot.suspect { background: var(--suspect); } .dot.uncertain { background: var(--uncertain); }
.dot.disagreement { background: var(--disagreement); } .dot.random { background: var(--random); }
.cards { display: grid; gap: 18px; grid-template-columns: repeat(auto-fill, minmax(224px, 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  overflow: hidden; display: flex; flex-direction: column; break-inside: avoid; }
.picture { position: relative; aspect-ratio: 4 / 3; background: var(--well); display: grid;
  place-items: center; overflow: hidden; }
.picture img { position: absolute; inset: 0; width: 100%; height: 100%; object-fit: contain; }
.picture img.tiny { image-rendering: pixelated; padding: 12px; }
.missing { color: var(--soft); padding: 16px; text-align: center; }
.number { position: absolute; top: 10px; left: 10px; min-width: 26px; padding: 2px 8px;
  border-radius: 999px; background: rgb(0 0 0 / .62); color: #fff; text-align: center;
  font-size: 13px; font-weight: 600; font-variant-numeric: tabular-nums; }
.text { padding: 14px 16px 14px; display: flex; flex-direction: column; gap: 3px; flex: 1; }
.tag { font-weight: 600; font-size: 13px; margin-bottom: 6px; }
.card.suspect .tag { color: var(--suspect); } .card.uncertain .tag { color: var(--uncertain); }
.card.disagreement .tag { color: var(--disagreement); } .card.random .tag { color: var(--random); }
.small, .record, .uid { color: var(--soft); font-size: 13px; }
.record b { color: var(--ink); }
.guess { display: flex; justify-content: space-between; gap: 8px; font-size: 18px; }
.guess b { overflow-wrap: anywhere; } .guess span { color: var(--soft); font-size: 15px; }
.guess.none { color: var(--soft); }
.meter { height: 5px; border-radius: 3px; background: var(--well); margin: 3px 0 5px; }
.meter i { display: block; height: 100%; border-radius: 3px; background: var(--uncertain); }
.card.suspect .meter i { background: var(--suspect); }
.card.disagreement .meter i { background: var(--disagreement); }
.card.random .meter i { background: var(--random); }
.why { margin-top: 4px; }
.parts { width: 100%; margin-top: 8px; border-collapse: collapse; font-size: 12px;
  color: var(--soft); font-variant-numeric: tabular-nums; }
.parts th { text-align: left; font-weight: 400; white-space: nowrap; padding: 1px 8px 1px 0; }
.parts td { text-align: right; } .parts tr:first-child { color: var(--ink); }
.parts tr:first-child th { font-weight: 600; }
.parts .bar { width: 40%; padding-left: 8px; }
.parts .bar i { display: block; height: 5px; border-radius: 3px; background: var(--line); }
.parts tr:first-child .bar i { background: var(--soft); }
.uid { margin-top: auto; padding-top: 10px; font-size: 12px; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; }
@media print { body { background: #fff; padding: 0; } .card { border-color: #bbb; } }
</style></head><body><main>
<header><h1>$heading <span>$title · $subtitle</span></h1>
<p class="how">$how</p>
<p class="classes"$classes_hidden><span>Classes</span>$classes</p>
<ul class="legend">$legend</ul></header>
<section class="cards">$cards</section>
</main></body></html>
""")
