"""The sections of the report about annotators that are pictures, each with its numbers."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from holdfast.evaluation import annotator_figures, figures
from holdfast.evaluation.annotator_data import AnnotatorsData
from holdfast.evaluation.annotator_figures import MOST_ANNOTATORS, MOST_DAYS, shorten
from holdfast.evaluation.tables import count, empty, picture, section, share, table

NOBODY = "Nobody has answered yet."
ALONE = "No sample has answers of two people yet, so there is nothing to compare."
_MOST_CLASSES, _ROWS = 16, 30
# Longer names leave a small table no room; fewer people are read more easily in words.
_NAME, _FEWEST_DRAWN = 15, 4


def accuracies(data: AnnotatorsData) -> str:
    """Return the accuracy of each annotator with its interval."""
    title = "Accuracy against the consensus"
    lead = "Per cent, with the 90 % interval; those who are surely least accurate first."
    known = [one for one in data.annotators if one.accuracy is not None and one.interval]
    if not known:
        return section(title, lead, empty(ALONE if data.annotators else NOBODY))
    # By the upper end: somebody with one wrong answer may still be the best of all.
    known.sort(key=lambda one: (one.interval or (0.0, 0.0))[::-1])
    if len(known) > MOST_ANNOTATORS:
        lead += f" {MOST_ANNOTATORS} of {len(known):,} are shown."
    svg = annotator_figures.accuracies(known[:MOST_ANNOTATORS])
    return section(title, lead, f"<figure>{svg}</figure>")


def days(data: AnnotatorsData) -> str:
    """Return the answers of the last days."""
    title, lead = "Answers per day", "Answers that name a class, by the day they were given (UTC)."
    if data.undated:
        lead += f" {data.undated:,} more have no day."
    if not data.days:
        text = "No answer says when it was given." if data.undated else NOBODY
        return section(title, lead, empty(text))
    last = date.fromisoformat(max(data.days))
    first = max(date.fromisoformat(min(data.days)), last - timedelta(days=MOST_DAYS - 1))
    named = [first + timedelta(days=k) for k in range((last - first).days + 1)]
    counts = [data.days.get(day.isoformat(), 0) for day in named]
    earlier = sum(data.days.values()) - sum(counts)
    if earlier:
        lead += f" The last {MOST_DAYS} days; {earlier:,} answers are older."
    rows = [
        [day.isoformat(), count(number)]
        for day, number in zip(reversed(named), reversed(counts), strict=True)
        if number
    ]
    numbers = table("Newest first", ["Day", "Answers"], rows)
    return section(title, lead, picture(annotator_figures.days(first, counts), numbers))


def confusions(data: AnnotatorsData) -> str:
    """Return what annotators say by the consensus of the sample."""
    title = "What is taken for what"
    lead = "Rows are the consensus, columns what annotators said, in per cent of the row."
    wrong = data.confusions()
    if not data.said:
        return section(title, lead, empty(ALONE if data.annotators else NOBODY))
    if not wrong:
        return section(title, lead, empty("Every answer is the consensus."))
    # The classes that are mixed up most, so that a hundred classes leave room for a picture.
    named = dict.fromkeys(name for one in wrong for name in (one.consensus, one.said))
    names = sorted(list(named)[:_MOST_CLASSES])
    if len(data.said) > len(names):
        lead += f" The {len(names)} classes that are mixed up most."
    totals = {name: sum(data.said.get(name, {}).values()) for name in names}
    values = np.array(
        [
            [
                data.said[row].get(column, 0) / totals[row] if totals[row] else np.nan
                for column in names
            ]
            for row in names
        ]
    )
    shown = [shorten(name, _NAME) for name in names]
    svg = figures.heatmap(
        values, shown, shown, label="Answers by consensus", x_label="said", y_label="consensus"
    )
    rows = [[one.said, one.consensus, count(one.number)] for one in wrong[:_ROWS]]
    numbers = table("Most frequent first", ["Said", "Consensus", "Answers"], rows, 2)
    return section(title, lead, picture(svg, numbers))


def annotator_pairs(data: AnnotatorsData) -> str:
    """Return the agreement of annotators two by two."""
    title = "Who agrees with whom"
    pairs = data.annotator_pairs
    if not pairs:
        lead = "Cohen's kappa over the samples that both answered."
        return section(title, lead, empty(ALONE if data.annotators else NOBODY))
    rows = [
        [
            shorten(pair.first, 24),
            shorten(pair.second, 24),
            share(pair.kappa),
            count(pair.num_samples),
        ]
        for pair in sorted(pairs, key=lambda pair: pair.kappa)
    ]
    numbers = table("Lowest first", ["Annotator", "and", "Kappa", "Samples"], rows, 2)
    names = list(dict.fromkeys(name for pair in pairs for name in (pair.first, pair.second)))
    if len(names) < _FEWEST_DRAWN:
        return section(title, "Cohen's kappa over the samples that both answered.", numbers)
    lead = "Cohen's kappa in hundredths, over the samples that both answered. A dot: too few."
    if len(names) < len(data.annotators):
        lead += f" {len(names)} of {len(data.annotators):,} annotators."
    place = {name: row for row, name in enumerate(names)}
    values = np.full((len(names), len(names)), np.nan)
    for pair in pairs:
        i, j = place[pair.first], place[pair.second]
        values[i, j] = values[j, i] = pair.kappa
    shown = [shorten(name, _NAME) for name in names]
    svg = figures.heatmap(values, shown, shown, label="Kappa of annotators", x_label="", y_label="")
    return section(title, lead, picture(svg, numbers))
