"""What every strategy, and some that are joined, keeps to."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from holdfast.data.augment_settings import AugmentationConfig
from holdfast.errors import ConfigError, DivergedError
from holdfast.learning.combinations import STRATEGIES, parts_of
from holdfast.learning.settings import (
    BufferConfig,
    ConsolidationConfig,
    ImbalanceConfig,
    LearningConfig,
    NoiseConfig,
    OptimizerConfig,
)
from holdfast.learning.teaching import ContinualLearner
from holdfast.model.ensemble import restore_model
from holdfast.model.inference import predict
from holdfast.model.spec import NetworkConfig
from holdfast.records import Experience
from holdfast.store import checkpoints
from holdfast.store.snapshots import Snapshots

NAMES = (*STRATEGIES, "der+ewc+lwf", "er_ace+si")
# Small and fast, with layers that count batches as they train.
NETWORK = NetworkConfig(width=8, device="cpu")

every_strategy = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def digits():
    bunch = load_digits()
    return (bunch.images * 15.9).astype(np.uint8)[:, None], bunch.target.astype(np.int64)


def _config(name, **settings):
    way = parts_of(name)[0]
    share = 0.5 if way in ("er_ace", "mir", "agem") else 0.0
    small = {
        "steps": 6,
        "batch_size": 32,
        "replay_share": share,
        "checkpoint_every": 2,
        "consolidation": ConsolidationConfig(samples=8),
    }
    return LearningConfig(strategy=name, **small | settings)


def _learner(name, **settings):
    return ContinualLearner(NETWORK, _config(name, **settings))


def _experience(digits, number, rows, *, labels=None, withdrawn=(), trust=1.0):
    rows = np.asarray(rows)
    return Experience(
        number=number,
        sample_ids_n=rows.astype(np.int64),
        images_nchw=digits[0][rows],
        labels_n=digits[1][rows] if labels is None else np.asarray(labels, np.int64),
        weights_n=np.full(len(rows), trust, np.float32),
        withdrawn_ids=np.array(withdrawn, np.int64),
    )


def _bits(state):
    return {key: value.tobytes() for key, value in state.tensors.items()}, dict(state.header)


def _rows(digits, classes, per_class, start=0):
    found = [np.flatnonzero(digits[1] == k)[start : start + per_class] for k in classes]
    return np.concatenate(found)


def _stream(digits):
    """Four experiences: new classes in each, and old ones that come back with new samples."""
    return [
        _experience(digits, 1, _rows(digits, [3, 8], 10)),
        _experience(digits, 2, _rows(digits, [1], 10)),
        _experience(digits, 4, _rows(digits, [0, 3], 8, start=20)),
        _experience(digits, 5, _rows(digits, [9, 1, 8], 8, start=40)),
    ]


def _remembers(name):
    return STRATEGIES[parts_of(name)[0]].remembers


@every_strategy
def test_learn_of_classes_that_are_new_and_come_back_gives_finite_weights(name, digits):
    state, rng = None, np.random.default_rng(0)
    for experience in _stream(digits):
        state = _learner(name).learn(state, experience, rng)
        finite = {key: value for key, value in state.tensors.items() if "logits_nk" not in key}
        assert all(np.isfinite(value).all() for value in finite.values())
    assert state.header["class_ids"] == [3, 8, 1, 0, 9]
    assert state.header["experience"] == 5
    assert state.header["updates"] == 4
    assert state.header["steps"] == 24
    said = predict(
        restore_model(state.tensors, state.header, NETWORK), digits[0][:5], config=NETWORK
    )
    assert said.pred_probs_nk.shape == (5, 5)
    held = {key: round(share * 70) for key, share in state.header["buffer"]["shares"].items()}
    assert held == ({"0": 8, "1": 18, "3": 18, "8": 18, "9": 8} if _remembers(name) else {})


@every_strategy
def test_learn_twice_gives_the_same_bits_whatever_the_global_state(name, digits):
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002  # what others may do to the global state
        before = torch.get_rng_state()
        rng, state = np.random.default_rng(0), None
        for experience in _stream(digits)[:2]:
            state = _learner(name).learn(state, experience, rng)
        states.append(_bits(state))
        assert torch.equal(before, torch.get_rng_state())
    assert states[0] == states[1]


@every_strategy
def test_learn_through_a_checkpoint_goes_on_bit_for_bit(name, digits, tmp_path):
    learner, (first, second, *_) = _learner(name), _stream(digits)
    state = learner.learn(None, first, np.random.default_rng(0))
    tensors, header = checkpoints.load(
        tmp_path, checkpoints.save(tmp_path, state.tensors, state.header)
    )
    again = type(state)(tensors=tensors, header=header)
    one, two = (learner.learn(s, second, np.random.default_rng(1)) for s in (state, again))
    assert _bits(one) == _bits(two)


class _Killed(BaseException):
    """Stands for SIGKILL: nothing of the learner's gets to run any more."""


