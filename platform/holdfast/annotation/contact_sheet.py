"""One page that shows a query's images, what the model takes them for, and why it asks."""

from __future__ import annotations

import base64
import html
import io
from collections import Counter
from collections.abc import Sequence
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
}
LEGEND: dict[AskReason, str] = {
    "suspect": "asked again: the label looks wrong",
    "uncertain": "worth learning",
    "disagreement": "for a second opinion",
    "random": "drawn at random",
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
    rows = zip(cards, images, strict=True)
    counts = Counter(card.reason for card in cards)
    return _PAGE.substitute(
        title=html.escape(f"Round {query.round_number}"),
        subtitle=_subtitle(query, len(cards)),
        csv=html.escape(csv_name),
        classes="".join(f"<code>{html.escape(name)}</code>" for name in class_names),
        classes_hidden="" if class_names else " hidden",
        legend="".join(
            f'<li><span class="dot {reason}"></span>{counts[reason]} {text}</li>'
            for reason, text in LEGEND.items()
            if counts[reason]
        ),
        cards="".join(
            _card(number, card, data) for number, (card, data) in enumerate(rows, start=1)
        ),
    )


def _subtitle(query: Query, num_cards: int) -> str:
    samples = "1 image" if num_cards == 1 else f"{num_cards} images"
    return samples if query.batch == 1 else f"{samples}, question {query.batch}"


def _card(number: int, card: Card, data: bytes) -> str:
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
        f'<p class="why">{html.escape(card.why)}</p>'
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
<title>$title: what is this?</title>
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
.uid { margin-top: auto; padding-top: 10px; font-size: 12px; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; }
@media print { body { background: #fff; padding: 0; } .card { border-color: #bbb; } }
</style></head><body><main>
<header><h1>What is this? <span>$title · $subtitle</span></h1>
<p class="how">The cards stand in the order of the rows of <code>$csv</code>. Write the class of
each image into that file's last column, <code>label</code>; write <code>?</code> where you cannot
tell, and leave a row empty to answer it later. Then run <code>holdfast run</code> again.</p>
<p class="classes"$classes_hidden><span>Classes</span>$classes</p>
<ul class="legend">$legend</ul></header>
<section class="cards">$cards</section>
</main></body></html>
""")
