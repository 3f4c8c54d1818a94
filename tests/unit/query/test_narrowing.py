import numpy as np
import pytest

from holdfast.model.neighbors import NeighborIndex
from holdfast.query import narrowing
from holdfast.query.narrowing import narrow

NUM = 2000
# A cluster around every whole number; the pool's ids are not its rows.
POINTS = (np.arange(NUM) // 100 + np.linspace(0, 0.3, NUM))[:, None].astype(np.float32)
IDS = 3 * np.arange(NUM) + 1


@pytest.fixture
def index():
    made = NeighborIndex(POINTS, NUM)
    made.add(IDS, POINTS)
    return made


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(narrowing, "FEWEST", 60)
    monkeypatch.setattr(narrowing, "NEIGHBORS", 40)


def _narrow(index, labeled=(), rarity=(), *, pool=IDS, limit=400, seed=0):
    embeddings = np.array(labeled, np.float32).reshape(-1, 1)
    rng = np.random.default_rng(seed)
    return narrow(index, pool, embeddings, np.array(rarity, np.float64), limit=limit, rng=rng)


def _cluster(ids):
    return POINTS[(ids - 1) // 3, 0].astype(int)


def test_narrow_returns_pool_samples_once_and_ascending(index):
    pool = IDS[::2]
    found = _narrow(index, [3.1, 7.1], [1.0, 1.0], pool=pool)
    assert np.isin(found, pool).all()
    assert (np.diff(found) > 0).all()
    assert len(found) == 2 * 2 * 40


def test_narrow_half_lies_around_labels_and_half_anywhere(index):
    found = _narrow(index, [3.1, 7.1], [1.0, 1.0])
    near = np.isin(_cluster(found), [3, 7]).mean()
    # Random ones fall there as well now and then.
    assert 0.5 <= near < 0.65
    assert len(np.unique(_cluster(found))) > 15


def test_narrow_rare_label_has_more_turns(index):
    found = _narrow(index, [3.1, 7.1], [1.0, 0.25], limit=80)
    counts = np.bincount(_cluster(found), minlength=20)
    assert counts[3] > 2 * counts[7]


def test_narrow_asks_the_rarest_labels_where_there_are_many(index, monkeypatch):
    monkeypatch.setattr(narrowing, "MOST_ASKED", 5)
    labeled, rarity = [3.1] * 50 + [7.1] * 5, [0.1] * 50 + [1.0] * 5
    counts = np.bincount(_cluster(_narrow(index, labeled, rarity)), minlength=20)
    assert counts[7] > 40
    assert counts[3] < 40


def test_narrow_without_labels_draws_at_random(index):
    found = _narrow(index)
    assert len(found) == 60
    assert not np.array_equal(found, _narrow(index, seed=1))


def test_narrow_never_returns_more_than_the_limit_or_the_pool(index):
    assert len(_narrow(index, [3.1] * 30, [1.0] * 30, limit=100)) == 100
    small = IDS[:25]
    np.testing.assert_array_equal(_narrow(index, [3.1], [1.0], pool=small), small)
    assert len(_narrow(index, [3.1], [1.0], pool=IDS[:0])) == 0


def test_narrow_passes_over_samples_that_have_left_the_pool(index):
    pool = IDS[POINTS[:, 0].astype(int) != 3]
    found = _narrow(index, [3.1], [1.0], pool=pool)
    assert np.isin(found, pool).all()
    assert len(found) == 80
