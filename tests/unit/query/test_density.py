import numpy as np
from scipy.stats import spearmanr

from holdfast.model.neighbors import nearest
from holdfast.query import density
from holdfast.query.density import DensityStrategy, distances_to_neighbors
from holdfast.query.strategy import Candidates, ranks


def pool(embeddings, ids=None):
    n = len(embeddings)
    return Candidates(
        sample_ids_n=np.arange(n) if ids is None else ids,
        pred_probs_nk=np.zeros((n, 0), np.float32),
        class_ids_k=np.empty(0, np.int64),
        embeddings_nd=np.asarray(embeddings, np.float32),
        labeled_counts_k=np.empty(0, np.int64),
        labeled_embeddings_md=np.zeros((0, embeddings.shape[1]), np.float32),
    )


def scores(candidates, seed=0):
    return DensityStrategy().scores(candidates, np.random.default_rng(seed))


def mixture(num=600):
    """Half in a tight cloud, half spread out."""
    rng = np.random.default_rng(0)
    tight = rng.normal(0, 0.1, (num // 2, 6))
    return np.concatenate([tight, rng.normal(3, 2.0, (num - num // 2, 6))]).astype(np.float32)


def test_density_ranks_a_tight_cloud_above_scattered_samples():
    found = scores(pool(mixture()))
    assert found[:300].min() > found[300:].max()


def test_distances_equal_those_to_the_ten_nearest_others():
    points = mixture(80)
    exact = nearest(points, points, 11)[0][:, 1:].mean(axis=1)
    found = distances_to_neighbors(points, np.arange(80), np.random.default_rng(0))
    np.testing.assert_allclose(found, exact, atol=1e-4)


def test_density_from_a_part_of_the_pool_orders_nearly_as_from_all(monkeypatch):
    points = mixture(3000)
    exact = scores(pool(points))
    monkeypatch.setattr(density, "COMPARISONS", 0)
    monkeypatch.setattr(density, "_ROWS", 700)
    assert spearmanr(scores(pool(points)), exact).statistic > 0.9


def test_density_from_a_part_of_a_permuted_pool_is_permuted(monkeypatch):
    monkeypatch.setattr(density, "COMPARISONS", 0)
    monkeypatch.setattr(density, "FEWEST_REFERENCE", 50)
    points, order = mixture(400), np.random.default_rng(5).permutation(400)
    np.testing.assert_allclose(
        scores(pool(points[order], ids=order)), scores(pool(points))[order], atol=1e-6
    )


def test_density_does_not_change_with_the_scale_of_embeddings():
    points = mixture(100)
    np.testing.assert_allclose(scores(pool(points * 8)), scores(pool(points)), atol=0.03)


def test_density_few_samples_are_ranked_without_error():
    assert scores(pool(np.zeros((1, 3)))).tolist() == [0.0]
    assert scores(pool(np.zeros((4, 3)))).tolist() == [0.0] * 4
    assert scores(pool(np.array([[0.0], [0.1], [5.0]]))).tolist() == [0.5, 1.0, 0.0]


def test_ranks_of_any_increasing_transformation_are_the_same():
    values = np.random.default_rng(0).normal(size=30)
    np.testing.assert_array_equal(ranks(values), ranks(np.exp(values)))
