import numpy as np
import pytest

from holdfast import catalog
from holdfast.query.strategy import Candidates

BUILT = {name: catalog.load("query.strategy", name) for name in catalog.CATALOG["query.strategy"]}
each_strategy = pytest.mark.parametrize("build", BUILT.values(), ids=BUILT.keys())


def _candidates(num=40, num_classes=4, num_labeled=12, order=None):
    rng = np.random.default_rng(0)
    order = np.arange(num) if order is None else order
    probs = rng.dirichlet(np.ones(max(num_classes, 1)), size=num)[:, :num_classes]
    return Candidates(
        sample_ids_n=np.arange(num)[order],
        pred_probs_nk=probs.astype(np.float32)[order],
        class_ids_k=np.arange(num_classes) * 3,
        embeddings_nd=rng.normal(size=(num, 6)).astype(np.float32)[order],
        labeled_counts_k=rng.integers(0, 50, num_classes),
        labeled_embeddings_md=rng.normal(size=(num_labeled, 6)).astype(np.float32),
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