@every_strategy
@pytest.mark.parametrize("at", [1, 2, 5])
def test_learn_killed_in_an_update_ends_in_the_same_bits(name, at, digits, tmp_path):
    learner, (first, second, *_) = _learner(name), _stream(digits)
    state = learner.learn(None, first, np.random.default_rng(0))
    undisturbed = learner.learn(state, second, np.random.default_rng(1))
    told = []

    def kill(done, _total):
        told.append(done)
        if len(told) == at:
            raise _Killed

    with pytest.raises(_Killed):
        learner.learn(state, second, np.random.default_rng(1), kill, Snapshots(tmp_path / "s"))
    told.clear()
    resumed = _learner(name).learn(
        state,
        second,
        np.random.default_rng(1),
        lambda done, _: told.append(done),
        Snapshots(tmp_path / "s"),
    )
    assert len(told) == 6 - at // 2 * 2  # a snapshot every two steps
    assert _bits(resumed) == _bits(undisturbed)


@every_strategy
def test_learn_leaves_the_given_state_and_experience_alone(name, digits):
    learner, (first, second, *_) = _learner(name), _stream(digits)
    images = first.images_nchw.copy()
    state = learner.learn(None, first, np.random.default_rng(0))
    before = _bits(state)
    learner.learn(state, second, np.random.default_rng(1))
    assert _bits(state) == before
    assert np.array_equal(first.images_nchw, images)


@every_strategy
def test_learn_of_corrected_and_withdrawn_labels_updates_the_buffer(name, digits):
    learner = _learner(name)
    rows = _rows(digits, [0, 1], 4)
    state = learner.learn(None, _experience(digits, 1, rows), np.random.default_rng(0))
    state = learner.learn(
        state,
        _experience(digits, 2, rows[:1], labels=[1], withdrawn=rows[-2:]),
        np.random.default_rng(1),
    )
    assert state.header["buffer"]["samples"] == (6 if _remembers(name) else 0)
    assert state.header["buffer"]["shares"] == ({"0": 0.5, "1": 0.5} if _remembers(name) else {})


@every_strategy
def test_learn_beyond_capacity_keeps_the_buffer_within_it(name, digits):
    learner = _learner(name, buffer=BufferConfig(capacity=12))
    rows = np.concatenate([_rows(digits, [0], 40), _rows(digits, [1], 3)])
    state = learner.learn(None, _experience(digits, 1, rows), np.random.default_rng(0))
    expected = 43 if name == "joint" else 12 if _remembers(name) else 0
    assert state.header["buffer"]["samples"] == expected


@every_strategy
def test_learn_prints_and_warns_nothing_and_tells_its_progress(name, digits, capfd, recwarn):
    told = []
    _learner(name).learn(
        None,
        _experience(digits, 1, _rows(digits, [0, 1], 4)),
        np.random.default_rng(0),
        lambda done, total: told.append((done, total)),
    )
    assert told == [(32 * step, 192) for step in range(1, 7)]
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


@every_strategy
def test_learn_out_of_order_of_nothing_or_of_another_size_is_an_error(name, digits):
    learner = _learner(name)
    experience = _experience(digits, 3, _rows(digits, [0, 1], 4))
    state = learner.learn(None, experience, np.random.default_rng(0))
    with pytest.raises(ValueError, match="experience 3 came after experience 3"):
        learner.learn(state, experience, np.random.default_rng(0))
    with pytest.raises(ValueError, match="no sample to learn from"):
        learner.learn(None, _experience(digits, 1, np.arange(0)), np.random.default_rng(0))
    other = Experience(
        number=4,
        sample_ids_n=np.arange(2),
        images_nchw=np.zeros((2, 3, 16, 16), np.uint8),
        labels_n=np.arange(2),
        weights_n=np.ones(2, np.float32),
        withdrawn_ids=np.zeros(0, np.int64),
    )
    with pytest.raises(ConfigError, match=r"\(3, 16, 16\)"):
        learner.learn(state, other, np.random.default_rng(0))


