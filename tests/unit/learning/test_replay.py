"""The exemplar buffer."""

from dataclasses import replace

import numpy as np
import pytest

from holdfast.learning.replay import (
    Buffer,
    capacity_of,
    empty_buffer,
    merge,
    read_buffer,
    remember,
    shrink,
    take,
)
from holdfast.learning.settings import BufferConfig
from holdfast.records import Experience
from holdfast.store import checkpoints


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


def _rng():
    return np.random.default_rng(0)


def _shrunk(buffer, capacity, policy):
    rng = np.random.default_rng(1)
    return shrink(
        buffer,
        capacity,
        policy=policy,
        embeddings_nd=rng.standard_normal((len(buffer), 5)).astype(np.float32),
        losses_n=rng.exponential(size=len(buffer)).astype(np.float32),
    )


def _grown(counts, seed=0):
    labels = np.repeat(np.arange(len(counts)), counts)
    return merge(
        empty_buffer((1, 8, 8)),
        _experience(np.arange(len(labels)), labels),
        np.random.default_rng(seed),
    )


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


@pytest.mark.parametrize("policy", ["class_balanced", "reservoir", "herding", "loss_aware"])
@pytest.mark.parametrize("capacity", [0, 1, 59, 60, 443])
def test_shrink_with_any_policy_fills_the_capacity_exactly(policy, capacity):
    kept = _shrunk(_grown([400, 40, 4]), capacity, policy)
    assert len(kept) == capacity
    assert (np.diff(kept.sample_ids_n) > 0).all()


@pytest.mark.parametrize("policy", ["class_balanced", "herding", "loss_aware"])
def test_shrink_of_three_uneven_classes_hands_unused_slots_on(policy):
    kept = _shrunk(_grown([4000, 400, 40]), 600, policy)
    assert np.bincount(kept.labels_n).tolist() == [280, 280, 40]


def test_shrink_as_a_reservoir_keeps_classes_as_frequent_as_they_came():
    kept = shrink(_grown([4000, 400]), 1100, policy="reservoir")
    # Hypergeometric with mean 100 and deviation 8.3: five deviations.
    assert abs(np.bincount(kept.labels_n)[1] - 100) < 42


@pytest.mark.parametrize("policy", ["class_balanced", "reservoir", "herding", "loss_aware"])
def test_shrink_lets_distrusted_samples_go_first_and_keeps_them_while_there_is_room(policy):
    buffer = _grown([60, 60])
    weights = (np.arange(120) % 3 > 0).astype(np.float32)
    buffer = replace(buffer, weights_n=weights)
    assert _shrunk(buffer, 80, policy).weights_n.min() == 1
    assert (_shrunk(buffer, 100, policy).weights_n == 0).sum() == 20
    assert _shrunk(buffer, 120, policy) is buffer


def test_shrink_never_gives_a_slot_to_distrust_while_trust_is_waiting():
    buffer = _grown([50, 50])
    weights = np.r_[np.zeros(45), np.ones(55)].astype(np.float32)
    kept = shrink(replace(buffer, weights_n=weights), 40)
    assert np.bincount(kept.labels_n).tolist() == [5, 35]


def test_shrink_keeps_half_trusted_samples_half_as_often():
    buffer = _grown([40_000])
    weights = np.where(np.arange(40_000) % 2, 0.5, 1.0).astype(np.float32)
    kept = shrink(replace(buffer, weights_n=weights), 900)
    # Binomial(900, 1/3): five deviations are 71.
    assert abs((kept.weights_n == 0.5).sum() - 300) < 71


def test_shrink_after_trust_fell_lets_the_sample_go():
    buffer = _grown([30])
    best = int(np.argmax(buffer.keys_n))
    assert best in shrink(buffer, 5).sample_ids_n
    weights = np.where(np.arange(30) == best, 1e-4, 1).astype(np.float32)
    assert best not in shrink(replace(buffer, weights_n=weights), 5).sample_ids_n


def test_shrink_with_losses_favors_hard_samples_of_each_class():
    buffer = _grown([4000, 400])
    losses = np.tile(np.float32([0.1, 1.0]), 2200)
    kept = shrink(buffer, 200, policy="loss_aware", losses_n=losses)
    hard = np.isin(kept.sample_ids_n, np.flatnonzero(losses == 1))
    for k in range(2):
        assert hard[kept.labels_n == k].mean() > 0.6


@pytest.mark.parametrize("policy", ["herding", "loss_aware"])
def test_shrink_without_what_the_policy_needs_is_an_error(policy):
    with pytest.raises(ValueError, match=f"{policy} needs .* of all 8 exemplars, not nothing"):
        shrink(_grown([5, 3]), 4, policy=policy)


def test_shrink_with_an_unknown_policy_is_an_error():
    with pytest.raises(ValueError, match="'fifo'"):
        shrink(_grown([5, 3]), 4, policy="fifo")


