"""`holdfast annotators`: who answers, how fast and how well."""

from __future__ import annotations

from argparse import Namespace

from holdfast.cli.output import Result, count, facts, table
from holdfast.evaluation.annotator_advice import to_look_at
from holdfast.evaluation.annotator_data import AnnotatorResult, AnnotatorsData, to_json
from holdfast.phases.annotators import write_annotators
from holdfast.project import Project

_SHOWN = 50
_HEAD = (
    "annotator",
    "answers",
    "7 days",
    "no class",
    "aside",
    "seconds",
    "accuracy",
    "90 %",
    "kappa",
    "gold",
    "weight",
    "",
)


def annotators(options: Namespace) -> Result:
    """Write the report about annotators from what the ledger says; the ledger stays as it was."""
    with Project.open(options.config) as project:
        page, numbers, data = write_annotators(project)
    return Result(
        data={
            "html": str(page),
            "json": str(numbers),
            "to_look_at": to_look_at(data),
            "report": to_json(data),
        },
        text=_text(data, str(page), str(numbers)),
    )


def _text(data: AnnotatorsData, page: str, numbers: str) -> str:
    right, asked = data.gold
    said = {
        "answers": f"{data.replies.labels:,} by {count(len(data.annotators), 'annotator')}",
        "alpha": _scale(data.alpha, data.alarm_below),
        "Fleiss' kappa": _scale(data.fleiss, data.alarm_below),
        "gold": f"{right:,} of {asked:,} right" if asked else "none was answered yet",
        "page": page,
        "JSON": numbers,
    }
    parts = [facts(said), *(f"look: {_printable(one)}" for one in to_look_at(data))]
    if data.annotators:
        shown = data.annotators[:_SHOWN]
        listed = table(_HEAD, [_row(one) for one in shown])
        more = len(data.annotators) - len(shown)
        tail = f"\nand {count(more, 'annotator')} more; the page and --json show all"
        parts.append(listed + (tail if more else ""))
    alarmed = [pair for pair in data.class_pairs if pair.alarmed]
    if alarmed:
        rows = [
            [
                f"{_printable(one.first)} / {_printable(one.second)}",
                one.kappa,
                one.alpha,
                one.num_samples,
            ]
            for one in alarmed
        ]
        parts.append(table(["classes under alarm", "kappa", "alpha", "samples"], rows))
    wrong = data.confusions()[:10]
    if wrong:
        rows = [[_printable(one.said), _printable(one.consensus), one.number] for one in wrong]
        parts.append(table(["said", "consensus", "answers"], rows))
    return "\n\n".join(parts)


def _row(one: AnnotatorResult) -> list[object]:
    said, speed = one.replies, one.speed
    return [
        _printable(one.name),
        said.labels,
        said.recent,
        said.cannot_tell + said.none_of_these + said.bad_image + said.skipped,
        said.kept_aside,
        None if speed is None else f"{speed.median:.1f} ({speed.low:.1f}-{speed.high:.1f})",
        one.accuracy,
        None if one.interval is None else f"{one.interval[0]:.2f}-{one.interval[1]:.2f}",
        one.kappa,
        f"{one.gold_right} of {one.gold_asked}" if one.gold_asked else None,
        one.weight,
        "spammer" if one.is_spammer else "",
    ]


def _scale(value: float | None, alarm_below: float) -> str:
    if value is None:
        return "needs samples with answers of two people"
    return f"{value:.3f}" + (f", below {alarm_below:g}: too low" if value < alarm_below else "")


def _printable(text: str) -> str:
    """Return a text without what would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
