from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from holdfast.errors import ConfigError
from holdfast.evaluation.gate import GateConfig, Verdict, decide
from holdfast.evaluation.metrics import measure
from holdfast.evaluation.pairing import bootstrap, largest_testable, pair_up, sign_test, swap_test
from holdfast.evaluation.rates import macro_f1

NAMES = ["cat", "dog", "owl", "newt"]
COUNTS = np.array([100, 90, 80, 5])


def judge(
    labels: np.ndarray,
    candidate: np.ndarray,
    champion: np.ndarray | None,
    seed: int = 0,
    **settings: Any,
) -> Verdict:
    return decide(
        labels,
        candidate,
        champion,
        counts_k=COUNTS,
        class_names=NAMES,
        config=GateConfig(resamples=400, **settings),
        rng=np.random.default_rng(seed),
    )


def holdout(per_class: int = 30) -> np.ndarray:
    return np.repeat(np.arange(4), per_class)


def wrong_on(labels: np.ndarray, k: int, count: int) -> np.ndarray:
    answers = labels.copy()
    answers[np.flatnonzero(labels == k)[:count]] = (k + 1) % 4
    return answers


def test_decide_without_champion_promotes_the_first_model() -> None:
    verdict = judge(holdout(), holdout(), None)
    assert verdict.promote
    assert "first model" in verdict.reason


def test_decide_without_holdout_promotes_and_says_why() -> None:
    nothing = np.array([], np.int64)
    verdict = judge(nothing, nothing, nothing)
    assert verdict.promote
    assert "no holdout" in verdict.reason


def test_decide_equal_models_promotes() -> None:
    labels = holdout()
    answers = wrong_on(labels, 1, 10)
    verdict = judge(labels, answers, answers)
    assert verdict.promote
    assert verdict.numbers["macro_f1"]["change"] == 0
    assert verdict.numbers["macro_f1"]["chance"] == 1.0


def test_decide_lost_class_is_turned_down_by_name() -> None:
    labels = holdout()
    verdict = judge(labels, wrong_on(labels, 1, 15), labels)
    assert not verdict.promote
    assert "class 'dog' fell from 1.000 to 0.500" in verdict.reason
    assert verdict.numbers["recall"]["1"]["harmed"]
    assert not verdict.numbers["recall"]["0"]["harmed"]


def test_decide_lost_rare_class_is_turned_down_though_the_rest_gained() -> None:
    labels = holdout()
    champion = wrong_on(wrong_on(labels, 0, 20), 1, 20)
    verdict = judge(labels, wrong_on(labels, 3, 15), champion)
    assert not verdict.promote
    assert "rare class 'newt'" in verdict.reason
    assert "macro-F1" not in verdict.reason


def test_decide_tiny_holdout_gives_no_evidence_and_promotes() -> None:
    labels = holdout(2)
    verdict = judge(labels, wrong_on(labels, 1, 2), labels)
    assert verdict.promote


def test_decide_class_unknown_to_the_champion_is_a_gain() -> None:
    labels = holdout()
    champion = np.where(labels == 3, 0, labels)
    verdict = judge(labels, labels, champion)
    assert verdict.promote
    assert verdict.numbers["recall"]["3"]["champion"] == 0.0
    assert not judge(labels, champion, labels).promote


def test_decide_same_seed_gives_the_same_verdict() -> None:
    rng = np.random.default_rng(5)
    labels = holdout()
    one, other = rng.integers(4, size=120), rng.integers(4, size=120)
    assert judge(labels, one, other, seed=1) == judge(labels, one, other, seed=1)


def test_decide_equally_good_models_are_rarely_turned_down() -> None:
    labels = holdout(20)
    promoted = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        both = np.where(rng.random((2, 80)) < 0.8, labels, rng.integers(4, size=(2, 80)))
        promoted += judge(labels, both[0], both[1], seed).promote
    assert promoted >= 24


def test_decide_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="2 predictions of the candidate"):
        judge(np.array([0]), np.array([0, 1]), np.array([0]))


def test_decide_class_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="class 9 has no name"):
        judge(np.array([9]), np.array([0]), np.array([0]))


def test_decide_class_budget_allows_what_the_rule_forbids_and_the_other_way() -> None:
    labels = np.repeat(np.arange(4), 200)
    candidate = wrong_on(wrong_on(labels, 1, 30), 0, 8)
    rule = judge(labels, candidate, labels, macro_f1_budget=1.0)
    assert "class 'dog'" in rule.reason
    assert "class 'cat'" not in rule.reason
    named = judge(
        labels, candidate, labels, macro_f1_budget=1.0, class_budgets={"dog": 0.5, "cat": 0.0}
    )
    assert "class 'cat'" in named.reason
    assert "class 'dog'" not in named.reason
    assert named.numbers["recall"]["1"]["budget"] == 0.5


