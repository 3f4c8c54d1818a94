"""Images that are read while others train."""

import threading
import tracemalloc

import numpy as np
import pytest

from holdfast.learning.streaming import JoinedImages, ReadAhead


class Shelf:
    """Images by row, drawn when they are asked for, and what was asked for."""

    def __init__(self, num, side=8):
        self.shape, self.reads = (num, 3, side, side), []

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        self.reads.append(rows.tolist())
        return np.broadcast_to(rows[:, None, None, None], (len(rows), *self.shape[1:])).astype(
            np.uint8
        )


def _joined(num=40, side=8):
    """Rows that hold their own number: every fourth is an exemplar, the others are read."""
    rows = np.arange(num)
    old, new = rows[rows % 4 == 0], rows[rows % 4 > 0]
    # More exemplars than are used, out of order; what the experience calls row 0 is `new[0]`.
    exemplars = np.zeros((len(old) + 2, 3, side, side), np.uint8)
    exemplars[1:-1] = old[::-1, None, None, None]

    class Renamed(Shelf):
        def __getitem__(self, wanted):
            return super().__getitem__(new[wanted])

    shelf = Renamed(len(new), side)
    return shelf, JoinedImages(exemplars, np.arange(len(old), 0, -1), old, shelf, new)


@pytest.fixture
def ahead():
    shelf, joined = _joined()
    images = ReadAhead(joined)
    yield shelf, images
    images.close()


def _values(images):
    assert (images == images[:, :1, :1, :1]).all()
    return images[:, 0, 0, 0].tolist()


def test_joined_images_are_those_of_their_rows_wherever_they_lie():
    shelf, joined = _joined()
    assert joined.shape == (40, 3, 8, 8)
    assert _values(joined[np.array([5, 4, 8, 5, 39])]) == [5, 4, 8, 5, 39]
    assert _values(joined[:]) == list(range(40))
    shelf.reads.clear()
    assert _values(joined[np.array([36, 0])]) == [36, 0]
    assert joined[np.zeros(0, np.int64)].shape == (0, 3, 8, 8)
    assert shelf.reads == []


def test_read_ahead_of_what_was_not_expected_reads_each_image_once(ahead):
    shelf, images = ahead
    assert _values(images[np.array([7, 4, 7, 1])]) == [7, 4, 7, 1]
    assert shelf.reads == [[1, 7]]
    assert _values(images[np.array([1])]) == [1]
    assert shelf.reads == [[1, 7]]


def test_read_ahead_of_what_was_expected_is_not_read_again(ahead):
    shelf, images = ahead
    first, second, third = np.array([1, 8, 2]), np.array([3, 3, 5]), np.array([6, 2])
    images.expect([first, second])
    assert _values(images[first]) == [1, 8, 2]
    images.expect([second, third])
    assert _values(images[second]) == [3, 3, 5]
    assert _values(images[third]) == [6, 2]
    assert shelf.reads == [[1, 2], [3, 5], [2, 6]]


def test_read_ahead_that_guessed_wrong_gives_what_is_asked_for(ahead):
    shelf, images = ahead
    images.expect([np.array([1, 2])])
    assert _values(images[np.array([2, 3])]) == [2, 3]
    assert shelf.reads[-1] == [2, 3]


def test_read_ahead_keeps_what_it_is_told_to_hold_and_lets_go_of_the_rest(ahead):
    shelf, images = ahead
    images.hold(np.array([2, 0, 3]))
    shelf.reads.clear()
    images.expect([np.array([3, 2, 4])])
    assert _values(images[np.array([3, 2, 4])]) == [3, 2, 4]
    assert shelf.reads == []
    images.hold(np.array([3, 5]))
    assert shelf.reads == [[5]]
    assert _values(images[np.array([2, 3, 5])]) == [2, 3, 5]
    assert shelf.reads == [[5], [2]]


def test_read_ahead_holds_rows_of_a_batch_without_reading_them_again(ahead):
    shelf, images = ahead
    assert _values(images[np.array([1, 2, 3])]) == [1, 2, 3]
    images.hold(np.array([3, 1]))
    images.expect([])
    assert _values(images[np.array([1, 3])]) == [1, 3]
    assert shelf.reads == [[1, 2, 3]]


def test_read_ahead_has_a_few_batches_in_memory_at_once():
    _, joined = _joined(800, side=64)
    images, size = ReadAhead(joined), 16
    batches = [np.arange(start, start + size) for start in range(0, 800, size)]
    tracemalloc.start()
    for place in range(len(batches)):
        images.expect(batches[place : place + 3])
        images[batches[place]]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    images.close()
    # Three batches ahead, one that is handed out, copies on the way; 50 batches in all.
    assert peak < 8 * size * 3 * 64 * 64


def test_read_ahead_passes_on_what_went_wrong_and_its_thread_ends():
    class Broken(Shelf):
        def __getitem__(self, rows):
            raise OSError("the disk is gone")

    rows = np.arange(4)
    joined = JoinedImages(np.zeros((0, 3, 8, 8), np.uint8), rows[:0], rows[:0], Broken(4), rows)
    images = ReadAhead(joined)
    images.expect([rows])
    with pytest.raises(OSError, match="the disk is gone"):
        images[rows]
    images.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("read-ahead")]
