"""The terminal shows the annotators with the most answers, and where all of them are."""

from __future__ import annotations

from holdfast.cli.annotators import _text
from holdfast.evaluation.annotator_data import (
    AnnotatorResult,
    AnnotatorsData,
    ClassPair,
    Replies,
    Speed,
)


def crowd(number: int) -> AnnotatorsData:
    return AnnotatorsData(
        title="pets",
        made_at="today",
        annotators=tuple(
            AnnotatorResult(
                name=f"person-{k}",
                replies=Replies(labels=10),
                speed=Speed(low=1.0, median=2.0, high=3.0, number=10),
                accuracy=0.9,
                interval=(0.81, 0.97),
            )
            for k in range(number)
        ),
        alpha=0.5,
        class_pairs=(
            ClassPair(first="a", second="b", kappa=0.1, alpha=0.1, num_samples=30, alarmed=True),
            ClassPair(first="a", second="c", kappa=0.9, alpha=0.9, num_samples=30),
        ),
    )


def test_text_of_many_annotators_shows_fifty_and_counts_the_others() -> None:
    text = _text(crowd(53), "page.html", "numbers.json")
    assert text.count("\nperson-") == 50
    assert "and 3 annotators more" in text


def test_text_of_a_few_annotators_shows_all_with_their_numbers() -> None:
    text = _text(crowd(2), "page.html", "numbers.json")
    assert "more;" not in text
    (line,) = (line for line in text.splitlines() if line.startswith("person-1"))
    assert line.split()[5:] == ["2.0", "(1.0-3.0)", "0.900", "0.81-0.97", "-", "-", "-"]


def test_text_names_the_classes_under_alarm_and_no_others() -> None:
    text = _text(crowd(1), "page.html", "numbers.json")
    assert "alpha          0.500, below 0.6: too low" in text
    assert "\na / b" in text
    assert "a / c" not in text