def test_decide_budget_of_an_unknown_class_is_refused_even_for_a_first_model() -> None:
    with pytest.raises(ConfigError, match="'newr', which is no class; did you mean 'newt'"):
        judge(holdout(), holdout(), None, class_budgets={"newr": 0.1})


def test_decide_numbers_count_negative_flips_of_each_class() -> None:
    labels = holdout()
    champion, candidate = wrong_on(labels, 0, 10), wrong_on(labels, 2, 3)
    flips = judge(labels, candidate, champion).numbers["negative_flips"]
    assert (flips["flips"], flips["samples"]) == (3, 120)
    assert flips["low"] <= flips["share"] == 3 / 120 <= flips["high"]
    assert {k: row["flips"] for k, row in flips["by_class"].items()} == {
        "0": 0,
        "1": 0,
        "2": 3,
        "3": 0,
    }
    assert judge(labels, champion, champion).numbers["negative_flips"]["high"] == 0


def test_verdict_through_json_text_comes_back_equal() -> None:
    labels = holdout()
    verdict = judge(labels, wrong_on(labels, 1, 15), labels)
    assert Verdict.from_json(json.loads(json.dumps(verdict.to_json()))) == verdict


@pytest.mark.parametrize(
    "setting",
    [
        {"confidence": 1.0},
        {"recall_budget": -0.1},
        {"macro_f1_budget": 2.0},
        {"rare_recall_budget": 0.5},
        {"resamples": 10},
        {"class_budgets": {"dog": 1.5}},
    ],
)
def test_gate_config_bad_setting_names_itself(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"gate.{next(iter(setting))}"):
        GateConfig(**setting)


def test_pairs_counts_give_the_macro_f1_of_each_model() -> None:
    rng = np.random.default_rng(6)
    labels, one, other = rng.integers(4, size=(3, 90))
    pairs = pair_up(labels, one, other)
    none = np.zeros_like(pairs.cells_m)
    for answers, counts in ((one, (pairs.cells_m, none)), (other, (none, pairs.cells_m))):
        expected = measure(np.eye(4)[answers], np.arange(4), labels).macro_f1
        assert macro_f1(*pairs.counts(*counts)) == pytest.approx(expected)


def test_bootstrap_centers_on_the_observed_change() -> None:
    rng = np.random.default_rng(7)
    labels = np.repeat(np.arange(3), 40)
    one = np.where(rng.random(120) < 0.8, labels, 99)
    other = np.where(rng.random(120) < 0.5, labels, 98)
    pairs = pair_up(labels, one, other)
    recall, f1 = bootstrap(pairs, 2000, rng)
    candidate, champion = pairs.recall()
    assert recall.mean(axis=0) == pytest.approx(candidate - champion, abs=0.02)
    # Resampled within classes, a difference of recalls has the paired binomial's spread.
    gained, lost = pairs.gained_k / 40, pairs.lost_k / 40
    spread = np.sqrt((gained + lost - (gained - lost) ** 2) / 40)
    assert recall.std(axis=0) == pytest.approx(spread, rel=0.1)
    assert len(f1) == 2000


def test_bootstrap_in_chunks_keeps_every_resample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.evaluation.resampling.CHUNK_CELLS", 10)
    pairs = pair_up(np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([0, 1, 1]))
    recall, f1 = bootstrap(pairs, 37, np.random.default_rng(0))
    assert recall.shape == (37, 2)
    assert f1.shape == (37,)


def test_sign_test_equals_scipy() -> None:
    lost, gained = np.array([0, 3, 12, 700]), np.array([0, 9, 2, 640])
    expected = [
        1.0 if a + b == 0 else binomtest(a, a + b, 0.5, alternative="greater").pvalue
        for a, b in zip(lost.tolist(), gained.tolist(), strict=True)
    ]
    assert sign_test(lost, gained) == pytest.approx(expected)


def test_swap_test_few_lost_samples_matches_the_exact_chance() -> None:
    labels = np.zeros(3, np.int64)
    pairs = pair_up(labels, np.full(3, 7), labels)
    assert swap_test(pairs, 4000, np.random.default_rng(0)) == pytest.approx(1 / 8, abs=0.02)


def test_largest_testable_ignores_classes_that_cannot_matter() -> None:
    assert largest_testable(np.zeros(100, np.int64), 0.05) == 1
    assert largest_testable(np.full(100, 50), 0.05) == 100
    assert largest_testable(np.array([50, 50, 1, 2]), 0.05) == 2
