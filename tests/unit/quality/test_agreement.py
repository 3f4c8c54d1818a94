import numpy as np
import pytest

from holdfast.errors import ConfigError
from holdfast.quality.agreement import AgreementConfig, decide
from holdfast.quality.kappa import cohen_kappa, fleiss_kappa

THREE = AgreementConfig(max_answers=3)


def _decide(answers, samples, record, config=THREE, probs=None, class_ids=None):
    """Answers as (sample, annotator, class)."""
    table = np.array(answers, np.int64).reshape(-1, 3)
    return decide(
        *table.T,
        sample_ids_m=np.array(samples, np.int64),
        record_m=np.array(record, np.int64),
        config=config,
        pred_probs_mk=None if probs is None else np.array(probs),
        class_ids_k=None if class_ids is None else np.array(class_ids),
    )


def test_decide_answer_agreeing_with_record_settles():
    said = _decide([(7, 0, 2)], [7], [2])
    assert said.class_ids_m.tolist() == [2]
    assert not said.ask_more_m[0]


def test_decide_answer_agreeing_with_the_model_settles_against_the_record():
    said = _decide([(7, 0, 2)], [7], [5], probs=[[0.4, 0.6]], class_ids=[5, 2])
    assert said.class_ids_m.tolist() == [2]


def test_decide_answer_against_record_and_model_asks_one_more():
    said = _decide([(7, 0, 3)], [7], [5], probs=[[0.95, 0.05]], class_ids=[5, 2])
    assert said.class_ids_m.tolist() == [-1]
    assert said.ask_more_m.tolist() == [True]


def test_decide_second_answer_alike_overrules_record_and_model():
    said = _decide([(7, 0, 3), (7, 1, 3)], [7], [5], probs=[[0.95, 0.05]], class_ids=[5, 2])
    assert said.class_ids_m.tolist() == [3]
    assert said.confidence_m[0] > 0.9


def test_decide_single_answer_allowed_is_final():
    one = AgreementConfig(max_answers=1, reserve_share=0.0)
    said = _decide([(7, 0, 3)], [7], [5], one, probs=[[0.99, 0.01]], class_ids=[5, 2])
    assert said.class_ids_m.tolist() == [3]


def test_decide_three_different_answers_end_with_the_one_on_record():
    said = _decide([(7, 0, 1), (7, 1, 2), (7, 2, 3)], [7], [2])
    assert said.class_ids_m.tolist() == [2]
    assert not said.ask_more_m[0]


def test_decide_equal_classes_are_tied_and_the_earliest_answer_wins():
    two = AgreementConfig(max_answers=2)
    said = _decide([(7, 0, 3), (7, 1, 1)], [7], [-1], two)
    assert said.class_ids_m.tolist() == [3]
    assert said.tied_m.tolist() == [True]


def test_decide_cannot_tell_asks_somebody_else_and_then_gives_up():
    assert _decide([(7, 0, -1)], [7], [-1]).ask_more_m.tolist() == [True]
    said = _decide([(7, 0, -1), (7, 1, -1), (7, 2, -1)], [7], [-1])
    assert (said.class_ids_m[0], bool(said.ask_more_m[0]), said.confidence_m[0]) == (-1, False, 0.0)


def test_decide_sample_without_answer_waits():
    said = _decide([(7, 0, 2)], [7, 8], [2, 4])
    assert said.class_ids_m.tolist() == [2, -1]
    assert said.ask_more_m.tolist() == [False, False]


def test_decide_nothing_asked_decides_nothing():
    assert len(_decide([], [], []).class_ids_m) == 0


def test_decide_good_annotator_outweighs_a_bad_one():
    rng = np.random.default_rng(0)
    answers = []
    for sample in range(60):
        answers += [(sample, 0, 0), (sample, 1, 0), (sample, 2, int(rng.integers(4)))]
    answers += [(99, 0, 1), (99, 2, 2)]
    two = AgreementConfig(max_answers=2)
    said = _decide(answers, [*range(60), 99], [-1] * 61, two)
    assert said.class_ids_m[-1] == 1
    assert not said.tied_m[-1]


def test_decide_reordered_samples_reorders_decisions():
    answers = [(1, 0, 0), (2, 0, 1), (3, 1, 2), (3, 2, 0)]
    plain = _decide(answers, [1, 2, 3], [0, 0, -1])
    moved = _decide(answers, [3, 1, 2], [-1, 0, 0])
    np.testing.assert_array_equal(moved.class_ids_m, plain.class_ids_m[[2, 0, 1]])


def test_cohen_kappa_known_values():
    assert cohen_kappa(np.array([0, 1, 2]), np.array([0, 1, 2])) == pytest.approx(1.0)
    assert cohen_kappa(np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])) == pytest.approx(0.0)
    assert np.isnan(cohen_kappa(np.array([3, 3]), np.array([3, 3])))
    assert np.isnan(cohen_kappa(np.empty(0, np.int64), np.empty(0, np.int64)))


def test_fleiss_kappa_of_the_published_example():
    counts = np.array(
        [
            [0, 0, 0, 0, 14],
            [0, 2, 6, 4, 2],
            [0, 0, 3, 5, 6],
            [0, 3, 9, 2, 0],
            [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0],
            [3, 2, 6, 3, 0],
            [2, 5, 3, 2, 2],
            [6, 5, 2, 1, 0],
            [0, 2, 2, 3, 7],
        ]
    )
    assert fleiss_kappa(counts) == pytest.approx(0.210, abs=0.001)


def test_agreement_config_reserve_without_second_answers_is_refused():
    with pytest.raises(ConfigError, match="no effect"):
        AgreementConfig(max_answers=1, reserve_share=0.1)
