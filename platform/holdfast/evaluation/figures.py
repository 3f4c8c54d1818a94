"""The pictures of a report, as SVG text (matplotlib lives here).

Text and grid take the color of the page around them, so one picture reads well on a light
and on a dark background. Nothing here touches pyplot or its global figures.

Shape suffixes: i rows, j columns, k classes.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch
from numpy.typing import NDArray

# The cache of fonts is announced on the first start, on the screen.
logging.getLogger("matplotlib").setLevel(logging.ERROR)

# Mid-tones that differ in lightness as well as hue, for both backgrounds and for color-blind
# readers; after Okabe and Ito, "Color Universal Design", 2008.
PALETTE = ("#4c6ef5", "#e8890c", "#0ca678", "#d6336c", "#868e96", "#22b8cf")
RARE = "#e8890c"
LOSS = "#d6336c"
# Stands for the page's own text color until the SVG is written.
INK = "#0a0b0c"
MARKERS = ("o", "s", "^", "D", "v", "P")
WIDTH = 6.4
MOST_CLASSES = 40


def class_counts(
    names: Sequence[str],
    counts: Sequence[int],
    rare: Sequence[bool],
    line: float,
    start: Sequence[int] | None = None,
) -> str:
    """Draw labels per class against the rare-class line, largest first.

    Parameters
    ----------
    names, counts, rare : sequence, one entry per class
    line : float
        The rare-class line, in labels.
    start : sequence of int or None
        Labels before the first round; drawn as the darker part of each bar.
    """
    order = np.argsort(-np.asarray(counts), kind="stable")
    if len(order) > MOST_CLASSES:
        order = np.r_[order[: MOST_CLASSES // 2], order[-MOST_CLASSES // 2 :]]
    total = np.asarray(counts)[order]
    first = np.zeros_like(total) if start is None else np.minimum(np.asarray(start)[order], total)
    colors = [RARE if rare[k] else PALETTE[0] for k in order]
    figure, axes = _axes(max(2.2, 0.30 * len(order) + 0.9))
    y = np.arange(len(order))
    axes.barh(y, total, color=colors, height=0.68, alpha=1.0 if start is None else 0.5)
    if start is not None:
        axes.barh(y, first, color=colors, height=0.68)
    for position, count in enumerate(total.tolist()):
        axes.annotate(
            f"{count:,}",
            (count, position),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=INK,
        )
    axes.axvline(line, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
    axes.annotate(
        f"rare-class line ({line:.3g})",
        (line, -0.75),
        xytext=(4, 2),
        textcoords="offset points",
        fontsize=9,
        color=INK,
        va="bottom",
    )
    _ticks(axes, "y", y, [names[k] for k in order])
    axes.set_ylim(len(order) - 0.4, -1.3)
    axes.set_xlim(0, max(float(total.max(initial=1)), line, 1.0) * 1.12)
    axes.set_xlabel("labels")
    axes.grid(visible=True, axis="x", color=INK, alpha=0.12)
    handles = [Patch(color=PALETTE[0], label="class"), Patch(color=RARE, label="rare class")]
    if start is not None:
        handles.append(Patch(color=INK, alpha=0.8, label="at the start"))
        handles.append(Patch(color=INK, alpha=0.35, label="added since"))
    legend = axes.legend(handles=handles, loc="lower right", frameon=False, fontsize=9)
    _color(legend.get_texts())
    return _svg(figure, "labels per class")


def curves(series: Mapping[str, tuple[Sequence[float], Sequence[float]]], label: str) -> str:
    """Draw one line per name over rounds, named at its end; a single point is a level.

    Parameters
    ----------
    series : mapping of str to (x, y)
        Round numbers and values in [0, 1]; the first is drawn strongest.
    label : str
        What the values are.
    """
    figure, axes = _axes(4.0)
    rounds = sorted({x for xs, _ in series.values() for x in xs})
    last, ends = rounds[-1], []
    for position, (name, (x, y)) in enumerate(series.items()):
        color = PALETTE[position % len(PALETTE)]
        if len(x) == 1 and len(rounds) > 1:
            axes.axhline(y[0], color=color, linewidth=1.6, linestyle=(0, (5, 3)))
        else:
            axes.plot(
                x,
                y,
                color=color,
                linewidth=2.8 if position == 0 else 1.8,
                marker=MARKERS[position % len(MARKERS)],
                markersize=6 if position == 0 else 4.5,
                zorder=5 if position == 0 else 3,
                clip_on=False,
            )
        ends.append((y[-1], name, color))
    low = min(min(y) for _, y in series.values())
    high = max(max(y) for _, y in series.values())
    margin = max(0.08 * (high - low), 0.02)
    axes.set_ylim(max(0.0, low - margin), min(1.0, high + margin))
    bottom, top = axes.get_ylim()
    for y_end, (value, name, color) in zip(
        _spread([end[0] for end in ends], 0.075 * (top - bottom)), ends, strict=True
    ):
        axes.annotate(
            f"{name}  {value:.3f}",
            (last, y_end),
            xytext=(12, 0),
            textcoords="offset points",
            va="center",
            fontsize=10,
            color=color,
            fontweight="bold",
            annotation_clip=False,
        )
    axes.set_xlim(rounds[0] - 0.15, last + 0.15)
    _ticks(axes, "x", rounds, [f"{x:g}" for x in rounds])
    axes.set_xlabel("round")
    axes.set_ylabel(label)
    axes.grid(visible=True, axis="y", color=INK, alpha=0.12)
    return _svg(figure, f"{label} over rounds")


def heatmap(
    values_ij: NDArray[np.float64],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    label: str,
    x_label: str,
    y_label: str,
    color: str = PALETTE[0],
    full: float = 1.0,
) -> str:
    """Draw a table of shares in [0, 1] as shaded cells with per-cent numbers.

    Parameters
    ----------
    values_ij : ndarray of float, shape (I, J)
        NaN draws a dot: there was nothing to measure.
    label : str
        What the picture shows, for readers who cannot see it.
    full : float
        Value from which a cell has the full color.
    """
    shade_ij = np.minimum(values_ij / full, 1.0)
    num_rows, num_columns = values_ij.shape
    figure, axes = _axes(min(1.3 + 0.36 * num_rows, 10.0))
    known = np.argwhere(~np.isnan(values_ij))
    shown = [(i, j) for i, j in known.tolist() if values_ij[i, j] > 0]
    red, green, blue = to_rgb(color)
    boxes = [
        FancyBboxPatch((j - 0.46, i - 0.46), 0.92, 0.92, boxstyle="round,pad=0,rounding_size=0.08")
        for i, j in shown
    ]
    shades = [(red, green, blue, 0.10 + 0.85 * float(shade_ij[i, j])) for i, j in shown]
    axes.add_collection(PatchCollection(boxes, facecolors=shades, edgecolors="none"))
    size = 9 if num_columns <= 14 else 6.5
    if num_columns <= 24:
        for i, j in known.tolist():
            value = float(values_ij[i, j])
            text = f"{100 * value:.0f}"
            axes.text(
                j,
                i,
                text,
                ha="center",
                va="center",
                fontsize=size,
                color="#ffffff" if shade_ij[i, j] > 0.7 else INK,
                alpha=1.0 if value >= 0.005 else 0.35,
            )
    for i, j in np.argwhere(np.isnan(values_ij)).tolist():
        axes.text(j, i, "·", ha="center", va="center", fontsize=14, color=INK, alpha=0.5)
    axes.set_xlim(-0.5, num_columns - 0.5)
    axes.set_ylim(num_rows - 0.5, -0.5)
    _ticks(axes, "x", range(num_columns), columns)
    _ticks(axes, "y", range(num_rows), rows)
    if max((len(name) for name in columns), default=0) * num_columns > 60:
        axes.tick_params(axis="x", labelrotation=90)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.spines[:].set_visible(False)
    return _svg(figure, label)


def _axes(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    figure.patch.set_alpha(0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(INK)
    axes.spines["bottom"].set_alpha(0.3)
    axes.tick_params(length=0, labelsize=10, labelcolor=INK, pad=6)
    axes.xaxis.label.set(color=INK, fontsize=10, alpha=0.75)
    axes.yaxis.label.set(color=INK, fontsize=10, alpha=0.75)
    axes.set_axisbelow(True)
    axes.grid(visible=False)
    return figure, axes


def _ticks(axes: Axes, axis: str, places: Any, names: Sequence[str]) -> None:
    """Name the ticks; a class called "$x$" is text, not mathematics."""
    # The end often tells names apart ("species 12"), so the middle gives way.
    short = [name if len(name) <= 22 else f"{name[:12]}…{name[-9:]}" for name in names]
    getattr(axes, f"set_{axis}ticks")(list(places), short)
    for text in getattr(axes, f"get_{axis}ticklabels")():
        text.set_parse_math(False)


def _color(texts: Sequence[Any]) -> None:
    for text in texts:
        text.set_color(INK)


def _spread(values: Sequence[float], gap: float) -> list[float]:
    """Move values apart until they stand at least `gap` from each other, order kept."""
    order = np.argsort(values, kind="stable")
    ranked = np.asarray(values, np.float64)[order]
    placed = np.maximum.accumulate(ranked - gap * np.arange(len(ranked)))
    placed = placed + gap * np.arange(len(ranked))
    placed -= (placed - ranked).mean()
    result = np.empty_like(placed)
    result[order] = placed
    return [float(value) for value in result]


def _svg(figure: Figure, label: str) -> str:
    """Write a figure as an SVG element that takes the page's font and text color."""
    buffer = io.StringIO()
    settings = mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": label, "text.parse_math": False}
    )
    with settings, warnings.catch_warnings():
        # The browser has the glyphs that matplotlib's own font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    # One page holds several pictures: their ids must differ.
    prefix = re.sub(r"\W+", "-", label)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'((?:xlink:)?href)="#', rf'\1="#{prefix}-', svg).replace(
        "url(#", f"url(#{prefix}-"
    )
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{_attribute(label)}" ', 1)


def _attribute(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
