import numpy as np
import pytest

from holdfast import catalog
from holdfast.query.strategy import Candidates

RNG = np.random.default_rng(0)


def pool(num=50):
    rng = np.random.default_rng(3)
    return Candidates(
        sample_ids_n=np.arange(num),
        pred_probs_nk=rng.dirichlet(np.ones(3), num).astype(np.float32),
        class_ids_k=np.arange(3),
        embeddings_nd=rng.normal(size=(num, 4)).astype(np.float32),
        labeled_counts_k=np.array([90, 9, 3]),
        labeled_embeddings_md=rng.normal(size=(5, 4)).astype(np.float32),
    )


def scores(text, num=50):
    return catalog.load_strategy(text).scores(pool(num), np.random.default_rng(0))


def test_combined_single_name_equals_the_measure():
    for name in ("margin", "entropy", "minority", "novelty", "random"):
        alone = catalog.load("query.strategy", name)()
        np.testing.assert_array_equal(
            scores(name), alone.scores(pool(), np.random.default_rng(0)), err_msg=name
        )


def test_combined_product_and_sum_follow_the_arithmetic():
    margin, minority, novelty = scores("margin"), scores("minority"), scores("novelty")
    np.testing.assert_allclose(scores("margin * minority^0.5"), margin * np.sqrt(minority))
    np.testing.assert_allclose(
        scores("3*margin*minority + novelty"), 0.75 * margin * minority + 0.25 * novelty
    )


def test_combined_sum_of_a_measure_with_itself_is_the_measure():
    np.testing.assert_allclose(scores("0.2*margin + 0.8*margin"), scores("margin"))


def test_combined_parts_are_those_the_score_was_made_of():
    strategy = catalog.load_strategy("0.6*random*margin + 0.4*random")
    parts = strategy.parts(pool(), np.random.default_rng(0))
    assert list(parts) == ["random", "margin"]
    # Asked twice, a random measure would answer differently in the two terms.
    np.testing.assert_allclose(
        strategy.combine(parts), parts["random"] * (0.6 * parts["margin"] + 0.4)
    )
    np.testing.assert_array_equal(
        strategy.combine(parts), strategy.scores(pool(), np.random.default_rng(0))
    )


def test_combined_without_candidates_is_empty():
    assert scores("0.5*margin*density + 0.5*novelty", num=0).shape == (0,)


@pytest.mark.parametrize("text", ["margin^10 * density", "margin + density + minority + novelty"])
def test_combined_scores_stay_in_the_unit_interval(text):
    found = scores(text)
    assert ((found >= 0) & (found <= 1)).all()
