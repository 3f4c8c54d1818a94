"""Ways of rehearsing that tell new samples from exemplars."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from holdfast.learning.rehearsal import (
    HIDDEN,
    AsymmetricCrossEntropy,
    GradientProjection,
    InterferenceRetrieval,
)

# Exemplars of classes 0 and 1 are rows 0 to 3; new samples of 2 and 3 are rows 4 to 7.
LABELS = [0, 0, 1, 1, 2, 2, 3, 3]
NEW = [4, 5, 6, 7]


def _update(small, **settings):
    settings = {"network": small.network(classes=(0, 1, 2, 3)), "num_old": 2} | settings
    return small.update(LABELS, NEW, replay_share=0.5, **settings)


def _gradients(update, rows):
    images = update.material.pixels(torch.tensor(rows))
    columns = update.material.columns(torch.tensor(rows))
    loss = functional.cross_entropy(update.network(images), columns)
    return torch.autograd.grad(loss, list(update.network.parameters()))


def _loss(update, rows):
    with torch.no_grad():
        images = update.material.pixels(torch.tensor(rows))
        columns = update.material.columns(torch.tensor(rows))
        return functional.cross_entropy(update.network(images), columns).item()


def test_asymmetric_replay_hides_old_classes_from_new_samples(small):
    update = _update(small)
    small.batch(update, [4, 6, 0, 2], 2)
    logits = AsymmetricCrossEntropy({}, update.config).mask(update, update.logits_bk)
    assert (logits == HIDDEN).tolist() == [[True, True, False, False]] * 2 + [[False] * 4] * 2
    assert torch.equal(logits[2:], update.logits_bk[2:])


def test_asymmetric_replay_compares_with_old_classes_that_appear_again(small):
    update = small.update([0, 1, 1, 2], [2, 3], network=small.network(classes=(0, 1, 2)), num_old=2)
    small.batch(update, [2, 3, 0], 2)
    logits = AsymmetricCrossEntropy({}, update.config).mask(update, update.logits_bk)
    assert (logits == HIDDEN).tolist() == [[True, False, False]] * 2 + [[False] * 3]


def test_asymmetric_replay_hides_a_new_class_once_exemplars_hold_it(small):
    update = _update(small)
    part = AsymmetricCrossEntropy({}, update.config)
    small.batch(update, [4, 0], 1)
    assert (part.mask(update, update.logits_bk)[0] == HIDDEN).tolist() == [True, True, False, False]
    update.material.memory_rows = np.array([0, 2, 6])
    assert (part.mask(update, update.logits_bk)[0] == HIDDEN).tolist() == [True, True, False, True]


def test_asymmetric_replay_of_a_first_update_changes_nothing(small):
    update = small.update(LABELS, range(8), network=small.network(classes=(0, 1, 2, 3)))
    batch = small.batch(update, [0, 1, 4, 5], 4, smoothing=0.1)
    part = AsymmetricCrossEntropy({}, update.config)
    assert torch.equal(part.mask(update, update.logits_bk), update.logits_bk)
    torch.testing.assert_close(part.retarget(update, batch.targets_bk), batch.targets_bk)


def test_asymmetric_replay_equals_cross_entropy_over_the_classes_seen(small):
    update = _update(small)
    part = AsymmetricCrossEntropy({}, update.config)
    small.batch(update, [4, 6, 0, 2], 2)
    images, columns = update.batch.images_bchw, update.batch.positions_b
    with torch.no_grad():
        logits = update.network(images)
        expected = (
            functional.cross_entropy(logits[:2, 2:], columns[:2] - 2)
            + functional.cross_entropy(logits[2:], columns[2:])
        ) / 2
    torch.testing.assert_close(small.step(update, part, [4, 6, 0, 2], 2), expected)


def test_asymmetric_replay_with_smoothed_targets_stays_finite_and_sums_to_one(small):
    update = _update(small)
    part = AsymmetricCrossEntropy({}, update.config)
    batch = small.batch(update, [4, 6, 0, 2], 2, smoothing=0.2)
    targets = part.retarget(update, batch.targets_bk)
    torch.testing.assert_close(targets.sum(dim=1), torch.ones(4))
    assert not targets[:2, :2].any()
    losses = update.loss(part.mask(update, update.logits_bk), targets, 0.0)
    losses.sum().backward()
    assert bool((losses < 20).all())
    assert update.network.head.weight.grad.isfinite().all()


def test_asymmetric_replay_pushes_no_old_class_down_by_new_samples(small):
    update = _update(small)
    part = AsymmetricCrossEntropy({}, update.config)
    small.step(update, part, [4, 6], 2)
    assert not update.network.head.weight.grad[:2].any()


def test_gradient_projection_takes_out_what_would_harm_exemplars(small):
    update = _update(small)
    update.network.eval()
    reference = torch.cat([g.flatten() for g in _gradients(update, [0, 2])])
    own = torch.cat([g.flatten() for g in _gradients(update, [4, 6])])
    assert own @ reference < 0  # or there would be nothing to test
    expected = own - (own @ reference) / (reference @ reference) * reference
    small.step(update, GradientProjection({}, update.config), [4, 6, 0, 2], 2)
    found = torch.cat([weight.grad.flatten() for weight in update.network.parameters()])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert (found @ reference).item() == pytest.approx(0, abs=1e-5)


def test_gradient_projection_leaves_a_gradient_that_helps_exemplars(small):
    update = _update(small)
    own = torch.cat([g.flatten() for g in _gradients(update, [4, 5])])
    # The exemplar is of the same class as the new samples.
    update.material.positions_n[0] = 2
    update.material._positions[0] = 2
    reference = torch.cat([g.flatten() for g in _gradients(update, [0])])
    assert own @ reference > 0
    small.step(update, GradientProjection({}, update.config), [4, 5, 0], 2)
    found = torch.cat([weight.grad.flatten() for weight in update.network.parameters()])
    torch.testing.assert_close(found, own)


@pytest.mark.parametrize(("rows", "num_new"), [([4, 6], 2), ([0, 2], 0)])
def test_gradient_projection_of_one_kind_of_sample_does_nothing(small, rows, num_new):
    update = _update(small)
    own = _gradients(update, rows)
    small.step(update, GradientProjection({}, update.config), rows, num_new)
    for expected, weight in zip(own, update.network.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, expected)


def test_gradient_projection_leaves_running_statistics_to_the_main_pass(small):
    states = []
    for look in (True, False):
        network = small.network(classes=(0, 1, 2, 3), name="small_residual").train()
        update = _update(small, network=network)
        part = GradientProjection({}, update.config)
        if look:
            small.step(update, part, [4, 6, 0, 2], 2)
        else:
            small.batch(update, [4, 6, 0, 2], 2)
        states.append(dict(network.named_buffers()))
        assert network.training
    for key, value in states[0].items():
        assert torch.equal(value, states[1][key])


def test_interference_retrieval_takes_those_a_step_harms_most(small):
    labels = [0] * 10 + [1] * 10 + [2] * 4
    update = small.update(labels, range(20, 24), num_old=2, replay_share=0.5)
    part = InterferenceRetrieval({}, update.config)
    new = small.batch(update, [20, 21, 22, 23], 4)
    before = [_loss(update, [row]) for row in range(20)]
    own = _gradients(update, [20, 21, 22, 23])
    found = part.recall(update, new, 7)
    # Three times seven candidates are all twenty.
    with torch.no_grad():
        for weight, slope in zip(update.network.parameters(), own, strict=True):
            weight -= update.config.optimizer.highest_rate * slope
    harm = np.array([_loss(update, [row]) for row in range(20)]) - before
    assert found.tolist() == np.argsort(-harm)[:7].tolist()


def test_interference_retrieval_leaves_the_network_as_it_was(small):
    network = small.network(classes=(0, 1, 2, 3), name="small_residual").train()
    update = _update(small, network=network)
    new = small.batch(update, [4, 5, 6, 7], 4)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert len(InterferenceRetrieval({}, update.config).recall(update, new, 2)) == 2
    assert network.training
    assert all(weight.grad is None for weight in network.parameters())
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_interference_retrieval_from_few_exemplars_takes_all_in_turns(small):
    update = _update(small, trust=[1, 1, 1, 0, 1, 1, 1, 1])
    part = InterferenceRetrieval({}, update.config)
    new = small.batch(update, [4, 5], 2)
    assert sorted(part.recall(update, new, 7).tolist()) == [0, 0, 0, 1, 1, 2, 2]


def test_interference_retrieval_without_exemplars_is_none(small):
    update = small.update(LABELS, range(8), network=small.network(classes=(0, 1, 2, 3)))
    new = small.batch(update, [4, 5], 2)
    assert InterferenceRetrieval({}, update.config).recall(update, new, 4) is None


def test_interference_retrieval_draws_the_same_from_the_same_generator(small):
    found = []
    for _ in range(2):
        update = small.update([0] * 60 + [1] * 4, range(60, 64), num_old=1, replay_share=0.5)
        new = small.batch(update, [60, 61], 2)
        found.append(InterferenceRetrieval({}, update.config).recall(update, new, 4))
    assert torch.equal(*found)
