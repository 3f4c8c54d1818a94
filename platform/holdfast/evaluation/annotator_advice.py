"""What somebody should look at, read from the numbers about annotators."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.evaluation.annotator_data import AnnotatorsData

# Below these a number is noise or normal, and a sentence about it would only distract.
GOLD_ASKED = 5
GOLD_RIGHT = 0.7
KEPT_ASIDE = 0.05
CONFUSED = 10
NAMED = 5


def to_look_at(data: AnnotatorsData) -> list[str]:
    """Return sentences, the most pressing first; none where all is well."""
    steps = []
    spammers = [one.name for one in data.annotators if one.is_spammer]
    if spammers:
        steps.append(
            f"{_named(spammers)}: the answers say nothing about the images, so they hardly count. "
            "Look at some of them together, or let somebody else answer."
        )
    alarmed = [f"{one.first} and {one.second}" for one in data.class_pairs if one.alarmed]
    if alarmed:
        steps.append(
            f"Annotators do not tell these classes apart: {_named(alarmed)}. Explain the "
            "difference with examples; samples of these classes are asked again."
        )
    if data.alpha is not None and data.alpha < data.alarm_below:
        steps.append(
            f"All in all the annotators agree too little (alpha {data.alpha:.2f}, below "
            f"{data.alarm_below:g}): make the instructions clearer before asking more."
        )
    astray = [
        f"{one.name} ({one.gold_right} of {one.gold_asked})"
        for one in data.annotators
        if one.gold_asked >= GOLD_ASKED
        and one.gold_right < GOLD_RIGHT * one.gold_asked
        and not one.is_spammer
    ]
    if astray:
        steps.append(f"Gold questions are often answered wrongly by {_named(astray)}.")
    steps += _confused(data)
    said = data.replies
    if said.kept_aside > KEPT_ASIDE * max(said.labels, 1):
        most = next(iter(data.problems), "no reason is known")
        steps.append(f"{said.kept_aside:,} replies cannot count; most often: {most.rstrip('.')}.")
    return steps


def _confused(data: AnnotatorsData) -> list[str]:
    """Name the one mix-up that is frequent and one-sided enough to be a misunderstanding."""
    under_alarm = {frozenset((one.first, one.second)) for one in data.class_pairs if one.alarmed}
    for one in data.confusions()[:NAMED]:
        rate = one.number / sum(data.said[one.consensus].values())
        known = frozenset((one.said, one.consensus)) in under_alarm
        if one.number >= CONFUSED and rate >= 0.1 and not known:
            return [
                f"{one.number:,} answers say {one.said} where the consensus is {one.consensus} "
                f"({rate:.0%} of the answers to that class)."
            ]
    return []


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
