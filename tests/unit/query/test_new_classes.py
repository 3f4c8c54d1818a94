import numpy as np
import pytest
from sklearn.datasets import load_digits

from holdfast.query import new_classes
from holdfast.query.new_classes import NewClassProposal, propose_new_classes, with_proposals
from holdfast.query.strategy import Candidates
from holdfast.records import NEW_CLASS, QueryItem


def asked(pool, labeled):
    return Candidates(
        sample_ids_n=np.arange(len(pool)),
        pred_probs_nk=np.zeros((len(pool), 0), np.float32),
        class_ids_k=np.empty(0, np.int64),
        embeddings_nd=np.asarray(pool, np.float32),
        labeled_counts_k=np.empty(0, np.int64),
        labeled_embeddings_md=np.asarray(labeled, np.float32),
    )


def propose(pool, labeled, seed=0, **settings):
    return propose_new_classes(asked(pool, labeled), np.random.default_rng(seed), **settings)


def digits(withheld, seed, per_class=20):
    """Pool and labeled embeddings, and which of the pool are of the withheld classes."""
    data = load_digits()
    rng = np.random.default_rng(seed)
    labeled = np.concatenate(
        [
            rng.choice(np.flatnonzero(data.target == k), per_class, replace=False)
            for k in range(10)
            if k not in withheld
        ]
    )
    pool = np.setdiff1d(np.arange(len(data.target)), labeled)
    return data.data[pool], data.data[labeled], np.isin(data.target[pool], withheld)


@pytest.mark.parametrize(("withheld", "seed"), [((0, 6), 0), ((2, 4), 1), ((5, 7), 2)])
def test_proposals_are_mostly_of_withheld_classes(withheld, seed):
    pool, labeled, new = digits(withheld, seed)
    proposals = propose(pool, labeled)
    members = np.concatenate([one.rows_p for one in proposals])
    assert new[members].mean() > 0.8 > 3 * new.mean()
    assert len(members) == len(np.unique(members)) > 50


def test_proposals_of_two_far_groups_keep_them_apart():
    rng = np.random.default_rng(0)
    axes = np.eye(5)[[0, 1, 2]].repeat(40, axis=0)
    points = axes + rng.normal(0, 0.05, axes.shape)
    labeled = np.eye(5)[[3, 0]].repeat(20, axis=0) + rng.normal(0, 0.05, (40, 5))
    proposals = propose(points, labeled)
    assert [set((one.rows_p // 40).tolist()) for one in proposals] in ([{1}, {2}], [{2}, {1}])
    assert all(0 < one.score < 1 for one in proposals)


def test_proposals_show_members_each_once_and_no_more_than_wanted():
    pool, labeled, _ = digits((0, 6), 0)
    for one in propose(pool, labeled, num_representatives=4):
        assert len(set(one.representatives_r.tolist())) == 4
        assert np.isin(one.representatives_r, one.rows_p).all()


def test_proposals_largest_group_comes_first():
    pool, labeled, _ = digits((0, 6, 4), 0)
    sizes = [len(one) for one in propose(pool, labeled)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) > 1


def test_proposals_where_the_pool_is_like_what_is_labeled_are_none():
    rng = np.random.default_rng(0)
    assert propose(rng.normal(size=(500, 4)), rng.normal(size=(500, 4))) == ()


@pytest.mark.parametrize(("num_pool", "num_labeled"), [(0, 30), (5, 30), (300, 0), (300, 9)])
def test_proposals_with_too_little_to_compare_are_none(num_pool, num_labeled):
    rng = np.random.default_rng(0)
    assert propose(rng.normal(9, 1, (num_pool, 4)), rng.normal(size=(num_labeled, 4))) == ()


def test_proposals_from_a_part_of_a_large_pool_name_rows_of_the_whole(monkeypatch):
    pool, labeled, new = digits((0, 6), 0)
    monkeypatch.setattr(new_classes, "LARGEST_POOL", 800)
    members = np.concatenate([one.rows_p for one in propose(pool, labeled)])
    assert members.max() > 800
    assert new[members].mean() > 0.8


def test_proposals_without_representatives_are_refused():
    with pytest.raises(ValueError, match="num_representatives"):
        propose(np.zeros((20, 2)), np.zeros((20, 2)), num_representatives=0)


def _item(sample_id, reason="uncertain"):
    return QueryItem(sample_id=sample_id, reason=reason, score=0.5, parts={"novelty": 0.1})


def _pool(num=30):
    return Candidates(
        sample_ids_n=100 + np.arange(num),
        pred_probs_nk=np.zeros((num, 0), np.float32),
        class_ids_k=np.zeros(0, np.int64),
        embeddings_nd=np.zeros((num, 2), np.float32),
        labeled_counts_k=np.zeros(0, np.int64),
        labeled_embeddings_md=np.zeros((0, 2), np.float32),
    )


def _group(*rows, score=0.4):
    return NewClassProposal(
        rows_p=np.array(rows), representatives_r=np.array(rows[:1]), score=score
    )


def test_with_proposals_marks_what_is_asked_of_a_group():
    items = [_item(100), _item(101), _item(120, "random")]
    marked = with_proposals(items, [_group(1, 5)], _pool())
    assert [item.sample_id for item in marked] == [100, 101, 120]
    assert [item.parts.get(NEW_CLASS) for item in marked] == [None, 0.4, None]


def test_with_proposals_asks_about_a_group_passed_over_in_place_of_the_least_worth():
    items = [_item(100), _item(101), _item(120, "random"), _item(1, "suspect")]
    asked = with_proposals(items, [_group(7, 8)], _pool())
    assert [item.sample_id for item in asked] == [100, 107, 120, 1]
    assert asked[1].parts == {NEW_CLASS: 0.4}


def test_with_proposals_of_many_groups_leaves_most_of_the_query():
    items = [_item(100 + row) for row in range(20)]
    groups = [_group(20 + row, score=0.1) for row in range(10)]
    asked = with_proposals(items, groups, _pool())
    assert len({item.sample_id for item in asked}) == 20
    assert sum(item.sample_id >= 120 for item in asked) == 2


def test_with_proposals_without_groups_changes_nothing():
    items = (_item(100), _item(5, "suspect"))
    assert with_proposals(items, (), _pool()) == items
