import numpy as np
import pytest
from modAL.disagreement import KL_max_disagreement, consensus_entropy, vote_entropy
from modAL.models import ActiveLearner
from modAL.models import Committee as ModalCommittee
from sklearn.linear_model import LogisticRegression

from holdfast.query import committee as measures
from holdfast.query import uncertainty
from holdfast.query.strategy import Candidates, Committee
from holdfast.query.uncertainty import summarize_committee

RNG = np.random.default_rng(0)
ALL = (
    measures.VoteEntropyStrategy(),
    measures.ConsensusEntropyStrategy(),
    measures.MaxDisagreementStrategy(),
    measures.BaldStrategy(),
)
each_measure = pytest.mark.parametrize("measure", ALL, ids=lambda one: type(one).__name__)


def asking(*members):
    members = [np.asarray(one, np.float32) for one in members]
    n, k = members[0].shape
    return Candidates(
        sample_ids_n=np.arange(n),
        pred_probs_nk=members[0],
        class_ids_k=np.arange(k),
        embeddings_nd=np.zeros((n, 2), np.float32),
        labeled_counts_k=np.ones(k, np.int64),
        labeled_embeddings_md=np.zeros((0, 2), np.float32),
        committee=summarize_committee(members),
    )


def fitted_members(num=120):
    rng = np.random.default_rng(1)
    features, labels = rng.normal(size=(num, 4)), np.arange(num) % 3
    features[:, 0] += labels
    models = [
        LogisticRegression().fit(features[part], labels[part])
        for part in (slice(0, 30), slice(30, 60), slice(60, 90), slice(90, 120))
    ]
    return models, features


def test_measures_equal_modal_on_a_committee_of_fitted_classifiers():
    models, features = fitted_members()
    modal = ModalCommittee([ActiveLearner(model) for model in models])
    pool = asking(*(model.predict_proba(features) for model in models))
    for strategy, direct in (
        (measures.VoteEntropyStrategy(), vote_entropy(modal, features) / np.log(3)),
        (measures.ConsensusEntropyStrategy(), consensus_entropy(modal, features) / np.log(3)),
        (measures.MaxDisagreementStrategy(), KL_max_disagreement(modal, features) / np.log(4)),
    ):
        np.testing.assert_allclose(strategy.scores(pool, RNG), direct, atol=1e-5)


def test_bald_is_the_mean_divergence_of_members_from_their_mean():
    members = np.random.default_rng(2).dirichlet(np.ones(5), size=(3, 40))
    mean = members.mean(axis=0)
    divergence = (members * np.log(members / mean)).sum(axis=2).mean(axis=0)
    found = measures.BaldStrategy().scores(asking(*members), RNG)
    np.testing.assert_allclose(found, divergence / np.log(3), atol=1e-5)


@each_measure
def test_measures_reach_one_where_members_are_sure_of_different_classes(measure):
    pool = asking([[1, 0, 0], [1, 0, 0]], [[0, 1, 0], [1, 0, 0]], [[0, 0, 1], [1, 0, 0]])
    np.testing.assert_allclose(measure.scores(pool, RNG), [1.0, 0.0], atol=1e-6)


def test_disagreement_is_zero_where_members_waver_alike_and_consensus_entropy_is_not():
    pool = asking(*[[[0.5, 0.5]]] * 3)
    scores = [float(measure.scores(pool, RNG)[0]) for measure in ALL]
    np.testing.assert_allclose(scores, [0.0, 1.0, 0.0, 0.0], atol=1e-6)


@each_measure
def test_measures_do_not_depend_on_the_order_of_members(measure):
    members = np.random.default_rng(2).dirichlet(np.ones(4), size=(3, 20))
    np.testing.assert_allclose(
        measure.scores(asking(*members), RNG),
        measure.scores(asking(*members[::-1]), RNG),
        atol=1e-6,
    )


@each_measure
def test_measures_lone_member_equals_no_disagreement(measure):
    found = measure.scores(asking([[0.6, 0.4], [0.9, 0.1]]), RNG)
    if not isinstance(measure, measures.ConsensusEntropyStrategy):
        assert found.tolist() == [0.0, 0.0]


@each_measure
def test_measures_in_blocks_equal_those_at_once(measure, monkeypatch):
    members = np.random.default_rng(2).dirichlet(np.ones(4), size=(3, 23))
    at_once = measure.scores(asking(*members), RNG)
    monkeypatch.setattr(uncertainty, "_ROWS", 5)
    monkeypatch.setattr(measures, "_ROWS", 5)
    np.testing.assert_array_equal(measure.scores(asking(*members), RNG), at_once)


def test_summarize_committee_votes_count_every_member_once():
    members = np.random.default_rng(2).dirichlet(np.ones(4), size=(5, 30))
    said = summarize_committee(list(members))
    assert (said.votes_nk.sum(axis=1) == 5).all()
    np.testing.assert_allclose(said.mean_probs_nk.sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("members", [[], [np.ones((2, 3)), np.ones((2, 4))]])
def test_summarize_committee_members_that_do_not_fit_are_refused(members):
    with pytest.raises(ValueError, match="one shape"):
        summarize_committee(members)


def test_committee_of_other_length_is_refused():
    said = summarize_committee([np.full((3, 2), 0.5, np.float32)])
    with pytest.raises(ValueError, match="max_kl_n should be"):
        Committee(
            mean_probs_nk=said.mean_probs_nk,
            votes_nk=said.votes_nk,
            expected_entropy_n=said.expected_entropy_n,
            max_kl_n=said.max_kl_n[:2],
        )
    assert len(said.take(np.array([2, 0]))) == 2


def test_committee_of_one_never_disagrees():
    probs = np.random.default_rng(0).dirichlet(np.ones(4), 20).astype(np.float32)
    committee = Committee.of_one(probs)
    np.testing.assert_array_equal(committee.votes_nk.argmax(axis=1), probs.argmax(axis=1))
    entropy = -(probs * np.log(probs)).sum(axis=1)
    np.testing.assert_allclose(committee.expected_entropy_n, entropy, rtol=1e-5)
    np.testing.assert_array_equal(committee.max_kl_n, 0)
