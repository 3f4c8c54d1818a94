"""The sections of a report that are words, numbers and samples, each as HTML.

A part without data says why it is empty.
"""

from __future__ import annotations

from html import escape

from holdfast.evaluation.advice import next_steps
from holdfast.evaluation.report_data import Arm, FoundError, ReportData, RoundResult
from holdfast.evaluation.tables import (
    NOTHING,
    Column,
    count,
    empty,
    grouped_table,
    section,
    share,
    table,
)
from holdfast.evaluation.thumbnails import data_uri

MOST_PICTURES = 60


def tiles(data: ReportData) -> str:
    """Return the headline numbers."""
    own = data.arms[0] if data.arms else None
    latest = data.latest
    parts = []
    if own is not None and latest is not None and latest.metrics is not None:
        first = own.measured()[0]
        parts.append(tile("Macro-F1", share(latest.metrics.macro_f1), *_since(first, latest)))
        rare = data.rare_recall(latest.metrics)
        note = f"mean over {len(data.rare)} rare classes" if data.rare else "no class is rare"
        parts.append(tile("Rare-class recall", share(rare), note))
        lost = own.forgetting()[latest.number]
        parts.append(tile("Forgetting", share(lost), "lower is better; 0 is none"))
    flips = data.flips()
    if flips:
        note = f"of {flips['samples']:,} holdout samples, right before"
        parts.append(tile("Newly wrong", count(flips["flips"]), note))
    found = own.rounds[-1].wrong_labels_found if own is not None and own.rounds else None
    if found is not None:
        parts.append(tile("Wrong labels found", count(found), "corrected so far"))
    added = sum(data.labeled_counts) - sum(data.start_counts or data.labeled_counts)
    note = f"{added:+,} since the start" if data.start_counts else "current"
    parts.append(tile("Labels", count(sum(data.labeled_counts)), note))
    return f'<dl class="tiles">{"".join(parts)}</dl>'


def advice(data: ReportData) -> str:
    """Return what to do next."""
    items = "".join(f"<li>{escape(step)}</li>" for step in next_steps(data))
    return section("What to do next", "", f"<ol>{items}</ol>", "next")


def rounds(data: ReportData) -> str:
    """Return the table of all rounds and arms."""
    lead = (
        "Macro-F1 weighs every class the same, however rare. Rare-class recall looks only at the "
        "classes below the line. Forgetting is recall lost since a class's best round: lower is "
        "better."
    )
    numbers = sorted({result.number for arm in data.arms for result in arm.rounds})
    if not numbers:
        return section("Round by round", lead, empty("No round has finished yet."))
    columns = [
        (arm.name, _cells(data, arm, numbers), position == 0)
        for position, arm in enumerate(data.arms)
    ]
    groups = []
    for j, group in enumerate(
        ("Macro-F1", "Rare-class recall", "Forgetting", "Wrong labels found")
    ):
        # A way of learning that never has this number would only widen the table.
        filled = [
            Column(name=name, cells=tuple(row[j] for row in cells), own=own)
            for name, cells, own in columns
            if own or any(row[j] != NOTHING for row in cells)
        ]
        groups.append((group, filled))
    caption = "One row per round, one column per way of learning"
    content = grouped_table(caption, "Round", [str(number) for number in numbers], groups)
    return section("Round by round", lead, content)


def gallery(data: ReportData) -> str:
    """Return the wrong labels that were found."""
    lead = (
        "Labels that were on record, and what people said when they were asked again. "
        "The score is the model's probability of the old label: low is suspect."
    )
    if not data.found_errors:
        text = "No wrong label has been found so far."
        return section("Wrong labels found", lead, empty(text))
    shown = data.found_errors[:MOST_PICTURES]
    total = len(data.found_errors) if data.num_found_errors is None else data.num_found_errors
    if total > len(shown):
        lead += f" {len(shown)} of {total:,} are shown."
    items = "".join(_card(data, error) for error in shown)
    return section("Wrong labels found", lead, f'<ul class="gallery">{items}</ul>')


