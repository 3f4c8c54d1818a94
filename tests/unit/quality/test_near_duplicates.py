import numpy as np
import pytest

from holdfast.data.appearance import DIMENSIONS, appearances
from holdfast.data.thumbnails import SIDE
from holdfast.quality.joining import CHAIN, join
from holdfast.quality.near_duplicates import CLOSE, STRICT, near_pairs


def blobs(seed: int, moved: float = 0.0) -> np.ndarray:
    """A smooth picture of SIDE × SIDE pixels, shifted to the right by a part of a pixel."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    picture = np.full((SIDE, SIDE), 90.0)
    for _ in range(5):
        at_x, at_y, size, height = rng.uniform([0, 0, 2, -70], [SIDE, SIDE, 4, 70])
        picture += height * np.exp(-((x - at_x - moved) ** 2 + (y - at_y) ** 2) / (2 * size**2))
    return picture.clip(0, 255)


def look(*pictures: np.ndarray) -> np.ndarray:
    return appearances([picture.astype(np.uint8).tobytes() for picture in pictures])


def test_appearance_does_not_change_with_light():
    first, brighter = look(blobs(0), blobs(0) * 1.2 + 10).astype(np.float64)
    other = look(blobs(1))[0].astype(np.float64)
    assert np.linalg.norm(first - brighter) < 0.05 < np.linalg.norm(first - other)


def test_appearance_of_flat_or_unread_images_is_zero():
    flat = look(np.full((SIDE, SIDE), 100))[0]
    assert not flat.any()
    assert not appearances([b""]).any()
    assert appearances([]).shape == (0, DIMENSIONS)


def test_near_pairs_finds_moved_copies_alone():
    pictures = [blobs(seed) for seed in range(40)] + [blobs(7, moved=0.7) * 0.9 + 5]
    pairs, closeness = near_pairs(look(*pictures), np.arange(41))
    assert pairs.tolist() == [[7, 40]]
    assert 0 < closeness[0] < STRICT


def test_near_pairs_of_some_are_those_of_all_with_them():
    pictures = [blobs(seed) for seed in range(40)]
    pictures += [blobs(seed, moved=0.5) for seed in (3, 9, 21)]
    looks = look(*pictures)
    everything, closeness = near_pairs(looks, np.arange(43))
    some, of_some = near_pairs(looks, np.array([41]))
    assert everything.tolist() == [[3, 40], [9, 41], [21, 42]]
    assert some.tolist() == [[9, 41]]
    assert of_some == pytest.approx(closeness[1:2])


def test_near_pairs_of_pictures_in_one_place_finds_the_heap():
    pictures = [blobs(seed) for seed in range(30)] + [blobs(0)] * 14
    pairs, closeness = near_pairs(look(*pictures), np.arange(44))
    assert np.unique(pairs).tolist() == [0, *range(30, 44)]
    assert closeness.max() < 0.01


@pytest.mark.parametrize("num", [0, 1])
def test_near_pairs_of_next_to_nothing_finds_none(num):
    pairs, closeness = near_pairs(look(*[blobs(0)] * num), np.arange(num))
    assert pairs.shape == (0, 2)
    assert closeness.shape == (0,)


def chain(length: int) -> np.ndarray:
    return np.stack([np.arange(length - 1), np.arange(1, length)], axis=1)


def test_join_keeps_different_sides_and_names_apart():
    pairs = np.array([[0, 1], [1, 2], [2, 3], [3, 4]])
    closeness = np.array([0.01, 0.02, 0.03, 0.04])
    sides = np.array([0, -1, 1, -1, -1], np.int8)
    found = join(pairs, closeness, [None, None, "a", None, "b"], sides, 5)
    assert found.group_n.tolist() == [0, 0, 2, 2, 4]
    assert found.num_across == 1


def test_join_takes_the_closest_first_whatever_the_order():
    pairs, closeness = np.array([[0, 1], [1, 2]]), np.array([0.1, 0.05])
    sides = np.array([0, -1, 1], np.int8)
    for order in ([0, 1], [1, 0]):
        found = join(pairs[order], closeness[order], [None] * 3, sides, 3)
        assert found.group_n.tolist() == [0, 1, 1]


def test_join_ends_a_chain_of_likenesses():
    length = 4 * CHAIN
    sides = np.full(length, -1, np.int8)
    loose = np.linspace(STRICT, CLOSE, length - 1)
    found = join(chain(length), loose, [None] * length, sides, length)
    assert np.bincount(found.group_n).max() == CHAIN


def test_join_lets_no_group_take_too_large_a_share():
    length = 4 * CHAIN
    sides, close = np.full(length, -1, np.int8), np.zeros(length - 1)
    few = join(chain(length), close, [None] * length, sides, length)
    assert np.bincount(few.group_n).max() == CHAIN
    many = join(chain(length), close, [None] * length, sides, 100 * length)
    assert np.bincount(many.group_n).max() == length
