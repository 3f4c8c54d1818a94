import numpy as np
import pytest
from cleanlab.multiannotator import get_label_quality_multiannotator

from benchmarks.annotation_crowds import Regime, draw
from holdfast.quality.consensus import find_consensus, majority
from holdfast.quality.crowd_model import crowd_model
from holdfast.quality.dawid_skene import dawid_skene
from holdfast.quality.votes import Votes

METHODS = ("majority", "dawid_skene", "crowdlab", "default")
SMALL = Regime("small", samples=400, annotators=12, classes=4, answers=(2, 5), spammers=0.2)


def _votes(crowd, num_classes):
    rows, people = np.nonzero(crowd.votes_nj >= 0)
    return Votes(
        rows,
        people,
        crowd.votes_nj[rows, people].astype(np.int64),
        num_samples=len(crowd.votes_nj),
        num_annotators=crowd.votes_nj.shape[1],
        num_classes=num_classes,
    )


def _small(model="none", seed=0, **changes):
    regime = Regime(**{**_fields(SMALL), "model": model, **changes})
    crowd = draw(regime, seed)
    return crowd, _votes(crowd, regime.classes)


def _fields(regime):
    return {name: getattr(regime, name) for name in regime.__dataclass_fields__}


def _accuracy(found, crowd):
    return (found.columns_m == crowd.true_n).mean()


@pytest.mark.parametrize("method", METHODS)
def test_find_consensus_posterior_is_a_distribution_led_by_the_consensus(method):
    crowd, votes = _small("good")
    found = find_consensus(method, votes, crowd.probs_nk)
    np.testing.assert_allclose(found.posterior_mk.sum(axis=1), 1.0)
    assert found.posterior_mk.min() >= 0.0
    own = found.posterior_mk[np.arange(votes.num_samples), found.columns_m]
    np.testing.assert_array_equal(found.confidence_m, own)
    leads = own >= found.posterior_mk.max(axis=1) - 1e-8
    # CROWDLAB weighs anew after it has chosen.
    assert leads.mean() > 0.95 if method == "crowdlab" else leads.all()
    assert ((found.quality_j >= 0) & (found.quality_j <= 1)).all()


@pytest.mark.parametrize("method", METHODS)
def test_find_consensus_all_agree_is_what_they_say(method):
    said = np.arange(30) % 3
    votes = Votes(
        np.tile(np.arange(30), 3),
        np.repeat(np.arange(3), 30),
        np.tile(said, 3),
        num_samples=30,
        num_annotators=3,
        num_classes=3,
    )
    found = find_consensus(method, votes)
    np.testing.assert_array_equal(found.columns_m, said)


@pytest.mark.parametrize("method", METHODS)
def test_find_consensus_reordered_samples_reorders_the_result(method):
    crowd, votes = _small("good")
    order = np.random.default_rng(3).permutation(votes.num_samples)
    place = np.argsort(order)
    moved = Votes(
        place[votes.rows_a],
        votes.annotators_a,
        votes.columns_a,
        num_samples=votes.num_samples,
        num_annotators=votes.num_annotators,
        num_classes=votes.num_classes,
    )
    plain = find_consensus(method, votes, crowd.probs_nk)
    there = find_consensus(method, moved, crowd.probs_nk[order])
    np.testing.assert_allclose(there.posterior_mk, plain.posterior_mk[order], atol=1e-6)
    np.testing.assert_allclose(there.quality_j, plain.quality_j, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_find_consensus_without_an_answer_stays_finite(method):
    none = np.empty(0, np.int64)
    votes = Votes(none, none, none, num_samples=3, num_annotators=2, num_classes=4)
    found = find_consensus(method, votes)
    assert np.isfinite(found.posterior_mk).all()
    assert np.isnan(found.quality_j).all()


@pytest.mark.parametrize("method", ["majority", "crowdlab", "default"])
def test_find_consensus_single_answers_without_a_model_are_kept(method):
    _, votes = _small(answers=(1, 1))
    found = find_consensus(method, votes)
    np.testing.assert_array_equal(found.columns_m[votes.rows_a], votes.columns_a)


def test_find_consensus_unknown_method_is_refused():
    with pytest.raises(ValueError, match="no consensus method is called 'odd'"):
        find_consensus("odd", _small()[1])


def test_find_consensus_probabilities_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 2\), not \(400, 4\)"):
        find_consensus("default", _small()[1], np.full((2, 2), 0.5))


