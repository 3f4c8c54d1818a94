import dataclasses

import numpy as np
import pytest

from holdfast import catalog
from holdfast.errors import ConfigError
from holdfast.query.formula import COMMITTEE_MEASURES
from holdfast.query.strategy import Candidates
from holdfast.query.uncertainty import summarize_committee

FORMULAS = ("margin * minority^0.5 * density^0.2", "0.7 * margin + 0.3 * novelty")
BUILT = {name: catalog.load("query.strategy", name) for name in catalog.CATALOG["query.strategy"]}
BUILT |= {text: lambda text=text: catalog.load_strategy(text) for text in FORMULAS}
each_strategy = pytest.mark.parametrize("build", BUILT.values(), ids=BUILT.keys())


def _candidates(num=40, num_classes=4, num_labeled=12, order=None):
    rng = np.random.default_rng(0)
    order = np.arange(num) if order is None else order
    members = rng.dirichlet(np.ones(max(num_classes, 1)), size=(3, num))[..., :num_classes]
    members = members.astype(np.float32)[:, order]
    return Candidates(
        sample_ids_n=np.arange(num)[order],
        pred_probs_nk=members[0],
        class_ids_k=np.arange(num_classes) * 3,
        embeddings_nd=rng.normal(size=(num, 6)).astype(np.float32)[order],
        labeled_counts_k=rng.integers(0, 50, num_classes),
        labeled_embeddings_md=rng.normal(size=(num_labeled, 6)).astype(np.float32),
        committee=summarize_committee(list(members)),
    )


@each_strategy
@pytest.mark.parametrize(
    ("num", "num_classes", "num_labeled"), [(40, 4, 12), (7, 1, 0), (0, 3, 2), (5, 0, 0)]
)
def test_scores_are_finite_in_the_unit_interval(build, num, num_classes, num_labeled):
    candidates = _candidates(num, num_classes, num_labeled)
    scores = build().scores(candidates, np.random.default_rng(0))
    assert scores.shape == (num,)
    assert np.isfinite(scores).all()
    assert ((scores >= 0) & (scores <= 1)).all()


@each_strategy
def test_scores_same_generator_gives_the_same(build):
    first, second = (build().scores(_candidates(), np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@each_strategy
def test_scores_leave_candidates_unchanged(build):
    candidates, untouched = _candidates(), _candidates()
    build().scores(candidates, np.random.default_rng(0))
    np.testing.assert_array_equal(candidates.pred_probs_nk, untouched.pred_probs_nk)
    np.testing.assert_array_equal(candidates.embeddings_nd, untouched.embeddings_nd)


def test_names_that_need_a_committee_are_those_that_live_with_it():
    places = catalog.CATALOG["query.strategy"]
    there = {name for name, place in places.items() if "query.committee:" in place}
    assert there == COMMITTEE_MEASURES


@pytest.mark.parametrize("name", sorted(COMMITTEE_MEASURES))
def test_scores_without_the_committee_they_measure_say_how_to_get_one(name):
    candidates = dataclasses.replace(_candidates(), committee=None)
    with pytest.raises(
        ConfigError, match=f"{name} needs several models.*learning.imbalance.ensemble"
    ):
        BUILT[name]().scores(candidates, np.random.default_rng(0))


@pytest.mark.parametrize("name", sorted(set(BUILT) - COMMITTEE_MEASURES))
def test_scores_of_other_measures_do_not_depend_on_the_committee(name):
    plain = dataclasses.replace(_candidates(), committee=None)
    np.testing.assert_array_equal(
        BUILT[name]().scores(plain, np.random.default_rng(0)),
        BUILT[name]().scores(_candidates(), np.random.default_rng(0)),
    )


@pytest.mark.parametrize(
    "build",
    [BUILT[name] for name in BUILT if name != "random"],
    ids=[n for n in BUILT if n != "random"],
)
def test_scores_of_permuted_candidates_are_permuted(build):
    order = np.random.default_rng(1).permutation(40)
    plain = build().scores(_candidates(), np.random.default_rng(0))
    moved = build().scores(_candidates(order=order), np.random.default_rng(0))
    np.testing.assert_allclose(moved, plain[order], atol=1e-6)
