"""The pictures of the report about annotators that need no axes: bars of days, and intervals.

They are SVG text in the page's own color and font, so they read well on light and dark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from html import escape

from holdfast.evaluation.annotator_data import AnnotatorResult
from holdfast.evaluation.figures import LOSS, PALETTE
from holdfast.evaluation.resampling import Interval

MOST_DAYS = 60
MOST_ANNOTATORS = 16
_WIDTH, _ROW = 560, 26
_NAME = 20


def days(first: date, counts: Sequence[int]) -> str:
    """Draw the answers of consecutive days as bars.

    Parameters
    ----------
    first : date
        The day of the first count.
    counts : sequence of int
        One per day, at least one.
    """
    left, top, height, bottom = 22, 26, 190, 26
    step = (_WIDTH - 2 * left) / len(counts)
    most = max(*counts, 1)
    parts = []
    for place, number in enumerate(counts):
        tall = height * number / most
        day = first + timedelta(days=place)
        x, wide = left + place * step, min(step * 0.76, 54.0)
        parts.append(
            f'<rect x="{x + (step - wide) / 2:.1f}" y="{top + height - tall:.1f}" '
            f'width="{wide:.1f}" height="{tall:.1f}" rx="{min(3.0, tall / 2):.1f}" '
            f'fill="{PALETTE[0]}"><title>{day.isoformat()}: {number:,}</title></rect>'
        )
        if number and (len(counts) <= 16 or number == most):
            middle = x + step / 2
            parts.append(_text(middle, top + height - tall - 6, f"{number:,}", "middle"))
    base = top + height
    parts.append(_line(left, base, _WIDTH - left, base, 0.3))
    # As many dates as can be read, today's always among them.
    every = -(-len(counts) // 8)
    for place in range(len(counts) - 1, -1, -every):
        day = first + timedelta(days=place)
        parts.append(
            _text(left + (place + 0.5) * step, base + 18, f"{day.day} {day:%b}", "middle", 0.75)
        )
    return _svg("Answers per day", top + height + bottom, parts)


def accuracies(annotators: Sequence[AnnotatorResult]) -> str:
    """Draw the accuracy of each annotator as a dot on its interval, in the order given.

    Parameters
    ----------
    annotators : sequence of AnnotatorResult
        Each with an accuracy and an interval; at least one.
    """
    left, right, top = 176, 46, 8
    shown = [(one, one.accuracy, one.interval) for one in annotators]
    known = [(one, value, span) for one, value, span in shown if value is not None and span]
    low = _floor(span for _, _, span in known)
    bottom = top + _ROW * len(known)

    def at(value: float) -> float:
        return left + (_WIDTH - left - right) * (value - low) / (1.0 - low)

    parts = []
    for tick in range(5):
        value = low + (1.0 - low) * tick / 4
        parts.append(_line(at(value), top, at(value), bottom, 0.12))
        parts.append(_text(at(value), bottom + 18, f"{100 * value:.0f} %", "middle", 0.75))
    for row, (one, value, span) in enumerate(known):
        y = top + _ROW * (row + 0.5)
        color = LOSS if one.is_spammer else PALETTE[0]
        parts.append(_text(left - 12, y + 4, shorten(one.name, _NAME), "end"))
        parts.append(
            f'<line x1="{at(span[0]):.1f}" y1="{y}" x2="{at(span[1]):.1f}" y2="{y}" '
            f'stroke="{color}" stroke-width="4" stroke-linecap="round" opacity="0.4"/>'
            f'<circle cx="{at(value):.1f}" cy="{y}" r="5.5" fill="{color}">'
            f"<title>{escape(one.name)}: {value:.3f}</title></circle>"
        )
        parts.append(_text(_WIDTH - right + 12, y + 4, f"{100 * value:.0f}", "start"))
    return _svg("Accuracy of each annotator", bottom + 28, parts)


def shorten(name: str, most: int) -> str:
    """Return a name of at most `most` characters; the middle gives way."""
    if len(name) <= most:
        return name
    end = (most - 1) // 3
    return f"{name[: most - 1 - end]}…{name[-end:]}"


def _floor(spans: Iterable[Interval]) -> float:
    """Return where the axis begins: a round number below every interval, 0.8 at most."""
    lowest = min((span[0] for span in spans), default=0.0)
    return min(max(int(lowest * 5) / 5, 0.0), 0.8)


def _text(x: float, y: float, text: str, anchor: str, opacity: float = 1.0) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="12.5" '
        f'fill="currentColor" opacity="{opacity}">{escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float, opacity: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="currentColor" opacity="{opacity}"/>'
    )


def _svg(label: str, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {_WIDTH} {height:.0f}">'
        f"{''.join(parts)}</svg>"
    )