def test_shrink_permuting_samples_keeps_the_same_ones():
    # Ids are handed out in the order of labels; here they are dealt out anew.
    labels = np.repeat([0, 1], [30, 20])
    order = np.random.default_rng(3).permutation(50)
    one = merge(empty_buffer((1, 8, 8)), _experience(np.arange(50), labels), _rng())
    other = merge(empty_buffer((1, 8, 8)), _experience(order, labels[order]), _rng())
    assert np.array_equal(shrink(one, 10).sample_ids_n, shrink(other, 10).sample_ids_n)


def test_buffer_keeps_no_array_of_the_experience_alive():
    merged = _grown([30, 20])
    for buffer in (merged, shrink(merged, 10), take(merged, np.arange(7))):
        for name, array in buffer.tensors().items():
            assert array.base is None, name


def test_buffer_after_a_long_stream_is_no_larger_than_after_a_short_one():
    def size(rounds):
        buffer, rng = empty_buffer((1, 8, 8)), _rng()
        for number in range(1, rounds + 1):
            ids = np.arange(100) + 100 * number
            buffer = shrink(merge(buffer, _experience(ids, ids % 3, number=number), rng), 50)
        return sum(array.nbytes for array in buffer.tensors().values())

    assert size(2) == size(20)


def test_capacity_of_megabytes_counts_pixels_scalars_and_answers():
    config = BufferConfig(capacity=10**6, megabytes=2.0)
    buffer = take(_grown([5]), np.arange(1))
    bare = sum(array.nbytes for array in buffer.tensors().values())
    assert capacity_of(config, (1, 8, 8)) == 2 * 2**20 // bare
    buffer = remember(buffer, np.zeros((1, 10), np.float32))
    full = sum(array.nbytes for array in buffer.tensors().values())
    assert capacity_of(config, (1, 8, 8), 10) == 2 * 2**20 // full


def test_capacity_of_samples_and_megabytes_is_the_smaller():
    assert capacity_of(BufferConfig(capacity=7), (1, 8, 8)) == 7
    assert capacity_of(BufferConfig(capacity=7, megabytes=1.0), (1, 8, 8)) == 7
    assert capacity_of(BufferConfig(capacity=7, megabytes=1e-4), (1, 8, 8)) == 1


def test_merge_of_a_corrected_label_forgets_the_answer_and_the_same_label_keeps_it():
    before = remember(_grown([2, 2]), np.arange(8, dtype=np.float32).reshape(4, 2))
    after = merge(before, _experience([1, 2, 9], [1, 1, 0], number=2), _rng())
    assert after.sample_ids_n.tolist() == [0, 1, 2, 3, 9]
    assert np.isnan(after.logits_nk).all(axis=1).tolist() == [False, True, False, False, True]
    assert after.logits_nk[[0, 2, 3]].tolist() == [[0, 1], [4, 5], [6, 7]]


def test_merge_of_new_trust_replaces_what_rescoring_found():
    buffer = _grown([2])
    buffer = replace(buffer, weights_n=np.float32([0.2, 0.3]))
    after = merge(buffer, _experience([1], [0], number=2, weights=[0.9]), _rng())
    assert after.weights_n.tolist() == np.float32([0.2, 0.9]).tolist()
    assert after.trust_n.tolist() == np.float32([1, 0.9]).tolist()


def test_remember_grows_with_the_head_and_keeps_older_answers():
    buffer = remember(_grown([3]), np.float32([[1, 2], [3, 4], [np.nan, np.nan]]))
    nothing = [np.nan] * 3
    later = remember(buffer, np.float32([nothing, [5, 6, 7], nothing]))
    expected = np.float32([[1, 2, np.nan], [5, 6, 7], nothing])
    assert np.array_equal(later.logits_nk, expected, equal_nan=True)


@pytest.mark.parametrize("shape", [(3, 1), (2, 2)])
def test_remember_of_too_few_rows_or_columns_is_an_error(shape):
    buffer = remember(_grown([3]), np.zeros((3, 2), np.float32))
    with pytest.raises(ValueError, match="3 rows of at least 2 columns"):
        remember(buffer, np.zeros(shape, np.float32))


@pytest.mark.parametrize("columns", [0, 4])
def test_buffer_through_a_checkpoint_is_the_same_bits(tmp_path, columns):
    buffer = _grown([4, 2])
    buffer = remember(buffer, np.full((6, columns), np.nan, np.float32))
    tensors, _ = checkpoints.load(tmp_path, checkpoints.save(tmp_path, buffer.tensors(), {}))
    for key, value in read_buffer(tensors).tensors().items():
        assert value.tobytes() == buffer.tensors()[key].tobytes()
        assert value.shape == buffer.tensors()[key].shape


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
