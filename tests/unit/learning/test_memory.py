"""What the buffer holds while samples stream past."""

import numpy as np
import pytest

from holdfast.learning.exemplars import drawn, priorities
from holdfast.learning.memory import MemoryStream


def _arrays(counts, seed=0, weights=(1.0,)):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    trust = rng.choice(np.float32(weights), size=len(labels))
    return labels, trust, rng.random(len(labels))


def _at_once(arrays, rows, capacity):
    labels, trust, keys = (array[rows] for array in arrays)
    if len(rows) <= capacity:
        return sorted(rows.tolist())
    return rows[drawn(labels, trust, priorities(keys, trust), capacity)].tolist()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("weights", [(1.0,), (0.1, 0.5, 1.0), (0.0, 0.4, 1.0)])
def test_memory_stream_holds_at_every_step_what_shrinking_at_once_keeps(seed, weights):
    rng = np.random.default_rng(seed)
    arrays = _arrays(rng.integers(0, 60, size=5), seed, weights)
    capacity = int(rng.integers(1, 40))
    num = len(arrays[0])
    stream = MemoryStream(*arrays, capacity, np.arange(num // 5))
    for start in range(num // 5, num, 7):
        stream.offer(np.arange(start, min(start + 7, num)))
        seen = np.arange(min(start + 7, num))
        assert sorted(stream.rows.tolist()) == _at_once(arrays, seen, capacity)


@pytest.mark.parametrize("seed", range(3))
def test_memory_stream_of_classes_one_after_another_hands_slots_on(seed):
    arrays = _arrays([400, 40, 4, 4000], seed)
    stream = MemoryStream(*arrays, 100, np.zeros(0, np.int64))
    for k in range(4):
        rows = np.flatnonzero(arrays[0] == k)
        for part in np.array_split(rows, 5):
            stream.offer(part)
        assert len(stream.rows) == min(100, (arrays[0] <= k).sum())
    assert np.bincount(arrays[0][stream.rows]).tolist() == [32, 32, 4, 32]


def test_memory_stream_with_one_label_for_all_is_a_plain_reservoir():
    hits = np.zeros(10)
    for seed in range(400):
        keys = np.random.default_rng(seed).random(10)
        labels, trust = np.zeros(10, np.int64), np.ones(10, np.float32)
        stream = MemoryStream(labels, trust, keys, 5, np.zeros(0, np.int64))
        for row in range(10):
            stream.offer(np.array([row]))
        hits[stream.rows] += 1
    # Binomial(400, 1/2): five standard deviations are 50.
    assert np.abs(hits - 200).max() < 50


def test_memory_stream_offered_the_same_rows_again_does_not_change():
    arrays = _arrays([30, 20, 10], weights=(0.0, 0.5, 1.0))
    stream = MemoryStream(*arrays, 12, np.arange(20))
    stream.offer(np.arange(20, 60))
    before = stream.rows
    assert stream.offer(np.arange(60)) == 0
    assert np.array_equal(stream.rows, before)


def test_memory_stream_after_restore_goes_on_bit_for_bit():
    arrays = _arrays([200, 100, 20], weights=(0.0, 0.5, 1.0))
    one = MemoryStream(*arrays, 30, np.arange(10))
    other = MemoryStream(*arrays, 30, np.arange(10))
    for start in range(10, 320, 10):
        rows = np.arange(start, start + 10)
        if start == 150:
            kept = {key: value.copy() for key, value in one.tensors().items()}
            other.restore(kept)
        one.offer(rows)
        if start >= 150:
            other.offer(rows)
            assert np.array_equal(one.rows, other.rows)


def test_memory_stream_beyond_capacity_at_the_start_is_cut_to_it():
    arrays = _arrays([30, 20])
    stream = MemoryStream(*arrays, 10, np.arange(50))
    assert sorted(stream.rows.tolist()) == _at_once(arrays, np.arange(50), 10)


def test_memory_stream_without_capacity_holds_nothing():
    stream = MemoryStream(*_arrays([30, 20]), 0, np.arange(5))
    assert stream.offer(np.arange(50)) == 0
    assert len(stream.rows) == 0


def test_memory_stream_tells_how_many_entered():
    arrays = _arrays([30])
    stream = MemoryStream(*arrays, 10, np.zeros(0, np.int64))
    assert stream.offer(np.arange(10)) == 10
    lowest_first = 10 + np.argsort(arrays[2][10:])
    entered = stream.offer(lowest_first[:1])
    assert entered == (arrays[2][lowest_first[0]] > arrays[2][:10].min())


def test_memory_stream_of_a_negative_capacity_is_an_error():
    with pytest.raises(ValueError, match="0 or more, not -1"):
        MemoryStream(*_arrays([3]), -1, np.zeros(0, np.int64))
