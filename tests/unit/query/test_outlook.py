import numpy as np
import pytest

from holdfast.query import outlook
from holdfast.query.outlook import look
from holdfast.query.strategy import Candidates
from holdfast.query.uncertainty import MarginStrategy

CLASS_IDS = np.array([7, 2])


def _pool(num=60, num_labeled=10, labels=True, class_ids=CLASS_IDS, seed=0):
    rng = np.random.default_rng(seed)
    classes = np.arange(num + num_labeled) % 2
    places = (10.0 * classes[:, None] + rng.normal(size=(len(classes), 3))).astype(np.float32)
    labeled_ids = np.where(classes[num:] == 0, 7, 2)
    return Candidates(
        sample_ids_n=np.arange(num) + 100,
        pred_probs_nk=np.full((num, len(class_ids)), 1 / max(len(class_ids), 1), np.float32),
        class_ids_k=class_ids,
        embeddings_nd=places[:num],
        labeled_counts_k=np.full(len(class_ids), num_labeled // 2),
        labeled_embeddings_md=places[num:],
        labeled_class_ids_m=labeled_ids if labels else None,
    )


def _look(pool, num_wanted=5, always=None):
    return look(
        pool,
        num_wanted,
        strategy=MarginStrategy(),
        rare_power=0.5,
        rng=np.random.default_rng(0),
        always=always,
    )


def test_look_neighbors_name_the_class_where_the_model_cannot():
    found = _look(_pool())
    named = found.seen.class_ids_k[found.votes_vk.argmax(axis=1)]
    np.testing.assert_array_equal(named, np.where(found.rows_v % 2 == 0, 7, 2))


def test_look_without_labels_says_what_the_model_says():
    pool = _pool(labels=False)
    found = _look(pool)
    columns = np.searchsorted(found.seen.class_ids_k, pool.class_ids_k)
    np.testing.assert_array_equal(found.seen.pred_probs_nk[:, columns], pool.pred_probs_nk)


def test_look_a_labeled_class_the_model_does_not_know_gets_a_column():
    found = _look(_pool(class_ids=np.array([7])))
    assert found.seen.class_ids_k.tolist() == [2, 7]
    assert found.votes_vk[1].argmax() == 0


def test_look_labels_per_class_sum_to_the_number_of_labels(monkeypatch):
    monkeypatch.setattr(outlook, "MOST_LABELED", 6)
    found = _look(_pool(num_labeled=40))
    assert found.labeled_k.sum() == pytest.approx(40, rel=1e-4)
    assert len(found.smooth_md) == 6
    assert found.num_labeled == 40


def test_look_of_a_large_pool_keeps_what_must_be_seen_and_the_best(monkeypatch):
    monkeypatch.setattr(outlook, "MOST_CANDIDATES", 20)
    pool = _pool(200)
    pool.pred_probs_nk[:, 0] = 0.99
    pool.pred_probs_nk[:, 1] = 0.01
    best = np.array([3, 50, 111])
    pool.pred_probs_nk[best] = 0.5
    found = _look(pool, always=np.array([199]))
    assert 20 <= len(found.rows_v) <= 21
    assert np.isin([*best, 199], found.rows_v).all()
    assert (np.diff(found.rows_v) > 0).all()
    np.testing.assert_array_equal(found.seen.sample_ids_n, found.rows_v + 100)


def test_look_at_more_than_usual_where_more_are_wanted(monkeypatch):
    monkeypatch.setattr(outlook, "MOST_CANDIDATES", 20)
    assert len(_look(_pool(200), num_wanted=30).rows_v) == 120