def decisions(data: ReportData) -> str:
    """Return the gate's verdicts, newest first."""
    lead = (
        "A new model takes over unless the holdout shows, with confidence, that it is worse: "
        "in macro-F1, on the rare classes, or on any one class."
    )
    if not data.verdicts:
        return section("Promotions", lead, empty("No model has been judged yet."))
    items = []
    for number in sorted(data.verdicts, reverse=True):
        verdict = data.verdicts[number]
        kind, word = ("yes", "promoted") if verdict.promote else ("no", "kept champion")
        # The pill says it already.
        reason = verdict.reason.removeprefix("promoted: ").removeprefix("kept the champion: ")
        items.append(
            f'<div class="verdict"><span class="when">Round {number}</span>'
            f'<span class="pill {kind}">{word}</span><p>{escape(_capital(reason))}</p></div>'
        )
    return section("Promotions", lead, "".join(items))


def records(data: ReportData) -> str:
    """Return the queue beside the dataset versions."""
    queue = (
        table(
            "Questions and what became of them",
            ["", "Samples"],
            [[_capital(name), count(number)] for name, number in data.queue.items()],
        )
        if data.queue
        else empty("Nobody has been asked yet.")
    )
    rows = [
        [f"round {v.round_number}", count(v.num_labels), count(v.watermark), v.digest[:12]]
        for v in reversed(data.versions)
    ]
    versions = (
        table("Newest first", ["Version", "Labels", "Watermark", "Digest"], rows)
        if rows
        else empty("No dataset version has been made yet.")
    )
    return (
        '<div class="pair">'
        + section("Questions", "What people were asked, and what came back.", queue)
        + section("Dataset versions", "Each can be brought back exactly as it was.", versions)
        + "</div>"
    )


def _cells(data: ReportData, arm: Arm, numbers: list[int]) -> list[tuple[str, str, str, str]]:
    by_number = {result.number: result for result in arm.rounds}
    # A single round has nothing to forget; a zero there would look like an achievement.
    forgotten = arm.forgetting() if len(arm.measured()) > 1 else {}
    cells = []
    for number in numbers:
        result = by_number.get(number)
        metrics = result.metrics if result else None
        cells.append(
            (
                share(metrics.macro_f1 if metrics else None),
                share(data.rare_recall(metrics) if metrics else None),
                share(forgotten.get(number)),
                count(result.wrong_labels_found if result else None),
            )
        )
    return cells


def _card(data: ReportData, error: FoundError) -> str:
    uri, tiny = data_uri(error.image) if error.image is not None else ("", False)
    given, corrected = data.class_names[error.given], data.class_names[error.corrected]
    if uri:
        alt = escape(f"Sample {error.sample_id}, labeled {given}, corrected to {corrected}")
        kind = ' class="tiny"' if tiny else ""
        shown = f'<img{kind} src="{uri}" alt="{alt}" loading="lazy">'
    else:
        shown = '<div class="nothing">no picture</div>'
    by = " · ".join(part for part in (error.who, error.when) if part)
    return (
        f'<li>{shown}<p class="change"><del>{escape(given)}</del> → '
        f"<ins>{escape(corrected)}</ins></p>"
        f'<p class="small">score {error.score:.2f} · sample {error.sample_id}</p>'
        f'<p class="small">{escape(by)}</p></li>'
    )


def _since(first: RoundResult, latest: RoundResult) -> tuple[str, str]:
    if first.metrics is None or latest.metrics is None or first is latest:
        return f"after round {latest.number}", ""
    change = latest.metrics.macro_f1 - first.metrics.macro_f1
    return f"{change:+.3f} since round {first.number}", "good" if change >= 0 else "bad"


def tile(name: str, value: str, note: str, kind: str = "") -> str:
    """Return one headline number with a note; for inside `<dl class="tiles">`."""
    return (
        f"<div><dt>{escape(name)}</dt><dd><div class='value'>{escape(value)}</div>"
        f"<div class='note {kind}'>{escape(note)}</div></dd></div>"
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
