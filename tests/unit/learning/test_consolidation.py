"""Weights that matter stay close to where they were."""

import pytest
import torch

from holdfast.learning.consolidation import (
    PULL_EVERY,
    SENSITIVITY_SHARE,
    Pull,
    accumulate,
    ewc,
    mas,
)
from holdfast.learning.importance import fisher, sensitivity
from holdfast.learning.settings import ConsolidationConfig, LearningConfig


def _weights(network):
    return dict(network.named_parameters())


def _ones(network):
    return {key: torch.ones_like(weight) for key, weight in network.named_parameters()}


def _shift(network, by):
    with torch.no_grad():
        for weight in network.parameters():
            weight += by


def test_accumulate_of_the_same_importance_changes_nothing_however_often(small):
    once = {key: 3 * value for key, value in _ones(small.network()).items()}
    again = once
    for _ in range(20):
        again = accumulate(again, once)
    for key, value in once.items():
        torch.testing.assert_close(again[key], value)


def test_accumulate_over_a_grown_head_takes_new_rows_as_they_are():
    past = {"head.weight": torch.ones(2, 4)}
    latest = {"head.weight": torch.full((3, 4), 3.0)}
    joined = accumulate(past, latest, decay=0.5)["head.weight"]
    assert joined[:, 0].tolist() == [2, 2, 3]
    assert latest["head.weight"][0, 0] == 3


def test_accumulate_keeps_the_past_of_what_was_not_measured():
    past = {"stem": torch.ones(2), "head": torch.ones(2)}
    joined = accumulate(past, {"head": torch.full((2,), 2.0)}, decay=0.5)
    assert joined["stem"].tolist() == [1, 1]
    assert joined["head"].tolist() == [1.5, 1.5]


def test_accumulate_over_a_shrunk_head_is_an_error():
    with pytest.raises(ValueError, match="was"):
        accumulate({"head.weight": torch.ones(3, 4)}, {"head.weight": torch.ones(2, 4)})


def test_pull_is_the_importance_times_the_distance(small):
    network = small.network()
    importance = {key: 3 * value for key, value in _ones(network).items()}
    pull = Pull(_weights(network), importance, 10.0)
    assert not any(slope.any() for slope in pull.add_to_gradients().values())
    _shift(network, 0.1)
    for slope in pull.add_to_gradients().values():
        torch.testing.assert_close(slope, torch.full_like(slope, 10 * 3 * 0.1))


def test_pull_adds_the_gradient_of_the_penalty_spelled_out(small):
    network = small.network()
    importance = {key: torch.rand_like(weight) for key, weight in network.named_parameters()}
    anchor = {key: weight.detach().clone() for key, weight in network.named_parameters()}
    pull = Pull(_weights(network), importance, 2.0)
    _shift(network, -0.3)
    weights = _weights(network)
    penalty = sum((importance[key] * (weights[key] - anchor[key]) ** 2).sum() for key in weights)
    penalty.backward()  # strength 2 takes the half away
    expected = {key: weight.grad.clone() for key, weight in weights.items()}
    slopes = pull.add_to_gradients()
    for key, weight in weights.items():
        torch.testing.assert_close(slopes[key], expected[key])
        torch.testing.assert_close(weight.grad, 2 * expected[key])


def test_pull_lets_rows_of_new_classes_move_freely(small):
    network = small.network()
    importance = _ones(network)
    network.grow([9], torch.Generator().manual_seed(0))
    pull = Pull(_weights(network), importance, 10.0)
    with torch.no_grad():
        network.head.weight[3] += 5
    assert not any(slope.any() for slope in pull.add_to_gradients().values())
    with torch.no_grad():
        network.head.weight[2] += 1
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)
    pull.add_to_gradients()
    assert network.head.weight.grad.abs().sum(dim=1).bool().tolist() == [False, False, True, False]


def test_pull_of_nothing_adds_nothing(small):
    assert Pull(_weights(small.network()), {}, 1.0).add_to_gradients() == {}


@pytest.mark.parametrize(
    ("part", "measure", "share"), [(ewc, fisher, 1.0), (mas, sensitivity, SENSITIVITY_SHARE)]
)
def test_consolidation_measures_every_class_and_pulls_in_the_next_update(
    small, part, measure, share
):
    settings = {"consolidation": ConsolidationConfig(samples=4, strength=2.0)}
    update = small.update([0] * 5 + [1] * 5, range(10), num_old=0, **settings)
    first = part({}, update.config)
    first.begin(update)
    for weight in update.network.parameters():
        weight.grad = torch.zeros_like(weight)
    first.correct(update)
    assert not any(weight.grad.any() for weight in update.network.parameters())
    found = first.finish(update)
    assert found["head.weight"].shape == (3, 4)

    network = update.network
    network.grow([7], torch.Generator().manual_seed(0))
    update = small.update([0, 1, 7, 7], [2, 3], network=network, num_old=3, **settings)
    second = part(found, update.config)
    second.begin(update)
    _shift(network, 0.1)
    for weight in network.parameters():
        weight.grad = torch.zeros_like(weight)
    second.correct(update)
    for key, weight in network.named_parameters():
        pulled = weight.grad[: len(found[key])]
        expected = PULL_EVERY * 2 * 0.1 * found[key]
        torch.testing.assert_close(pulled, expected, rtol=1e-3, atol=1e-7)
    images = update.material.images(torch.arange(len(update.material)))
    latest = measure(network, images, torch.Generator().manual_seed(1))
    latest = {key: share * value for key, value in latest.items()}
    joined = second.finish(update)
    for key, value in accumulate(found, latest).items():
        torch.testing.assert_close(joined[key], value)


def test_consolidation_looks_at_trusted_samples_only(small):
    settings = {"consolidation": ConsolidationConfig(samples=10)}
    update = small.update([0, 1, 1], range(3), trust=[1, 0, 0], **settings)
    part = ewc({}, update.config)
    part.begin(update)
    found = part.finish(update)
    images = update.material.images(torch.arange(1))
    expected = fisher(update.network, images, torch.Generator().manual_seed(1))
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value)


def test_consolidation_remembers_nothing_between_steps():
    assert ewc({}, LearningConfig()).tensors() == {}
