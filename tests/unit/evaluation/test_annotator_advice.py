"""What needs a look is said where it is needed, and nothing where all is well."""

from __future__ import annotations

from dataclasses import replace

from holdfast.evaluation.annotator_advice import to_look_at
from holdfast.evaluation.annotator_data import (
    AnnotatorResult,
    AnnotatorsData,
    ClassPair,
    Replies,
)

WELL = AnnotatorsData(
    title="pets",
    made_at="today",
    annotators=(
        AnnotatorResult(name="anna", replies=Replies(labels=100), gold_right=9, gold_asked=10),
    ),
    alpha=0.9,
    said={"cat": {"cat": 95, "dog": 5}},
)


def test_advice_where_all_is_well_is_empty() -> None:
    assert to_look_at(WELL) == []


def test_advice_names_spammers_and_counts_those_it_does_not_name() -> None:
    crowd = tuple(AnnotatorResult(name=f"s{k}", is_spammer=True) for k in range(7))
    (said,) = to_look_at(replace(WELL, annotators=crowd))
    assert said.startswith("s0, s1, s2, s3, s4 and 2 more: the answers say nothing")


def test_advice_about_low_agreement_says_how_low() -> None:
    (said,) = to_look_at(replace(WELL, alpha=0.41))
    assert "alpha 0.41, below 0.6" in said


def test_advice_about_gold_questions_waits_for_enough_of_them() -> None:
    few = AnnotatorResult(name="ben", gold_right=0, gold_asked=4)
    many = AnnotatorResult(name="ben", gold_right=2, gold_asked=8)
    assert to_look_at(replace(WELL, annotators=(few,))) == []
    assert to_look_at(replace(WELL, annotators=(many,))) == [
        "Gold questions are often answered wrongly by ben (2 of 8)."
    ]


def test_advice_about_a_mix_up_is_left_to_the_alarm_of_its_classes() -> None:
    mixed = replace(WELL, said={"cat": {"cat": 60, "dog": 40}})
    (said,) = to_look_at(mixed)
    assert said.startswith("40 answers say dog where the consensus is cat (40%")
    pair = ClassPair(first="cat", second="dog", kappa=0.2, alpha=0.2, num_samples=50, alarmed=True)
    (said,) = to_look_at(replace(mixed, class_pairs=(pair,)))
    assert "do not tell these classes apart" in said


def test_advice_about_replies_kept_aside_names_the_most_frequent_reason() -> None:
    person = AnnotatorResult(name="anna", replies=Replies(labels=100, kept_aside=6))
    (said,) = to_look_at(replace(WELL, annotators=(person,), problems={"two choices.": 6}))
    assert said == "6 replies cannot count; most often: two choices."
