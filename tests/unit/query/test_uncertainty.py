import numpy as np
import pytest
from modAL.uncertainty import classifier_entropy, classifier_margin, classifier_uncertainty
from sklearn.linear_model import LogisticRegression

from holdfast.query.strategy import Candidates
from holdfast.query.uncertainty import (
    CachedEstimator,
    EntropyStrategy,
    LeastConfidenceStrategy,
    MarginStrategy,
)

RNG = np.random.default_rng(0)


def _candidates(probs):
    probs = np.asarray(probs, np.float32)
    n, k = probs.shape
    return Candidates(
        sample_ids_n=np.arange(n),
        pred_probs_nk=probs,
        class_ids_k=np.arange(k),
        embeddings_nd=np.zeros((n, 2), np.float32),
        labeled_counts_k=np.ones(k, np.int64),
        labeled_embeddings_md=np.zeros((0, 2), np.float32),
    )


def test_measures_equal_modal_on_a_fitted_classifier():
    features = RNG.normal(size=(60, 3))
    model = LogisticRegression().fit(features, np.arange(60) % 3)
    pool = _candidates(model.predict_proba(features))
    for strategy, direct in (
        (LeastConfidenceStrategy(), classifier_uncertainty(model, features) * 3 / 2),
        (MarginStrategy(), 1 - classifier_margin(model, features)),
        (EntropyStrategy(), classifier_entropy(model, features) / np.log(3)),
    ):
        np.testing.assert_allclose(strategy.scores(pool, RNG), direct, atol=1e-5)


@pytest.mark.parametrize(
    "strategy", [LeastConfidenceStrategy(), MarginStrategy(), EntropyStrategy()]
)
def test_measures_run_from_certain_to_undecided(strategy):
    scores = strategy.scores(_candidates([[1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]]), RNG)
    np.testing.assert_allclose(scores, [0.0, 1.0], atol=1e-6)


@pytest.mark.parametrize(
    "strategy", [LeastConfidenceStrategy(), MarginStrategy(), EntropyStrategy()]
)
@pytest.mark.parametrize("shape", [(4, 0), (4, 1), (0, 3)])
def test_measures_without_two_classes_are_zero(strategy, shape):
    assert strategy.scores(_candidates(np.ones(shape)), RNG).tolist() == [0.0] * shape[0]


def test_cached_estimator_is_never_fitted():
    with pytest.raises(TypeError, match="cannot be fitted"):
        CachedEstimator(np.ones((1, 1), np.float32), np.array([0])).fit(np.arange(1), np.arange(1))
