"""Who answers, how fast and how well: the report about annotators as one page and as JSON."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from holdfast.evaluation import annotator_charts as charts
from holdfast.evaluation.annotator_advice import to_look_at
from holdfast.evaluation.annotator_charts import ALONE, NOBODY
from holdfast.evaluation.annotator_data import AnnotatorResult, AnnotatorsData, Speed, to_json
from holdfast.evaluation.annotator_figures import shorten
from holdfast.evaluation.report import page, replace_text
from holdfast.evaluation.sections import tile
from holdfast.evaluation.tables import (
    NOTHING,
    count,
    empty,
    section,
    share,
    span,
    table,
)

_ROWS, _NAME = 30, 30


def render(data: AnnotatorsData) -> str:
    """Return the page, which needs nothing but itself; the same data give the same page.

    Every name is escaped, and every part without data says why it is empty.
    """
    parts = (
        _tiles(data),
        _look_at(data),
        _quality(data),
        f'<div class="pair">{charts.accuracies(data)}{charts.days(data)}</div>',
        _work(data),
        _kept_aside(data),
        f'<div class="pair">{charts.confusions(data)}{_class_pairs(data)}</div>',
        f'<div class="pair">{charts.annotator_pairs(data)}{_words(data)}</div>',
    )
    return page(
        f"Annotators of {data.title}",
        data.made_at,
        "\n".join(part for part in parts if part),
        "Holdfast annotators · answers that hold now: edited ones as they were edited last, "
        "those taken back left out",
    )


def write(html_path: Path, json_path: Path, data: AnnotatorsData) -> None:
    """Write the page and its JSON; a reader sees the old files or the new ones, never half.

    Raises
    ------
    OSError
        If a folder is missing or cannot be written.
    """
    numbers = json.dumps(to_json(data), indent=2, allow_nan=False, ensure_ascii=False)
    replace_text(json_path, numbers + "\n")
    replace_text(html_path, render(data))


def _tiles(data: AnnotatorsData) -> str:
    said, (right, asked) = data.replies, data.gold
    tiles = [
        tile("Answers", count(said.labels), f"{said.recent:,} in the last 7 days"),
        tile("Annotators", count(len(data.annotators)), *_spammers(data)),
        tile("Krippendorff's alpha", share(data.alpha), *_scale(data.alpha, data.alarm_below)),
        tile("Fleiss' kappa", share(data.fleiss), *_scale(data.fleiss, data.alarm_below)),
        tile(
            "Gold questions",
            f"{right / asked:.0%}" if asked else NOTHING,
            f"{right:,} of {asked:,} right" if asked else "none was answered yet",
        ),
    ]
    if said.kept_aside:
        tiles.append(tile("Kept aside", count(said.kept_aside), "answers that cannot count"))
    return f'<dl class="tiles">{"".join(tiles)}</dl>'


def _look_at(data: AnnotatorsData) -> str:
    items = "".join(f"<li>{escape(one)}</li>" for one in to_look_at(data))
    return section("What needs a look", "", f"<ol>{items}</ol>", "next") if items else ""


def _quality(data: AnnotatorsData) -> str:
    lead = (
        "Accuracy is the share of answers expected to be right; the true one lies in the "
        "interval in 90 % of cases. Kappa is agreement with the others beyond chance: 1 is "
        "perfect, 0 as good as guessing. Shared: samples that somebody else answered, too. Weight "
        "says how far one answer lifts its class in the consensus; 0 is not at all."
    )
    if not data.annotators:
        return section("How well they answer", lead, empty(NOBODY))
    rows = [
        [
            _label(one),
            count(one.replies.labels),
            share(one.accuracy),
            span(one.interval),
            count(one.num_shared),
            share(one.kappa),
            f"{one.gold_right:,} of {one.gold_asked:,}" if one.gold_asked else NOTHING,
            NOTHING if one.weight is None else f"{one.weight:.2f}",
            _most_often(one),
        ]
        for one in data.annotators
    ]
    head = [
        "Annotator",
        "Answers",
        "Accuracy",
        "90 % interval",
        "Shared",
        "Kappa",
        "Gold right",
        "Weight",
        "Most often wrong",
    ]
    return section("How well they answer", lead, table("Most answers first", head, rows))


def _work(data: AnnotatorsData) -> str:
    lead = (
        "Replies that hold now. Only answers name a class; the others are no labels. "
        "Seconds are those from seeing the question to answering it: the median, and the "
        "quarter below and above it."
    )
    if not data.annotators:
        return section("What they did", lead, empty(NOBODY))
    rows = [
        [
            _label(one),
            *(
                count(number)
                for number in (
                    one.replies.labels,
                    one.replies.recent,
                    one.replies.cannot_tell,
                    one.replies.none_of_these,
                    one.replies.bad_image,
                    one.replies.skipped,
                    one.replies.kept_aside,
                )
            ),
            _seconds(one.speed),
        ]
        for one in data.annotators
    ]
    head = [
        "Annotator",
        "Answers",
        "Last 7 days",
        "Cannot tell",
        "None of these",
        "Bad image",
        "Skipped",
        "Kept aside",
        "Seconds",
    ]
    return section("What they did", lead, table("Most answers first", head, rows))


def _kept_aside(data: AnnotatorsData) -> str:
    if not data.problems:
        return ""
    rows = [[shorten(reason, 110), count(number)] for reason, number in data.problems.items()]
    lead = "Replies that cannot count. Whoever gave them can correct them; they then count."
    content = table("Most frequent first", ["Reason", "Replies"], rows[:_ROWS])
    return section("Why replies were kept aside", lead, content)


def _class_pairs(data: AnnotatorsData) -> str:
    title = "Classes that are hard to tell apart"
    lead = (
        "Agreement of the answers that name one of the two, for pairs that were confused. An "
        f"alarm means that it is surely below {data.alarm_below:g}: explain the difference, and "
        "samples of the pair are asked again."
    )
    if not data.class_pairs:
        compared = any(one.num_shared for one in data.annotators)
        nothing = "No sample was given two classes." if compared else ALONE
        return section(title, lead, empty(nothing if data.annotators else NOBODY))
    rows = [
        [
            f"{shorten(pair.first, 24)} and {shorten(pair.second, 24)}",
            share(pair.kappa),
            share(pair.alpha),
            count(pair.num_samples),
            "alarm" if pair.alarmed else "",
        ]
        for pair in data.class_pairs[:_ROWS]
    ]
    if len(data.class_pairs) > _ROWS:
        lead += f" {_ROWS} of {len(data.class_pairs):,} are shown."
    head = ["Pair", "Kappa", "Alpha", "Samples", ""]
    return section(title, lead, table("Alarms first, then the lowest", head, rows))


def _words(data: AnnotatorsData) -> str:
    words = (
        ("Consensus", "The most probable class of a sample, given all answers and who gave them."),
        ("Kappa", "Agreement beyond what chance explains. Above 0.8 is very good."),
        (
            "Krippendorff's alpha",
            f"The same for any number of people and answers. Below {data.alarm_below:g} labels "
            "are too unsure to learn from.",
        ),
        ("Gold question", "One whose answer is known, asked like any other."),
        ("Spammer", "Somebody whose answers are as good as drawn by lot; they count for little."),
        ("Kept aside", "A reply that cannot count, such as one that names an unknown class."),
    )
    said = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in words)
    lead = "Somebody who answered a sample more than once counts once there, as they said last."
    return section("What the words mean", lead, f'<dl class="words">{said}</dl>')


def _spammers(data: AnnotatorsData) -> tuple[str, str]:
    number = sum(one.is_spammer for one in data.annotators)
    if number:
        return f"{number:,} whose answers say nothing", "bad"
    active = sum(one.replies.recent > 0 for one in data.annotators)
    return f"{active:,} answered in the last 7 days", ""


def _scale(value: float | None, alarm_below: float) -> tuple[str, str]:
    if value is None:
        return "needs two answers to a sample", ""
    if value < alarm_below:
        return f"below {alarm_below:g}: too low", "bad"
    return "1 is perfect, 0 is chance", ""


def _label(one: AnnotatorResult) -> str:
    name = shorten(one.name, _NAME)
    return f"{name} (spammer)" if one.is_spammer else name


def _seconds(speed: Speed | None) -> str:
    if speed is None:
        return NOTHING
    return f"{speed.median:.1f} ({speed.low:.1f} to {speed.high:.1f})"


def _most_often(one: AnnotatorResult) -> str:
    if not one.confusions:
        return NOTHING
    most = one.confusions[0]
    return f"{shorten(most.said, 16)} for {shorten(most.consensus, 16)} ({most.number:,})"
