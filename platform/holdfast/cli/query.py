"""`holdfast query`: what the next round would ask."""

from __future__ import annotations

from argparse import Namespace
from collections import Counter

from holdfast.annotation.contact_sheet import LEGEND, REASONS
from holdfast.cli.output import Result, count, facts, table
from holdfast.cli.screen import Screen
from holdfast.phases.preview import Preview, preview
from holdfast.project import Project

_GROUPS_SHOWN = 5


def query(options: Namespace) -> Result:
    """Choose as the next round would, show it, and ask nobody.

    Raises
    ------
    ConfigError, PoolExhaustedError, DayLimitError
        When the round could not ask.
    """
    with Project.open(options.config) as project, Screen() as screen:
        found = preview(project, screen.show)
        formula = project.config.query.strategy
    return Result(data=_data(found, formula), text=_text(found, formula, options.top))


def _data(found: Preview, formula: str) -> dict[str, object]:
    return {
        "round": found.query.round_number,
        "strategy": formula,
        "budget": found.choice.budget,
        "reserve": found.choice.reserve,
        "advice": {"stop": found.choice.advice.stop, "reason": found.choice.advice.reason},
        "strange_groups": list(found.choice.strange),
        "page": str(found.page),
        "items": [
            {
                "uid": card.uid,
                "source": card.source,
                "reason": item.reason,
                "score": item.score,
                "parts": dict(item.parts),
                "guess": card.guess,
                "confidence": card.confidence,
                "given": card.label,
            }
            for item, card in zip(found.query.items, found.cards, strict=True)
        ],
    }


def _text(found: Preview, formula: str, top: int) -> str:
    items = found.query.items
    reasons = Counter(item.reason for item in items)
    parts = list(dict.fromkeys(name for item in items for name in item.parts))
    rows = [
        [
            REASONS[item.reason].lower(),
            card.source or card.uid[:12],
            card.label,
            card.guess,
            item.score,
            *(item.parts.get(name) for name in parts),
        ]
        for item, card in list(zip(items, found.cards, strict=True))[:top]
    ]
    header = ["why", "image", "on record", "guess", "score", *(n.replace("_", " ") for n in parts)]
    said = facts(
        {
            "round": f"{found.query.round_number}, a preview: nobody was asked",
            "score": formula,
            "answers": f"{found.choice.budget:,}, of which {found.choice.reserve:,} are kept for "
            "second opinions",
            "asks about": ", ".join(
                f"{number:,} {LEGEND[reason]}" for reason, number in reasons.items()
            ),
            **_strange(found.choice.strange),
            "worth it": ("no: " if found.choice.advice.stop else "yes: ")
            + found.choice.advice.reason,
            "page": str(found.page),
        }
    )
    more = len(items) - len(rows)
    tail = f"\nand {count(more, 'sample')} more; see the page or --json" if more > 0 else ""
    return f"{said}\n\n{table(header, rows)}{tail}"


def _strange(sizes: tuple[int, ...]) -> dict[str, str]:
    """Say how many groups of the pool look like no known class."""
    if not sizes:
        return {}
    shown = ", ".join(f"{size:,}" for size in sizes[:_GROUPS_SHOWN])
    tail = ", ..." if len(sizes) > _GROUPS_SHOWN else ""
    return {"unlike any class": f"{count(len(sizes), 'group')} of the pool ({shown}{tail} samples)"}
