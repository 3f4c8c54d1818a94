import numpy as np
import pytest

from holdfast import catalog
from holdfast.errors import PoolExhaustedError
from holdfast.query.budget import QueryConfig
from holdfast.query.quotas import Quotas
from holdfast.query.relabel import NO_SUSPECTS, Suspects
from holdfast.query.selection import select
from holdfast.query.strategy import Candidates
from holdfast.query.uncertainty import MarginStrategy

CONFIG = QueryConfig(budget=10, share_suspects=0.3, share_random=0.2)


def _pool(seed=0, num=60, num_classes=3):
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(max(num_classes, 1), 0.5), size=num)[:, :num_classes]
    return Candidates(
        sample_ids_n=np.arange(num) + 1000,
        pred_probs_nk=probs.astype(np.float32),
        class_ids_k=np.arange(num_classes) * 2 + 1,
        embeddings_nd=rng.normal(size=(num, 5)).astype(np.float32),
        labeled_counts_k=np.arange(num_classes) + 3,
        labeled_embeddings_md=rng.normal(size=(6, 5)).astype(np.float32),
    )


def _suspects(num):
    return Suspects(
        sample_ids_s=np.arange(num),
        given_s=np.zeros(num, np.int64),
        suggested_s=np.ones(num, np.int64),
        error_probs_s=np.linspace(0.9, 0.3, num),
    )


def _select(pool, suspects=NO_SUSPECTS, config=CONFIG, reserve=0, seed=0):
    return select(
        pool,
        suspects,
        strategy=MarginStrategy(),
        config=config,
        rng=np.random.default_rng(seed),
        reserve=reserve,
    )


def test_select_asks_each_sample_once_within_the_shares():
    items = _select(_pool(), _suspects(8), reserve=1)
    reasons = [item.reason for item in items]
    assert len({item.sample_id for item in items}) == len(items) == 9
    assert (reasons.count("suspect"), reasons.count("random")) == (3, 2)


def test_select_same_generator_selects_the_same():
    assert _select(_pool(), _suspects(4)) == _select(_pool(), _suspects(4))


def test_select_guess_is_the_models_most_probable_class():
    pool = _pool()
    for item in _select(pool):
        row = item.sample_id - 1000
        assert item.guess == pool.class_ids_k[pool.pred_probs_nk[row].argmax()]
        assert item.confidence == pytest.approx(pool.pred_probs_nk[row].max())
        assert set(item.parts) == {"uncertainty", "rarity", "novelty"}
        assert all(0.0 <= value <= 1.0 for value in item.parts.values())


def test_select_most_suspect_labels_come_first():
    items = [item for item in _select(_pool(), _suspects(8)) if item.reason == "suspect"]
    assert [item.sample_id for item in items] == [0, 1, 2]
    assert items[0].guess == 1


def test_select_without_a_model_asks_about_novel_samples():
    items = _select(_pool(num_classes=0))
    assert len(items) == 10
    assert all(item.guess is None and item.confidence == 0.0 for item in items)


def test_select_without_model_and_labels_still_spreads():
    pool = _pool(num_classes=0)
    bare = Candidates(
        sample_ids_n=pool.sample_ids_n,
        pred_probs_nk=pool.pred_probs_nk,
        class_ids_k=pool.class_ids_k,
        embeddings_nd=pool.embeddings_nd,
        labeled_counts_k=pool.labeled_counts_k,
        labeled_embeddings_md=np.zeros((0, 5), np.float32),
    )
    assert len(_select(bare)) == 10


def test_select_one_class_model_works():
    assert len(_select(_pool(num_classes=1))) == 10


def test_select_samples_of_an_unseen_class_are_found():
    # 95 samples around what is labeled, 5 far away; the model is sure about all of them.
    rng = np.random.default_rng(3)
    near = np.array([10.0, 0, 0]) + rng.normal(size=(95, 3))
    far = np.array([0, 10.0, 0]) + rng.normal(size=(5, 3))
    pool = Candidates(
        sample_ids_n=np.arange(100),
        pred_probs_nk=np.tile(np.array([[0.99, 0.01]], np.float32), (100, 1)),
        class_ids_k=np.array([0, 1]),
        embeddings_nd=np.r_[near, far].astype(np.float32),
        labeled_counts_k=np.array([10, 10]),
        labeled_embeddings_md=(near[:20] + 0.1).astype(np.float32),
    )
    assert max(item.sample_id for item in _select(pool)) >= 95


