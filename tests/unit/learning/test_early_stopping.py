"""The state that was best for rare classes."""

import numpy as np
import torch

from holdfast.learning.early_stopping import (
    EarlyStopping,
    mean_recall,
    rows_to_set_aside,
)

LABELS = [0] * 30 + [1] * 12 + [2] * 4


def _begun(small, labels=LABELS, trust=None):
    update = small.update(labels, list(range(len(labels))), trust=trust)
    part = EarlyStopping()
    part.begin(update)
    return update, part


def _say(network, column):
    """Let the network answer one class whatever it sees."""
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.bias.copy_(torch.nn.functional.one_hot(torch.tensor(column), 3).float())


def _aside(update):
    return np.flatnonzero(update.material.trust_n == 0)


def test_a_fifth_of_each_class_with_five_samples_is_set_aside(small):
    update, _ = _begun(small)
    assert np.bincount(update.material.positions_n[_aside(update)]).tolist() == [6, 2]


def test_doubted_labels_are_neither_set_aside_nor_counted(small):
    trust = np.r_[np.full(10, 0.2), np.ones(36)]
    update, _ = _begun(small, trust=trust)
    assert np.bincount(update.material.positions_n[_aside(update)]).tolist() == [4, 2]
    assert (_aside(update) >= 10).all()


def test_samples_set_aside_stay_so_in_another_order_and_mostly_when_more_come():
    ids = np.arange(1000) * 7 + 3
    positions = ids % 4
    one = set(ids[rows_to_set_aside(positions, ids)].tolist())
    assert len(one) == 200
    turn = np.random.default_rng(0).permutation(1000)
    assert one == set(ids[turn][rows_to_set_aside(positions[turn], ids[turn])].tolist())
    more = np.arange(1100) * 7 + 3
    two = set(more[rows_to_set_aside(more % 4, more)].tolist())
    assert len(one & two) > 180


def test_samples_set_aside_are_as_if_drawn_by_chance():
    ids = np.arange(5000)
    rows = rows_to_set_aside(np.zeros(5000, np.int64), ids)
    parts = np.bincount(rows // 500, minlength=10)
    assert (np.abs(parts - 100) < 40).all()


def test_mean_recall_counts_classes_alike_and_leaves_no_trace(small):
    update, _ = _begun(small)
    network, material = update.network.train(), update.material
    network.encoder.eval()
    rows = np.array([0, 1, 2, 30])
    _say(network, 0)
    both = torch.tensor([True, True, False])
    assert mean_recall(network, material, rows, both) == 0.5
    assert mean_recall(network, material, rows, torch.tensor([False, True, False])) == 0
    assert network.training
    assert not network.encoder.training


def test_finish_leaves_the_weights_that_were_best_for_the_rare_class(small):
    # Class 1, with 12 of 46, is rare: an equal share is 15.3 of three. Class 2 has none aside.
    update, part = _begun(small, labels=[0] * 60 + [1] * 12 + [2] * 4)
    for done, column in ((1, 0), (2, 1), (3, 2), (4, 0)):
        _say(update.network, column)
        update.done = done
        part.stepped(update)
    assert part.finish(update) == {}
    assert update.network.head.bias.tolist() == [0, 1, 0]


def test_finish_prefers_the_last_of_equal_weights(small):
    update, part = _begun(small)
    for done, column in ((1, 1), (2, 1)):
        _say(update.network, column)
        update.network.head.bias.data *= done
        update.done = done
        part.stepped(update)
    part.finish(update)
    assert update.network.head.bias.tolist() == [0, 2, 0]


def test_finish_with_too_few_samples_to_set_aside_keeps_the_last_weights(small):
    update, part = _begun(small, labels=[0, 1, 2, 0, 1, 2])
    assert len(_aside(update)) == 0
    _say(update.network, 0)
    update.done = 1
    part.stepped(update)
    _say(update.network, 2)
    part.finish(update)
    assert update.network.head.bias.tolist() == [0, 0, 1]


def test_restored_part_ends_the_same(small):
    ends = []
    for stops in (False, True):
        update, part = _begun(small)
        _say(update.network, 1)
        update.done = 1
        part.stepped(update)
        if stops:
            kept = {key: value.clone() for key, value in part.tensors().items()}
            part = EarlyStopping()
            part.begin(update)
            part.restore(kept)
        _say(update.network, 2)
        update.done = 2
        part.stepped(update)
        part.finish(update)
        ends.append(update.network.state_dict())
    assert all(torch.equal(value, ends[1][key]) for key, value in ends[0].items())
