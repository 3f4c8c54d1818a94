"""What every strategy keeps to where synthetic images lie beside samples."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import load_digits

from holdfast.learning.combinations import STRATEGIES, parts_of
from holdfast.learning.settings import (
    BufferConfig,
    ConsolidationConfig,
    ImbalanceConfig,
    LearningConfig,
    NoiseConfig,
)
from holdfast.learning.teaching import ContinualLearner
from holdfast.model.spec import NetworkConfig
from holdfast.records import Experience, SyntheticMaterial
from holdfast.store.snapshots import Snapshots

NAMES = (*STRATEGIES, "der+ewc+lwf", "er_ace+si")
NETWORK = NetworkConfig(width=8, device="cpu")
SETTINGS = [
    {"imbalance": ImbalanceConfig(early_stopping=True, prototypes=9)},
    {"imbalance": ImbalanceConfig(difficulty=0.5, sampling="progressive")},
    {"noise": NoiseConfig(small_loss=0.3, soft_labels=0.8)},
    {"replay_share": 0.5, "rehearsal": 0.4, "passes": 2},
    {"buffer": BufferConfig(capacity=20, policy="herding")},
    {"buffer": BufferConfig(capacity=20, policy="loss_aware")},
]


class _Killed(Exception):  # noqa: N818  # nothing went wrong
    pass


class _Read:
    """Images of an experience that are not in memory."""

    def __init__(self, images):
        self._images, self.shape = images, images.shape

    def __len__(self):
        return len(self._images)

    def __getitem__(self, rows):
        return self._images[rows]


@pytest.fixture(scope="module")
def digits():
    bunch = load_digits()
    return (bunch.images * 15.9).astype(np.uint8)[:, None], bunch.target.astype(np.int64)


def _learner(name, **settings):
    share = 0.5 if parts_of(name)[0] in ("er_ace", "mir", "agem") else 0.0
    small = {"steps": 6, "batch_size": 32, "replay_share": share, "checkpoint_every": 2}
    consolidation = ConsolidationConfig(samples=8)
    return ContinualLearner(
        NETWORK,
        LearningConfig(strategy=name, consolidation=consolidation, **small | settings),
    )


def _experiences(digits):
    """Two experiences; in the second synthetic images of an old and of a new class."""
    images, labels = digits

    def one(number, classes, start, synthetic=None):
        rows = np.concatenate([np.flatnonzero(labels == k)[start : start + 12] for k in classes])
        return Experience(
            number=number,
            sample_ids_n=rows,
            images_nchw=images[rows],
            labels_n=labels[rows],
            weights_n=np.ones(len(rows), np.float32),
            withdrawn_ids=np.zeros(0, np.int64),
            synthetic=synthetic,
        )

    rng = np.random.default_rng(0)
    drawn = SyntheticMaterial(
        images_mchw=rng.integers(0, 256, (9, 1, 8, 8), np.uint8),
        labels_m=np.array([3] * 4 + [1] * 5),
        share=0.4,
    )
    return one(1, [3, 8], 0), one(2, [3, 1], 20, drawn)


def _bits(state):
    return {key: value.tobytes() for key, value in state.tensors.items()}, dict(state.header)


def _check(learner, digits, tmp_path):
    first, second = _experiences(digits)
    state = learner.learn(None, first, np.random.default_rng(0))

    def learn(experience, *more):
        return learner.learn(state, experience, np.random.default_rng(1), *more)

    learned = learn(second)
    without = learn(dataclasses.replace(second, synthetic=None))
    assert _bits(learned)[0] != _bits(without)[0]
    # The same from images that are read, and through a crash.
    read = learn(dataclasses.replace(second, images_nchw=_Read(second.images_nchw)))
    assert _bits(read) == _bits(learned)
    told = []

    def kill(done, _total):
        told.append(done)
        if len(told) == 5:
            raise _Killed

    snapshots = Snapshots(tmp_path / "s")
    with pytest.raises(_Killed):
        learn(second, kill, snapshots)
    assert _bits(learn(second, None, snapshots)) == _bits(learned)
    # Exemplars are samples, and as many of them as without.
    kept = set(learned.tensors["buffer.sample_ids_n"].tolist())
    assert kept <= set(first.sample_ids_n.tolist()) | set(second.sample_ids_n.tolist())
    assert len(kept) == len(without.tensors["buffer.sample_ids_n"])


@pytest.mark.parametrize("name", NAMES)
def test_learn_with_synthetic_images_never_keeps_one(name, digits, tmp_path):
    _check(_learner(name), digits, tmp_path)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(map(str, settings)))
def test_learn_with_every_setting_and_synthetic_images_never_keeps_one(settings, digits, tmp_path):
    _check(_learner("replay", **settings), digits, tmp_path)


def test_resuming_with_other_synthetic_images_starts_anew(digits, tmp_path):
    learner, (first, _) = _learner("replay"), _experiences(digits)
    drawn = _experiences(digits)[1].synthetic
    with_some = dataclasses.replace(
        first, synthetic=dataclasses.replace(drawn, labels_m=np.array([3] * 4 + [8] * 5))
    )
    others = dataclasses.replace(
        with_some,
        synthetic=dataclasses.replace(with_some.synthetic, images_mchw=255 - drawn.images_mchw),
    )

    def kill(done, total):
        if done * 2 > total:
            raise _Killed

    snapshots = Snapshots(tmp_path / "s")
    with pytest.raises(_Killed):
        learner.learn(None, with_some, np.random.default_rng(0), kill, snapshots)
    resumed = learner.learn(None, others, np.random.default_rng(0), snapshots=snapshots)
    assert _bits(resumed) == _bits(learner.learn(None, others, np.random.default_rng(0)))
