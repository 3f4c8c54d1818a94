"""The exemplar buffer."""

import numpy as np
import pytest

from holdfast.learning.replay import Buffer, empty_buffer, fair_shares, merge, read_buffer, shrink
from holdfast.records import Experience


def _experience(ids, labels, *, number=1, withdrawn=(), weights=None, fill=None):
    ids = np.array(ids, np.int64)
    images = np.zeros((len(ids), 1, 8, 8), np.uint8)
    images[:] = (ids if fill is None else np.full(len(ids), fill))[:, None, None, None] % 256
    return Experience(
        number=number,
        sample_ids_n=ids,
        images_nchw=images,
        labels_n=np.array(labels, np.int64),
        weights_n=np.ones(len(ids), np.float32) if weights is None else np.float32(weights),
        withdrawn_ids=np.array(withdrawn, np.int64),
    )


def _grown(counts, seed=0):
    labels = np.repeat(np.arange(len(counts)), counts)
    return merge(
        empty_buffer((1, 8, 8)),
        _experience(np.arange(len(labels)), labels),
        np.random.default_rng(seed),
    )


def test_fair_shares_under_imbalance_uses_every_slot():
    assert fair_shares(np.array([4000, 400, 40]), 600).tolist() == [280, 280, 40]


@pytest.mark.parametrize("seed", range(5))
def test_fair_shares_always_fills_and_never_favors_the_larger(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 50, size=8)
    for capacity in (0, 1, 7, 100, 1000):
        shares = fair_shares(counts, capacity)
        assert shares.sum() == min(capacity, counts.sum())
        assert (shares <= counts).all()
        cut = shares < counts
        # Whoever was cut has, within one slot, as much as the largest share.
        assert not cut.any() or shares[cut].min() >= shares.max() - 1


def test_shrink_to_capacity_keeps_rare_classes_whole():
    kept = shrink(_grown([400, 40, 4]), 60)
    assert np.bincount(kept.labels_n).tolist() == [28, 28, 4]
    assert (np.diff(kept.sample_ids_n) > 0).all()


def test_shrink_below_capacity_changes_nothing():
    buffer = _grown([5, 3])
    assert shrink(buffer, 8) is buffer


def test_shrink_to_nothing_gives_an_empty_buffer():
    assert len(shrink(_grown([5, 3]), 0)) == 0


def test_shrink_step_by_step_keeps_what_shrinking_at_once_keeps():
    buffer = _grown([30, 20])
    stepwise = shrink(shrink(buffer, 30), 10)
    assert np.array_equal(stepwise.sample_ids_n, shrink(buffer, 10).sample_ids_n)


def test_shrink_keeps_every_sample_of_a_class_equally_often():
    hits = np.zeros(10)
    for seed in range(400):
        hits[shrink(_grown([10], seed), 5).sample_ids_n] += 1
    # Binomial(400, 1/2): five standard deviations are 50.
    assert np.abs(hits - 200).max() < 50


def test_merge_copies_so_that_the_experience_may_change():
    experience = _experience([1, 2], [0, 1])
    buffer = merge(empty_buffer((1, 8, 8)), experience, np.random.default_rng(0))
    experience.images_nchw[:] = 99
    assert buffer.images_nchw.max() == 2


def test_merge_of_a_corrected_label_replaces_it_and_keeps_the_key():
    rng = np.random.default_rng(0)
    before = merge(empty_buffer((1, 8, 8)), _experience([3, 5, 9], [0, 0, 1]), rng)
    after = merge(before, _experience([5], [2], number=2, weights=[0.5]), rng)
    assert after.sample_ids_n.tolist() == [3, 5, 9]
    assert after.labels_n.tolist() == [0, 2, 1]
    assert after.weights_n.tolist() == [1, 0.5, 1]
    assert np.array_equal(after.keys_n, before.keys_n)
    assert before.labels_n.tolist() == [0, 0, 1]


def test_merge_lets_go_of_what_was_withdrawn():
    rng = np.random.default_rng(0)
    before = merge(empty_buffer((1, 8, 8)), _experience([3, 5, 9], [0, 0, 1]), rng)
    after = merge(before, _experience([], [], number=2, withdrawn=[5, 77]), rng)
    assert after.sample_ids_n.tolist() == [3, 9]
    assert after.images_nchw[:, 0, 0, 0].tolist() == [3, 9]


def test_merge_orders_samples_whatever_order_they_came_in():
    one = merge(
        empty_buffer((1, 8, 8)), _experience([9, 3, 5], [1, 0, 2]), np.random.default_rng(0)
    )
    other = merge(
        empty_buffer((1, 8, 8)), _experience([3, 5, 9], [0, 2, 1]), np.random.default_rng(0)
    )
    for key, value in one.tensors().items():
        assert np.array_equal(value, other.tensors()[key])


def test_merge_of_a_sample_twice_is_an_error():
    with pytest.raises(ValueError, match="2 samples but only 1"):
        merge(empty_buffer((1, 8, 8)), _experience([3, 3], [0, 1]), np.random.default_rng(0))


def test_read_buffer_after_tensors_gives_the_buffer_back():
    buffer = _grown([4, 2])
    again = read_buffer(buffer.tensors() | {"network.x": np.zeros(1)})
    assert isinstance(again, Buffer)
    for key, value in buffer.tensors().items():
        assert np.array_equal(again.tensors()[key], value)
