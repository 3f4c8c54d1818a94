import numpy as np
import pytest

from holdfast.errors import ConfigError
from holdfast.quality.agreement import AgreementConfig, decide

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


def test_decide_contradicting_answers_without_a_leader_are_disputed():
    answers = [(7, 0, 1), (7, 1, 2), (7, 2, 3), (8, 0, 1), (8, 1, 1), (8, 2, 3)]
    said = _decide(answers, [7, 8], [-1, -1], class_ids=[1, 2, 3, 4], probs=[[0.25] * 4] * 2)
    assert said.class_ids_m.tolist() == [-1, 1]
    assert said.disputed_m.tolist() == [True, False]
    assert not said.ask_more_m.any()


def test_decide_dispute_below_zero_lets_the_leader_stand():
    lenient = AgreementConfig(max_answers=3, dispute_below=0.0)
    said = _decide([(7, 0, 1), (7, 1, 2), (7, 2, 3)], [7], [-1], lenient)
    assert said.class_ids_m.tolist() == [1]
    assert not said.disputed_m.any()


@pytest.mark.parametrize("method", ["default", "majority", "dawid_skene", "crowdlab"])
def test_decide_every_method_settles_what_most_say(method):
    config = AgreementConfig(max_answers=2, method=method)
    answers = [(s, j, s % 2) for s in range(20) for j in range(2)]
    answers += [(50, 0, 1), (50, 1, 1), (50, 2, 0), (51, 0, 1)]
    said = _decide(answers, [*range(20), 50, 51], [-1] * 22, config)
    assert said.class_ids_m[:21].tolist() == [s % 2 for s in range(20)] + [1]
    assert not said.disputed_m.any()


def test_decide_gold_questions_tell_who_answers_well():
    gold = np.arange(100, 140)
    answers = [(s, 0, 1) for s in gold] + [(s, 1, 2) for s in gold] + [(7, 1, 2), (7, 0, 1)]
    table = np.array(answers, np.int64).T
    two = AgreementConfig(max_answers=2)
    asked = {"sample_ids_m": np.array([7]), "record_m": np.array([-1]), "config": two}
    trusted = {"gold_ids_g": gold, "gold_classes_g": np.ones(40, np.int64)}
    assert decide(*table, **asked, **trusted).class_ids_m.tolist() == [1]
    others = {"gold_ids_g": gold, "gold_classes_g": np.full(40, 2)}
    assert decide(*table, **asked, **others).class_ids_m.tolist() == [2]


def test_decide_gold_question_keeps_its_class_and_is_not_asked_again():
    said = decide(
        *np.array([(7, 0, 3)], np.int64).T,
        sample_ids_m=np.array([7]),
        record_m=np.array([-1]),
        config=THREE,
        gold_ids_g=np.array([7]),
        gold_classes_g=np.array([5]),
    )
    assert said.class_ids_m.tolist() == [5]
    assert said.confidence_m[0] == 1.0
    assert not said.ask_more_m[0]


def test_decide_gold_question_without_a_class_is_refused():
    with pytest.raises(ValueError, match="1 gold questions but 0 classes"):
        decide(
            *np.empty((3, 0), np.int64),
            sample_ids_m=np.array([7]),
            record_m=np.array([-1]),
            config=THREE,
            gold_ids_g=np.array([7]),
        )


def _alarmed(answers, pairs, config=THREE, probs=((0.6, 0.3, 0.1),)):
    return decide(
        *np.array(answers, np.int64).T,
        sample_ids_m=np.array([7]),
        record_m=np.array([-1]),
        config=config,
        pred_probs_mk=np.array(probs),
        class_ids_k=np.array([0, 1, 2]),
        alarmed_pairs=pairs,
    )


def test_decide_single_answer_under_alarm_asks_one_more():
    assert _alarmed([(7, 0, 0)], []).class_ids_m.tolist() == [0]
    for pair in ((0, 1), (1, 0)):
        said = _alarmed([(7, 0, 0)], [pair])
        assert said.class_ids_m.tolist() == [-1]
        assert said.ask_more_m.tolist() == [True]


def test_decide_alarm_about_other_classes_or_two_answers_asks_nobody():
    assert not _alarmed([(7, 0, 0)], [(0, 2), (1, 2), (0, 9)]).ask_more_m[0]
    assert not _alarmed([(7, 0, 0), (7, 1, 0)], [(0, 1)]).ask_more_m[0]
    assert not _alarmed([(7, 0, 0)], [(0, 1)], AgreementConfig()).ask_more_m[0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "odd"}, "agreement.method should be one of default, majority"),
        ({"gold_share": 0.5}, "gold_share should lie between 0 and 0.3"),
        ({"alarm_below": 1.5}, "alarm_below should lie between 0 and 1"),
        ({"dispute_below": -0.1}, "dispute_below should lie between 0 and 1"),
    ],
)
def test_agreement_config_out_of_range_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        AgreementConfig(**settings)


def test_agreement_config_reserve_without_second_answers_is_refused():
    with pytest.raises(ConfigError, match="no effect"):
        AgreementConfig(max_answers=1, reserve_share=0.1)
