"""The page about annotators shows what it is given, and nothing that was given runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from holdfast.evaluation.annotator_data import (
    AnnotatorPair,
    AnnotatorResult,
    AnnotatorsData,
    ClassPair,
    Confusion,
    Replies,
    Speed,
    to_json,
)
from holdfast.evaluation.annotator_page import render, write

NASTY = """<script>alert("1")</script> & 'co' $x_1$ ${y}"""


def somebody(name: str, **changes: object) -> AnnotatorResult:
    one = AnnotatorResult(
        name=name,
        replies=Replies(labels=40, recent=10, cannot_tell=3, kept_aside=1),
        speed=Speed(low=2.0, median=3.5, high=7.25, number=40),
        accuracy=0.9,
        interval=(0.8, 0.95),
        num_shared=12,
        kappa=0.83,
        gold_right=4,
        gold_asked=5,
        confusions=(Confusion(said="cat", consensus="dog", number=3),),
        weight=0.91,
    )
    return replace(one, **changes)


def report(**changes: object) -> AnnotatorsData:
    data = AnnotatorsData(
        title="pets",
        made_at="17 May 2031, 09:00",
        annotators=(somebody("anna"), somebody("ben")),
        alpha=0.75,
        fleiss=0.74,
        class_pairs=(
            ClassPair(
                first="cat", second="dog", kappa=0.41, alpha=0.4, num_samples=50, alarmed=True
            ),
            ClassPair(first="cat", second="owl", kappa=0.9, alpha=0.9, num_samples=9),
        ),
        annotator_pairs=(AnnotatorPair(first="anna", second="ben", kappa=0.7, num_samples=12),),
        said={"dog": {"dog": 40, "cat": 12}, "cat": {"cat": 28}},
        days={"2031-05-15": 30, "2031-05-17": 50},
    )
    return replace(data, **changes)


def test_page_escapes_every_name() -> None:
    text = render(
        report(
            title=NASTY,
            annotators=(somebody(NASTY, is_spammer=True), somebody(NASTY)),
            said={NASTY: {NASTY: 4, "b": 12}},
            problems={NASTY: 1},
            class_pairs=(
                ClassPair(
                    first=NASTY, second="b", kappa=None, alpha=None, num_samples=3, alarmed=True
                ),
            ),
            annotator_pairs=tuple(
                AnnotatorPair(first=NASTY, second=f"{k}{NASTY}", kappa=-0.1, num_samples=12)
                for k in range(4)
            ),
        )
    )
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_page_is_the_same_each_time_and_loads_nothing() -> None:
    text = render(report())
    assert render(report()) == text
    for loaded in ("<link", "src=", "url(http", "@import"):
        assert loaded not in text


def test_page_shows_each_number_of_an_annotator() -> None:
    text = render(report())
    for shown in ("0.900", "0.800 to 0.950", "0.830", "4 of 5", "0.91", "3.5 (2.0 to 7.2)"):
        assert f">{shown}</td>" in text, shown
    assert "cat for dog (3)" in text


def test_page_without_answers_says_so_in_every_part() -> None:
    text = render(AnnotatorsData(title="pets", made_at="today"))
    assert text.count("Nobody has answered yet.") == 7
    assert "What needs a look" not in text


def test_page_of_one_annotator_says_that_there_is_nobody_to_compare_with() -> None:
    alone = somebody("anna", accuracy=None, interval=None, kappa=None, num_shared=0, weight=None)
    data = AnnotatorsData(title="pets", made_at="today", annotators=(alone,), undated=40)
    text = render(data)
    assert text.count("nothing to compare") == 4
    assert "No answer says when it was given." in text


def test_page_of_many_annotators_lists_all_and_draws_the_worst() -> None:
    crowd = tuple(
        somebody(f"person-{k}", accuracy=0.5 + k / 1000, interval=(0.4, 0.5 + k / 990))
        for k in range(500)
    )
    text = render(report(annotators=crowd))
    assert text.count('<th scope="row">person-') >= 1000
    assert "16 of 500 are shown" in text
    drawn = text[text.index('aria-label="Accuracy of each annotator"') :]
    assert "person-0:" in drawn
    assert "person-499:" not in drawn


def test_page_of_people_who_never_contradict_each_other_says_so() -> None:
    assert "No sample was given two classes." in render(report(class_pairs=()))


def test_page_marks_an_alarm_and_names_who_to_look_at() -> None:
    text = render(report(annotators=(somebody("anna"), somebody("eve", is_spammer=True))))
    assert text.count(">alarm</td>") == 1
    assert "eve (spammer)" in text
    assert "do not tell these classes apart: cat and dog." in text


def test_page_counts_days_without_answers_and_older_than_it_shows() -> None:
    text = render(report(days={"2030-01-01": 7, "2031-05-15": 30, "2031-05-17": 50}))
    assert "7 answers are older" in text
    assert "<title>2031-05-16: 0</title>" in text


def test_json_holds_all_numbers_and_no_nan(tmp_path: Path) -> None:
    write(tmp_path / "a.html", tmp_path / "a.json", report())
    found = json.loads((tmp_path / "a.json").read_text())
    assert found == json.loads(json.dumps(to_json(report())))
    assert found["replies"]["labels"] == 80
    assert (found["gold_right"], found["gold_asked"]) == (8, 10)
    assert found["confusions"] == [{"said": "cat", "consensus": "dog", "number": 12}]
    assert found["annotators"][0]["speed"]["median"] == 3.5