SETTINGS = [
    {"imbalance": ImbalanceConfig(loss="balanced_softmax", class_balance=0.0)},
    {"imbalance": ImbalanceConfig(loss="class_weighted", class_balance=0.0)},
    {"imbalance": ImbalanceConfig(loss="effective_number", sampling="weighted")},
    {
        "imbalance": ImbalanceConfig(loss="focal"),
        "augmentation": AugmentationConfig(policy="slight+mixup"),
    },
    {"augmentation": AugmentationConfig(policy="geometric+visual+cutmix", classes="rare_only")},
    {"imbalance": ImbalanceConfig(loss="logit_adjustment", sampling="progressive")},
    {
        "imbalance": ImbalanceConfig(loss="ldam"),
        "augmentation": AugmentationConfig(classes="rare_more"),
    },
    {"imbalance": ImbalanceConfig(two_stage=0.4, logit_scale=True)},
    {"imbalance": ImbalanceConfig(difficulty=0.5, ensemble=2)},
    {"imbalance": ImbalanceConfig(early_stopping=True, prototypes=9)},
    {"noise": NoiseConfig(small_loss=0.3, soft_labels=0.8)},
    {"optimizer": OptimizerConfig(name="sgd", schedule="samples_seen", averaging=0.0)},
    {
        "optimizer": OptimizerConfig(schedule="constant"),
        "augmentation": AugmentationConfig(policy="none"),
    },
    {"replay_share": 0.5, "rehearsal": 0.4, "passes": 3},
    {"replay_share": 0.5, "stream": True, "rehearsal": 0.3},
    {"buffer": BufferConfig(capacity=20, policy="herding")},
    {"buffer": BufferConfig(capacity=20, policy="loss_aware")},
    {"buffer": BufferConfig(megabytes=0.001, policy="reservoir")},
]
every_setting = pytest.mark.parametrize(
    "settings", SETTINGS, ids=lambda settings: "-".join(str(one) for one in settings)
)


@every_setting
def test_learn_with_every_setting_is_resumed_to_the_same_bits(settings, digits, tmp_path):
    learner = _learner("replay", **settings)
    rng, state = np.random.default_rng(0), None
    experiences = _stream(digits)
    for experience in experiences[:2]:
        doubtful = Experience(
            **{name: getattr(experience, name) for name in experience.__slots__}
            | {"weights_n": np.linspace(0.2, 1, len(experience)).astype(np.float32)}
        )
        state = learner.learn(state, doubtful, rng)
    undisturbed = learner.learn(state, experiences[2], np.random.default_rng(1))
    told = []

    def kill(done, _total):
        told.append(done)
        if len(told) == 5:
            raise _Killed

    snapshots = Snapshots(tmp_path / "s")
    with pytest.raises(_Killed):
        learner.learn(state, experiences[2], np.random.default_rng(1), kill, snapshots)
    resumed = learner.learn(state, experiences[2], np.random.default_rng(1), snapshots=snapshots)
    assert _bits(resumed) == _bits(undisturbed)
    finite = {key: value for key, value in resumed.tensors.items() if "logits_nk" not in key}
    assert all(np.isfinite(value).all() for value in finite.values())


class _Read:
    """Images of an experience that are not in memory, and how many were asked for at once."""

    def __init__(self, images):
        self._images, self.shape, self.sizes = images, images.shape, []

    def __len__(self):
        return len(self._images)

    def __getitem__(self, rows):
        self.sizes.append(len(rows))
        return self._images[rows]


def _read(experience):
    return dataclasses.replace(experience, images_nchw=_Read(experience.images_nchw))


@every_strategy
def test_learn_from_images_that_are_read_ends_in_the_same_bits(name, digits):
    _check_read(_learner(name, buffer=BufferConfig(capacity=15)), digits)


@every_setting
def test_learn_with_every_setting_from_images_that_are_read_ends_in_the_same_bits(settings, digits):
    _check_read(_learner("replay", **settings), digits)


def _check_read(learner, digits):
    states = [None, None]
    rngs = [np.random.default_rng(0) for _ in states]
    for experience in _stream(digits)[::2]:
        both = experience, _read(experience)
        states = [learner.learn(*each) for each in zip(states, both, rngs, strict=True)]
        assert _bits(states[0]) == _bits(states[1])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"imbalance": ImbalanceConfig(sampling="progressive")},
        {"imbalance": ImbalanceConfig(two_stage=0.4)},
        {"replay_share": 0.5, "passes": 3},
        {"replay_share": 0.5, "stream": True},
    ],
    ids=lambda settings: "-".join(settings) or "together",
)
def test_learn_foresees_what_it_will_read_so_that_every_batch_is_read_once(settings, digits):
    learner = _learner("replay", buffer=BufferConfig(capacity=8), **settings)
    rng = np.random.default_rng(0)
    state = learner.learn(None, _experience(digits, 1, _rows(digits, [0, 1], 30)), rng)
    experience = _read(_experience(digits, 2, _rows(digits, [2, 3], 80)))
    learned = learner.learn(state, experience, rng)
    sizes, steps = experience.images_nchw.sizes, learned.header["steps"] - state.header["steps"]
    # Beside its batches it reads what the buffer takes in, before or after.
    assert steps <= len(sizes) <= steps + 2
    assert max(sizes) <= 32