def test_crowdlab_equals_cleanlab():
    crowd, votes = _small("good")
    table = np.where(crowd.votes_nj < 0, np.nan, crowd.votes_nj)
    direct = get_label_quality_multiannotator(table, crowd.probs_nk, verbose=False)
    ours = find_consensus("crowdlab", votes, crowd.probs_nk)
    quality = direct["label_quality"]
    np.testing.assert_array_equal(ours.columns_m, quality["consensus_label"])
    np.testing.assert_allclose(ours.confidence_m, quality["consensus_quality_score"])
    np.testing.assert_allclose(
        ours.quality_j, direct["annotator_stats"]["annotator_quality"].sort_index()
    )


def test_majority_equal_shares_go_to_the_class_named_more_often():
    votes = Votes(
        np.array([0, 0, 1]),
        np.array([0, 1, 0]),
        np.array([0, 1, 1]),
        num_samples=2,
        num_annotators=2,
        num_classes=2,
    )
    assert majority(votes).columns_m.tolist() == [1, 1]
    assert majority(votes, np.array([[0.8, 0.2], [0.5, 0.5]])).columns_m.tolist() == [0, 1]


def test_dawid_skene_reads_an_annotator_who_swaps_two_classes():
    rng = np.random.default_rng(4)
    true = rng.integers(0, 3, 300)
    swapped = np.array([1, 0, 2])[true]
    said = np.concatenate([true, true, swapped])
    rows = np.tile(np.arange(300), 3)
    people = np.repeat([0, 1, 2], 300)
    alone = np.append(rows, 300), np.append(people, 2), np.append(said, 0)
    votes = Votes(*alone, num_samples=301, num_annotators=3, num_classes=3)
    for method in (dawid_skene, crowd_model):
        assert method(votes).columns_m[-1] == 1


def test_crowd_model_spammers_lose_their_weight():
    crowd, votes = _small(spammers=0.4, answers=(5, 5), seed=1)
    found = crowd_model(votes)
    right = (votes.columns_a == crowd.true_n[votes.rows_a]).astype(float)
    true_quality = np.bincount(votes.annotators_a, right) / votes.answers_j
    assert np.corrcoef(found.quality_j, true_quality)[0, 1] > 0.95
    assert _accuracy(found, crowd) > _accuracy(majority(votes), crowd) + 0.05


def test_crowd_model_good_model_helps_and_a_bad_one_does_no_harm():
    crowd, votes = _small("good", samples=1500)
    alone = _accuracy(crowd_model(votes), crowd)
    assert _accuracy(crowd_model(votes, crowd.probs_nk), crowd) > alone + 0.03
    rng = np.random.default_rng(5)
    nonsense = rng.dirichlet(np.full(4, 0.1), 1500)
    assert _accuracy(crowd_model(votes, nonsense), crowd) > alone - 0.01


def test_crowd_model_known_classes_are_kept_and_judge_annotators():
    # Two against one everywhere: only gold questions show that the one is right.
    true = np.zeros(200, np.int64)
    said = np.concatenate([true + 1, true + 1, true])
    rows = np.tile(np.arange(200), 3)
    votes = Votes(
        rows, np.repeat([0, 1, 2], 200), said, num_samples=200, num_annotators=3, num_classes=2
    )
    known = np.where(np.arange(200) < 60, 0, -1)
    found = crowd_model(votes, known_m=known)
    assert (found.columns_m == 0).all()
    assert found.quality_j.argmax() == 2


def test_votes_number_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"a class lies outside 0\.\.1"):
        Votes(
            np.array([0]),
            np.array([0]),
            np.array([2]),
            num_samples=1,
            num_annotators=1,
            num_classes=2,
        )
