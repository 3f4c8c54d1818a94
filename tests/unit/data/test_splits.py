import hashlib

import numpy as np
import pytest

from holdfast.data.splits import (
    HOLDOUT,
    MIN_TRAINING_LABELS,
    TRAIN,
    UNDECIDED,
    DataConfig,
    choose_holdout,
)
from holdfast.errors import ConfigError, IngestError


def uids(count):
    return [hashlib.sha256(str(n).encode()).hexdigest() for n in range(count)]


def choose(classes, groups=None, decided=None, fraction=0.1, seed=0, names=None, **known):
    names = names or uids(len(classes))
    return choose_holdout(
        names,
        groups or [None] * len(names),
        np.array(classes, dtype=np.int64),
        np.array(decided if decided is not None else [UNDECIDED] * len(names), dtype=np.int8),
        fraction=fraction,
        seed=seed,
        **known,
    )


def test_holdout_takes_the_fraction_of_every_class():
    classes = np.repeat([0, 1, 2], [500, 100, 20])
    held = choose(classes)
    assert np.bincount(classes[held]).tolist() == [50, 10, 2]


@pytest.mark.parametrize(("labels", "expected"), [(7, 0), (8, 0), (9, 1), (11, 3), (20, 10)])
def test_holdout_leaves_training_its_minimum(labels, expected):
    assert choose([0] * labels, fraction=0.5).sum() == expected


def test_holdout_of_fraction_zero_is_empty():
    assert not choose([0] * 100, fraction=0.0).any()


def test_holdout_never_takes_unlabeled_samples():
    assert not choose([-1] * 100).any()


def test_holdout_of_nothing_is_empty():
    assert choose([]).shape == (0,)


def test_holdout_follows_the_sample_not_the_row():
    classes = np.arange(300) % 3
    order = np.random.default_rng(0).permutation(300)
    names = uids(300)
    there = choose(classes)
    back = choose(classes[order], names=[names[n] for n in order])
    np.testing.assert_array_equal(there[order], back)


def test_holdout_differs_between_seeds():
    assert (choose([0] * 300) != choose([0] * 300, seed=1)).any()


def test_holdout_keeps_groups_whole():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 60, 600)
    classes = rng.choice([-1, 0, 1, 2], 600, p=[0.2, 0.5, 0.25, 0.05])
    held = choose(classes, groups=[f"slide-{g}" for g in group])
    sides = [set(held[group == g].tolist()) for g in range(60)]
    assert all(len(side) == 1 for side in sides)
    counts = np.bincount(classes[held & (classes >= 0)], minlength=3)
    totals = np.bincount(classes[classes >= 0], minlength=3)
    assert (counts > 0).all()
    assert (counts / totals < 0.25).all()
    assert (totals - counts >= MIN_TRAINING_LABELS).all()


def test_holdout_of_one_large_group_stays_empty():
    assert not choose([0] * 100, groups=["a"] * 100).any()


def test_holdout_settled_rows_stay_and_settle_their_group():
    decided = [HOLDOUT, TRAIN] + [UNDECIDED] * 48
    groups = ["a", "b", "a", "b"] + [None] * 46
    held = choose([0] * 50, groups, decided)
    assert held[[0, 2]].all()
    assert not held[[1, 3]].any()
    assert held.sum() == 5


def test_holdout_unlabeled_member_of_a_held_group_is_held():
    assert choose([0, -1], groups=["a", "a"], decided=[HOLDOUT, UNDECIDED]).all()


def test_holdout_group_on_both_sides_raises():
    with pytest.raises(IngestError, match=r"group 'a' would be in both train and holdout \(1 such"):
        choose([0, 0], groups=["a", "a"], decided=[TRAIN, HOLDOUT])


def test_holdout_counts_what_either_side_has_already():
    known = {"known_train_k": np.array([90]), "known_holdout_k": np.array([10])}
    assert choose([0] * 100, **known).sum() == 10
    assert choose([0] * 100, known_train_k=np.array([0]), known_holdout_k=np.array([99])).sum() == 0
    assert choose([0] * 10, known_train_k=np.array([100])).sum() == 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_size": 4}, "data.image_size must be 8 to 1024"),
        ({"channels": 2}, "data.channels must be 3"),
        ({"holdout_fraction": 0.6}, "data.holdout_fraction must be in"),
        ({"holdout_fraction": float("nan")}, "data.holdout_fraction must be in"),
        ({"classes": ("a", "a")}, "names a class twice"),
        ({"classes": ("a", " ")}, "printable names"),
    ],
)
def test_data_config_out_of_range_says_what_is_allowed(settings, message):
    with pytest.raises(ConfigError, match=message):
        DataConfig(**settings)