def test_select_whole_pool_asks_about_everything():
    pool = _pool(num=10)
    assert {item.sample_id for item in _select(pool)} == set(range(1000, 1010))


def test_select_budget_above_the_pool_is_refused():
    with pytest.raises(PoolExhaustedError, match="only 7 can be asked about"):
        _select(_pool(num=5), _suspects(2))


def _labeled_pool(seed=0, num=80, num_labeled=40):
    """Return a pool of two groups, the second one rare and hardly labeled; a blind model."""
    rng = np.random.default_rng(seed)
    rare = np.arange(num + num_labeled) % 10 == 0
    places = np.where(rare[:, None], 6.0, 0.0) + rng.normal(size=(len(rare), 4))
    return Candidates(
        sample_ids_n=np.arange(num),
        pred_probs_nk=np.full((num, 2), 0.5, np.float32),
        class_ids_k=np.array([0, 1]),
        embeddings_nd=places[:num].astype(np.float32),
        labeled_counts_k=np.bincount(rare[num:].astype(int)),
        labeled_embeddings_md=places[num:].astype(np.float32),
        labeled_class_ids_m=rare[num:].astype(np.int64),
    )


def test_select_asks_about_the_rare_class_that_only_neighbors_can_tell():
    config = QueryConfig(budget=8, share_random=0.0, share_explore=0.0)
    items = _select(_labeled_pool(), config=config)
    assert sum(item.sample_id % 10 == 0 for item in items) >= 3  # by chance 0.8
    assert all(item.guess == (item.sample_id % 10 == 0) for item in items)


def test_select_among_few_labels_only_sure_suspects_are_asked_again():
    doubtful = Suspects(
        sample_ids_s=np.arange(200, 208),
        given_s=np.zeros(8, np.int64),
        suggested_s=np.ones(8, np.int64),
        error_probs_s=np.r_[np.full(2, 0.95), np.full(6, 0.3)],
    )
    few, many = (
        sum(item.reason == "suspect" for item in _select(_labeled_pool(num_labeled=m), doubtful))
        for m in (10, 200)
    )
    assert (few, many) == (2, 3)


def test_select_shows_the_measures_of_a_formula():
    strategy = catalog.load_strategy("margin * minority^0.5")
    items = select(
        _labeled_pool(),
        NO_SUSPECTS,
        strategy=strategy,
        config=CONFIG,
        rng=np.random.default_rng(0),
    )
    assert {"margin", "minority", "uncertainty"} <= set(items[0].parts)


def test_select_within_quotas_takes_no_more_of_a_class_than_allowed():
    quotas = Quotas(least_k=np.array([0, 0, 0]), most_k=np.array([1, 50, 50]))
    pool = _pool()
    items = select(
        pool,
        NO_SUSPECTS,
        strategy=MarginStrategy(),
        config=CONFIG,
        rng=np.random.default_rng(0),
        quotas=quotas,
    )
    fresh = [item.sample_id - 1000 for item in items if item.reason == "uncertain"]
    assert np.bincount(pool.pred_probs_nk[fresh].argmax(axis=1), minlength=3)[0] <= 1


def test_select_without_labels_takes_one_of_each_cluster():
    rng = np.random.default_rng(0)
    centers = np.eye(8)[:5] * 4
    places = np.repeat(centers, 30, axis=0) + 0.2 * rng.normal(size=(150, 8))
    odd = np.array([[0, 0, 0, 0, 0, 0, 0, 40.0]])
    pool = Candidates(
        sample_ids_n=np.arange(151),
        pred_probs_nk=np.zeros((151, 0), np.float32),
        class_ids_k=np.empty(0, np.int64),
        embeddings_nd=np.concatenate([places, odd]).astype(np.float32),
        labeled_counts_k=np.empty(0, np.int64),
        labeled_embeddings_md=np.zeros((0, 8), np.float32),
    )
    config = QueryConfig(budget=6, share_random=0.0)
    picked = {item.sample_id // 30 for item in _select(pool, config=config)}
    assert {0, 1, 2, 3, 4} <= picked
