"""What every learner in the catalog keeps to."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from holdfast.catalog import CATALOG, load
from holdfast.errors import ConfigError
from holdfast.learning.learner import LearningConfig
from holdfast.model.inference import predict
from holdfast.model.network import restore_network
from holdfast.model.spec import NetworkConfig
from holdfast.records import Experience
from holdfast.store import checkpoints

pytestmark = pytest.mark.parametrize("name", sorted(CATALOG["learning.strategy"]))

NETWORK = NetworkConfig(width=8, device="cpu")


@pytest.fixture(scope="module")
def digits():
    bunch = load_digits()
    return (bunch.images * 15.9).astype(np.uint8)[:, None], bunch.target.astype(np.int64)


def _learner(name, **settings):
    config = LearningConfig(strategy=name, **{"steps": 6, "batch_size": 32} | settings)
    return load("learning.strategy", name)(NETWORK, config)


def _experience(digits, number, rows, *, labels=None, withdrawn=()):
    rows = np.asarray(rows)
    return Experience(
        number=number,
        sample_ids_n=rows.astype(np.int64),
        images_nchw=digits[0][rows],
        labels_n=digits[1][rows] if labels is None else np.asarray(labels, np.int64),
        weights_n=np.ones(len(rows), np.float32),
        withdrawn_ids=np.array(withdrawn, np.int64),
    )


def _bits(state):
    return {key: value.tobytes() for key, value in state.tensors.items()}, dict(state.header)


def _rows(digits, classes, per_class):
    return np.concatenate([np.flatnonzero(digits[1] == k)[:per_class] for k in classes])


def test_learn_twice_gives_the_same_bits_whatever_the_global_state(name, digits):
    first = _experience(digits, 1, _rows(digits, [0, 1], 10))
    second = _experience(digits, 2, _rows(digits, [2], 5))
    states = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002  # what others may do to the global state
        before = torch.get_rng_state()
        rng = np.random.default_rng(0)
        state = _learner(name).learn(None, first, rng)
        states.append(_bits(_learner(name).learn(state, second, rng)))
        assert torch.equal(before, torch.get_rng_state())
    assert states[0] == states[1]


def test_learn_through_a_checkpoint_goes_on_bit_for_bit(name, digits, tmp_path):
    learner = _learner(name)
    state = learner.learn(
        None, _experience(digits, 1, _rows(digits, [0, 1], 10)), np.random.default_rng(0)
    )
    tensors, header = checkpoints.load(
        tmp_path, checkpoints.save(tmp_path, state.tensors, state.header)
    )
    again = type(state)(tensors=tensors, header=header)
    second = _experience(digits, 2, _rows(digits, [2], 5))
    one, two = (learner.learn(s, second, np.random.default_rng(1)) for s in (state, again))
    assert _bits(one) == _bits(two)


def test_learn_leaves_the_given_state_and_experience_alone(name, digits):
    learner = _learner(name)
    first = _experience(digits, 1, _rows(digits, [0, 1], 10))
    images = first.images_nchw.copy()
    state = learner.learn(None, first, np.random.default_rng(0))
    before = _bits(state)
    learner.learn(state, _experience(digits, 2, _rows(digits, [3], 5)), np.random.default_rng(1))
    assert _bits(state) == before
    assert np.array_equal(first.images_nchw, images)


def test_learn_of_new_classes_appends_them_and_counts_on(name, digits):
    learner = _learner(name)
    state = learner.learn(
        None, _experience(digits, 1, _rows(digits, [5, 8], 10)), np.random.default_rng(0)
    )
    assert state.header["class_ids"] == [5, 8]
    state = learner.learn(
        state, _experience(digits, 4, _rows(digits, [1, 9], 3)), np.random.default_rng(1)
    )
    assert state.header["class_ids"] == [5, 8, 1, 9]
    assert state.header["experience"] == 4
    assert state.header["updates"] == 2
    assert state.header["steps"] == 12
    assert state.header["buffer"] == {"1": 3, "5": 10, "8": 10, "9": 3}


def test_learn_of_corrected_and_withdrawn_labels_updates_the_buffer(name, digits):
    learner = _learner(name)
    rows = _rows(digits, [0, 1], 4)
    state = learner.learn(None, _experience(digits, 1, rows), np.random.default_rng(0))
    state = learner.learn(
        state,
        _experience(digits, 2, rows[:1], labels=[1], withdrawn=rows[-2:]),
        np.random.default_rng(1),
    )
    assert state.header["buffer"] == {"0": 3, "1": 3}


def test_learn_beyond_capacity_keeps_the_buffer_within_it(name, digits):
    learner = _learner(name, buffer_capacity=12)
    rows = np.concatenate([_rows(digits, [0], 40), _rows(digits, [1], 3)])
    state = learner.learn(None, _experience(digits, 1, rows), np.random.default_rng(0))
    assert state.header["buffer"] == {"0": 9, "1": 3}


def test_learn_tells_its_progress_up_to_the_last_step(name, digits):
    told = []
    _learner(name).learn(
        None,
        _experience(digits, 1, _rows(digits, [0, 1], 4)),
        np.random.default_rng(0),
        lambda done, total: told.append((done, total)),
    )
    assert told == [(step, 6) for step in range(1, 7)]


def test_learn_prints_and_warns_nothing(name, digits, capfd, recwarn):
    _learner(name).learn(
        None, _experience(digits, 1, _rows(digits, [0, 1], 4)), np.random.default_rng(0)
    )
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def test_learn_of_an_experience_out_of_order_is_an_error(name, digits):
    learner = _learner(name)
    experience = _experience(digits, 3, _rows(digits, [0, 1], 4))
    state = learner.learn(None, experience, np.random.default_rng(0))
    with pytest.raises(ValueError, match="experience 3 came after experience 3"):
        learner.learn(state, experience, np.random.default_rng(0))


def test_learn_of_nothing_at_all_is_an_error(name, digits):
    with pytest.raises(ValueError, match="no sample to learn from"):
        _learner(name).learn(None, _experience(digits, 1, np.arange(0)), np.random.default_rng(0))


def test_learn_of_images_of_another_size_is_a_config_error(name, digits):
    learner = _learner(name)
    state = learner.learn(
        None, _experience(digits, 1, _rows(digits, [0, 1], 4)), np.random.default_rng(0)
    )
    larger = np.zeros((2, 3, 16, 16), np.uint8)
    other = Experience(
        number=2,
        sample_ids_n=np.arange(2),
        images_nchw=larger,
        labels_n=np.arange(2),
        weights_n=np.ones(2, np.float32),
        withdrawn_ids=np.zeros(0, np.int64),
    )
    with pytest.raises(ConfigError, match=r"\(3, 16, 16\)"):
        learner.learn(state, other, np.random.default_rng(0))


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "balanced_softmax", "class_balance": 0.0},
        {"mixup": 0.3},
        {"ewc_strength": 0.0, "averaging": 0.0},
        {"buffer_capacity": 0},
    ],
)
def test_learn_with_other_settings_gives_finite_weights(name, digits, settings):
    learner = _learner(name, **settings)
    state = learner.learn(
        None, _experience(digits, 1, _rows(digits, [0, 1], 10)), np.random.default_rng(0)
    )
    state = learner.learn(
        state, _experience(digits, 2, _rows(digits, [2], 5)), np.random.default_rng(1)
    )
    assert all(np.isfinite(value).all() for value in state.tensors.values())


def test_learn_of_new_classes_with_a_buffer_remembers_the_old_ones(name, digits):
    old = np.flatnonzero(digits[1] < 2)[100:]
    recall = {}
    for capacity in (0, 100):
        learner = _learner(name, steps=60, buffer_capacity=capacity)
        rng = np.random.default_rng(0)
        state = learner.learn(None, _experience(digits, 1, _rows(digits, [0, 1], 20)), rng)
        state = learner.learn(state, _experience(digits, 2, _rows(digits, [2, 3], 20)), rng)
        network = restore_network(state.tensors, state.header, NETWORK)
        said = predict(network, digits[0][old], config=NETWORK).guesses_n
        recall[capacity] = (said == digits[1][old]).mean()
    assert recall[100] > 0.8
    assert recall[100] > recall[0] + 0.2
