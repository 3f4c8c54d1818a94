import numpy as np
import pytest

from holdfast.annotation.simulated import SimulatedOracle
from holdfast.records import Query, QueryItem

TRUTH = {i: "abcde"[i % 5] for i in range(400)}


def _query(ids, round_number=1, batch=1):
    items = tuple(QueryItem(sample_id=int(i), reason="uncertain", score=0.0) for i in ids)
    return Query(round_number=round_number, batch=batch, items=items)


def _labels(oracle, query):
    return {answer.sample_id: answer.label for answer in oracle.collect(query).answers}


def test_simulated_without_noise_tells_the_truth():
    assert _labels(SimulatedOracle(TRUTH), _query(TRUTH)) == TRUTH


def test_simulated_noise_is_the_share_asked_for_and_spreads_over_the_other_classes():
    truth = dict.fromkeys(range(4000), "a")
    oracle = SimulatedOracle(truth, answer_noise=0.2, class_names="abcde")
    said = list(_labels(oracle, _query(truth)).values())
    counts = np.array([said.count(name) for name in "abcde"]) / len(said)
    np.testing.assert_allclose(counts, [0.8, 0.05, 0.05, 0.05, 0.05], atol=0.02)


def test_simulated_answers_do_not_depend_on_order_or_company():
    oracle = SimulatedOracle(TRUTH, answer_noise=0.5)
    together = _labels(oracle, _query(range(100)))
    backwards = _labels(oracle, _query(reversed(range(100))))
    alone = {i: _labels(oracle, _query([i]))[i] for i in range(100)}
    assert together == backwards == alone


def test_simulated_other_seed_makes_other_errors():
    first, second = (SimulatedOracle(TRUTH, answer_noise=0.5, seed=seed) for seed in (0, 1))
    assert _labels(first, _query(TRUTH)) != _labels(second, _query(TRUTH))


def test_simulated_batches_of_a_round_ask_different_annotators():
    oracle = SimulatedOracle(TRUTH, num_annotators=3)
    who = [
        [a.annotator for a in oracle.collect(_query(range(50), 2, b)).answers] for b in (1, 2, 3)
    ]
    assert all(len(set(three)) == 3 for three in zip(*who, strict=True))
    assert len(set(who[0])) == 3


def test_simulated_with_nobody_left_cannot_tell():
    oracle = SimulatedOracle(TRUTH, num_annotators=1)
    assert _labels(oracle, _query([3], batch=2)) == {3: None}


def test_simulated_votes_are_used_in_turn_and_run_out():
    votes = {0: ["a", "", "b"], 1: ["", "", ""]}
    oracle = SimulatedOracle({0: "c", 1: "c"}, votes=votes)
    said = [_labels(oracle, _query([0, 1], batch=b)) for b in (1, 2, 3)]
    assert {said[0][0], said[1][0]} == {"a", "b"}
    assert said[2][0] is None
    assert [one[1] for one in said] == [None, None, None]
    assert (
        said[0][0]
        == {"simulated-1": "a", "simulated-3": "b"}[
            oracle.collect(_query([0])).answers[0].annotator
        ]
    )


def test_simulated_sample_without_known_label_cannot_be_told():
    assert _labels(SimulatedOracle(TRUTH), _query([9999])) == {9999: None}


@pytest.mark.parametrize("wrong", [{"answer_noise": 1.0}, {"num_annotators": 0}])
def test_simulated_setting_out_of_range_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        SimulatedOracle(TRUTH, **wrong)
