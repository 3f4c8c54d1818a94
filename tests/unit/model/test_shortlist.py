import numpy as np
import pytest

from holdfast.model.shortlist import Shortlist, pairs_within


def _points(seed: int, num: int, dims: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num, dims)).astype(np.float32)


QUERIES, BASE = _points(0, 9), _points(1, 40)
SQUARED = ((QUERIES[:, None] - BASE) ** 2).sum(axis=2)


def test_shortlist_offered_in_any_pieces_keeps_the_nearest_of_all():
    found = Shortlist(9, 5)
    for columns in np.array_split(np.random.default_rng(2).permutation(40), 7):
        found.keep(np.arange(9), SQUARED[:, columns], np.tile(columns, (9, 1)))
    distances, rows = found.settled(QUERIES, BASE)
    np.testing.assert_array_equal(rows, np.argsort(SQUARED, axis=1)[:, :5])
    np.testing.assert_allclose(distances, np.sqrt(np.sort(SQUARED, axis=1)[:, :5]), rtol=1e-5)


def test_shortlist_pairs_say_the_same_as_arrays():
    places, others = np.divmod(np.random.default_rng(2).permutation(9 * 40), 40)
    found = Shortlist(9, 5)
    for part in np.array_split(np.arange(9 * 40), 4):
        found.keep_pairs(places[part], SQUARED[places[part], others[part]], others[part])
    np.testing.assert_array_equal(
        found.settled(QUERIES, BASE)[1], np.argsort(SQUARED, axis=1)[:, :5]
    )


def test_shortlist_with_room_has_infinite_distances():
    found = Shortlist(9, 5)
    assert np.isinf(found.farthest(np.arange(9))).all()
    found.keep_pairs(np.array([3]), np.array([2.0], np.float32), np.array([7]))
    distances, rows = found.settled(QUERIES, BASE)
    assert rows[3].tolist() == [7, -1, -1, -1, -1]
    assert np.isinf(distances).sum() == 9 * 5 - 1


def test_shortlist_no_pairs_change_nothing():
    found = Shortlist(9, 5)
    none = np.empty(0, np.int64)
    found.keep_pairs(none, none.astype(np.float32), none)
    assert (found.settled(QUERIES, BASE)[1] == -1).all()


@pytest.mark.parametrize("limit", [0.0, 3.0, np.inf])
def test_pairs_within_are_those_nearer_than_the_limit(limit):
    places, others, squared = pairs_within(QUERIES, BASE, np.full(9, limit, np.float32))
    expected = np.nonzero(limit > SQUARED)
    np.testing.assert_array_equal(places, expected[0])
    np.testing.assert_array_equal(others, expected[1])
    np.testing.assert_allclose(squared, SQUARED[expected], rtol=1e-4, atol=1e-4)
