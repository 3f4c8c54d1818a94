import numpy as np
import pytest

from benchmarks.annotation_crowds import Regime, draw
from holdfast.quality.annotators import annotator_quality
from holdfast.quality.crowd_model import crowd_model
from holdfast.quality.votes import Votes

NONE = np.empty(0, np.int64)


def _answers(num_people, wrong, seed=0, num_samples=300):
    """Everybody answers everything; `wrong` is the share of wrong answers of each."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 5, num_samples)
    rows = np.tile(np.arange(num_samples), num_people)
    people = np.repeat(np.arange(num_people), num_samples)
    said = np.tile(true, num_people)
    missed = rng.random(len(said)) < np.asarray(wrong)[people]
    return true, rows, people, np.where(missed, (said + rng.integers(1, 5, len(said))) % 5, said)


def test_annotator_quality_finds_the_careless_one():
    _, rows, people, said = _answers(3, [0.02, 0.02, 0.5])
    found = annotator_quality(rows, people, said, num_annotators=4)
    assert found.accuracy_j[2] < 0.6 < 0.95 < found.accuracy_j[:2].min()
    assert np.isnan(found.accuracy_j[3])
    assert (found.low_j[3], found.high_j[3]) == (0.0, 1.0)
    assert found.num_answers_j.tolist() == [300, 300, 300, 0]
    assert (found.low_j[:3] < found.accuracy_j[:3]).all()
    assert (found.accuracy_j[:3] < found.high_j[:3]).all()
    assert not found.is_spammer_j.any()


def test_annotator_quality_random_and_constant_answers_are_spam():
    rng = np.random.default_rng(1)
    _, rows, people, said = _answers(5, [0.15, 0.15, 0.15, 0.0, 0.0])
    said[people == 3] = rng.integers(0, 5, 300)
    said[people == 4] = 2
    found = annotator_quality(rows, people, said, num_annotators=5)
    assert found.is_spammer_j.tolist() == [False, False, False, True, True]
    assert found.weight_j[3:].max() < 0.3 * found.weight_j[:3].min()


def test_annotator_quality_few_answers_convict_nobody():
    _, rows, people, said = _answers(4, [0.1, 0.1, 0.1, 1.0])
    few = (people < 3) | (rows < 3)
    found = annotator_quality(rows[few], people[few], said[few], num_annotators=4)
    assert not found.is_spammer_j.any()
    assert found.high_j[3] - found.low_j[3] > 0.3


def test_annotator_quality_counts_gold_answers():
    true, rows, people, said = _answers(2, [0.0, 0.4])
    gold = np.arange(0, 300, 10)
    found = annotator_quality(
        rows, people, said, num_annotators=2, gold_ids_g=gold, gold_classes_g=true[gold]
    )
    assert found.num_gold_j.tolist() == [30, 30]
    at_gold = np.isin(rows, gold) & (people == 1)
    assert found.gold_right_j.tolist() == [30, (said == true[rows])[at_gold].sum()]
    assert found.accuracy_j[0] > 0.85 > 0.7 > found.accuracy_j[1]


def test_annotator_quality_confusions_sum_to_the_answers():
    _, rows, people, said = _answers(3, [0.1, 0.1, 0.3])
    said = np.where(said == 4, 9, said)
    found = annotator_quality(rows, people, said, num_annotators=3)
    assert found.class_ids_k.tolist() == [0, 1, 2, 3, 9]
    assert found.confusion_jkk.shape == (3, 5, 5)
    np.testing.assert_array_equal(found.confusion_jkk.sum(axis=(1, 2)), found.num_answers_j)
    assert np.trace(found.confusion_jkk[0]) > 250


def test_annotator_quality_without_answers_knows_nothing():
    found = annotator_quality(NONE, NONE, NONE, num_annotators=2)
    assert np.isnan(found.accuracy_j).all()
    assert not found.is_spammer_j.any()


def test_annotator_quality_gold_question_given_twice_is_refused():
    with pytest.raises(ValueError, match="twice among the gold questions"):
        annotator_quality(
            NONE,
            NONE,
            NONE,
            num_annotators=0,
            gold_ids_g=np.array([1, 1]),
            gold_classes_g=np.array([0, 0]),
        )


def test_spammers_of_a_crowd_are_flagged_and_their_evidence_is_weak():
    regime = Regime("flagged", samples=1500, annotators=20, answers=(4, 6), spammers=0.3)
    crowd = draw(regime, 0)
    rows, people = np.nonzero(crowd.votes_nj >= 0)
    said = crowd.votes_nj[rows, people].astype(np.int64)
    right = np.bincount(people, said == crowd.true_n[rows]) / np.bincount(people)
    found = annotator_quality(rows, people, said, num_annotators=20)
    np.testing.assert_array_equal(found.is_spammer_j, right < 0.4)
    votes = Votes(rows, people, said, num_samples=1500, num_annotators=20, num_classes=5)
    evidence = crowd_model(votes).evidence_pk
    assert evidence is not None
    reach_p = evidence.max(axis=1) - evidence.min(axis=1)
    spam_p = found.is_spammer_j[votes.annotators_p]
    assert reach_p[spam_p].mean() < 0.5 * reach_p[~spam_p].mean()
