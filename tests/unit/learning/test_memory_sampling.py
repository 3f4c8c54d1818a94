import numpy as np
import pytest

from holdfast.learning.memory_sampling import MemorySampler
from holdfast.learning.sampling import BatchSampler

SAMPLINGS = ("systematic", "weighted", "progressive")


def rows_and_trust(seed, whole):
    rng = np.random.default_rng(seed)
    positions = rng.choice(7, 900, p=[0.4, 0.3, 0.15, 0.1, 0.04, 0.01, 0.0])
    trust = rng.integers(0, 3, 900) if whole else rng.random(900)
    return positions, trust.astype(np.float32)


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("balance", [0.0, 0.4, 1.0])
def test_draw_is_that_of_a_sampler_built_anew_after_every_change(sampling, balance):
    positions, trust = rows_and_trust(0, whole=True)
    rng = np.random.default_rng(1)
    settings = {"num_classes": 7, "balance": balance, "sampling": sampling}
    moving = MemorySampler(positions, trust, **settings)
    for share in (0.0, 0.2, 0.5, 0.9):
        held = np.sort(rng.permutation(900)[: rng.integers(20, 300)])
        moving.hold(held)
        anew = BatchSampler(positions[held], trust[held], **settings)
        assert np.allclose(moving.shares_k(share), anew.shares_k(share))
        wanted = held[anew.draw(64, np.random.default_rng(5), share)]
        assert np.array_equal(moving.draw(64, np.random.default_rng(5), share), wanted)


def test_draw_gives_only_rows_that_are_held_and_trusted_whatever_changed_before():
    positions, trust = rows_and_trust(2, whole=False)
    trust[::5] = 0
    rng = np.random.default_rng(1)
    moving = MemorySampler(positions, trust, num_classes=7, balance=1.0)
    for _ in range(200):
        held = rng.permutation(900)[:50]
        moving.hold(held)
        drawn = moving.draw(64, rng, 0.0)
        assert np.isin(drawn, held[trust[held] > 0]).all()
        present = np.unique(positions[held[trust[held] > 0]])
        assert np.array_equal(np.flatnonzero(moving.shares_k(0.0)), present)


def test_draw_without_rows_that_can_be_drawn_is_refused():
    moving = MemorySampler(np.zeros(3, np.int64), np.zeros(3), num_classes=1, balance=1.0)
    moving.hold(np.arange(3))
    with pytest.raises(ValueError, match="no row with a weight above 0"):
        moving.draw(2, np.random.default_rng(0), 0.0)