def test_learn_reads_an_experience_to_the_end_after_it_was_killed(digits, tmp_path):
    learner = _learner("replay", replay_share=0.5, passes=2)
    experience = _experience(digits, 1, _rows(digits, [0, 1], 40))
    undisturbed = learner.learn(None, experience, np.random.default_rng(0))

    def kill(done, _total):
        if done == 3 * 32:
            raise _Killed

    snapshots = Snapshots(tmp_path / "s")
    with pytest.raises(_Killed):
        learner.learn(None, _read(experience), np.random.default_rng(0), kill, snapshots)
    resumed = learner.learn(None, _read(experience), np.random.default_rng(0), snapshots=snapshots)
    assert _bits(resumed) == _bits(undisturbed)


def test_learn_of_new_classes_with_a_buffer_remembers_the_old_ones(digits):
    old = np.flatnonzero(digits[1] < 2)[100:]
    recall = {}
    for name in ("naive", "replay", "ewc", "der", "gdumb", "joint", "lwf"):
        learner = _learner(name, steps=60)
        rng = np.random.default_rng(0)
        state = learner.learn(None, _experience(digits, 1, _rows(digits, [0, 1], 20)), rng)
        state = learner.learn(state, _experience(digits, 2, _rows(digits, [2, 3], 20)), rng)
        network = restore_model(state.tensors, state.header, NETWORK)
        said = predict(network, digits[0][old], config=NETWORK).guesses_n
        recall[name] = (said == digits[1][old]).mean()
    naive = recall.pop("naive")
    assert min(recall.values()) > max(0.8, naive + 0.2), recall


def test_learn_that_diverges_once_goes_on_at_half_the_rate(digits, monkeypatch):
    _poison(monkeypatch, times=1)
    state = _learner("replay", steps=30).learn(
        None, _experience(digits, 1, _rows(digits, [0, 1], 10)), np.random.default_rng(0)
    )
    assert state.header["learning_rate"] == NETWORK.suited_rate / 2
    assert all(np.isfinite(value).all() for value in state.tensors.values())


def test_learn_that_diverges_twice_is_an_error_that_names_the_rate(digits, monkeypatch):
    _poison(monkeypatch, times=2)
    with pytest.raises(DivergedError, match=r"half the learning rate \(0\.003\).*untouched"):
        _learner("replay", steps=30).learn(
            None, _experience(digits, 1, _rows(digits, [0, 1], 10)), np.random.default_rng(0)
        )


def _poison(monkeypatch, times):
    """Let the weights become infinite, some times over."""
    from holdfast.learning import averaging

    stepped, left = averaging.Averaging.stepped, [times]

    def poisoned(self, update):
        if update.done == 7 and left[0]:
            left[0] -= 1
            with torch.no_grad():
                update.network.head.weight.fill_(torch.inf)
        stepped(self, update)

    monkeypatch.setattr(averaging.Averaging, "stepped", poisoned)


def test_stream_is_seen_once_in_its_order(digits, monkeypatch):
    seen = []
    from holdfast.learning.batches import Batches

    gather = Batches._gather

    def watch(self, rows, num_new, trust_b):
        seen.extend(self._update.material.sample_ids_m[rows[:num_new]].tolist())
        return gather(self, rows, num_new, trust_b)

    monkeypatch.setattr(Batches, "_gather", watch)
    rows = np.sort(_rows(digits, [0, 1], 30))
    _learner("replay", steps=1, batch_size=20, replay_share=0.5, stream=True).learn(
        None, _experience(digits, 1, rows), np.random.default_rng(0)
    )
    assert seen == rows.tolist()


def test_passes_show_every_new_sample_as_often_as_they_say(digits, monkeypatch):
    seen = []
    from holdfast.learning.batches import Batches

    gather = Batches._gather

    def watch(self, rows, num_new, trust_b):
        seen.extend(rows[:num_new].tolist())
        return gather(self, rows, num_new, trust_b)

    monkeypatch.setattr(Batches, "_gather", watch)
    _learner("replay", steps=1, batch_size=16, replay_share=0.5, passes=3, rehearsal=0.3).learn(
        None, _experience(digits, 1, _rows(digits, [0, 1], 10)), np.random.default_rng(0)
    )
    assert np.bincount(seen).tolist() == [3] * 20


def test_header_is_json(digits):
    state = _learner("ewc").learn(
        None, _experience(digits, 1, _rows(digits, [0, 1], 4)), np.random.default_rng(0)
    )
    assert json.loads(json.dumps(state.header)) == state.header
