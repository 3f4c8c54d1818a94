"""Elastic weight consolidation."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from holdfast.learning.consolidation import Pull, accumulate, importance
from holdfast.model.network import build_network
from holdfast.model.spec import NetworkConfig

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 1, 8, 8), np.uint8))


def _network(classes=(0, 1, 2)):
    config = NetworkConfig(width=4)
    return build_network(config, channels=1, image_size=8, class_ids=classes, seed=3)


def _importance(images, seed=0):
    return importance(_network(), images, torch.Generator().manual_seed(seed))


def test_importance_equals_squared_gradients_taken_one_by_one():
    network = _network().eval()
    found = importance(network, IMAGES, torch.Generator().manual_seed(0))
    with torch.no_grad():
        probs = torch.softmax(network(IMAGES), dim=1)
    classes = torch.multinomial(probs, 1, generator=torch.Generator().manual_seed(0))[:, 0]
    expected = {key: torch.zeros_like(value) for key, value in found.items()}
    for image, label in zip(IMAGES, classes, strict=True):
        network.zero_grad()
        functional.cross_entropy(network(image[None]), label[None]).backward()
        for key, weight in network.named_parameters():
            expected[key] += weight.grad.square() / len(IMAGES)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-8)


def test_importance_leaves_the_network_as_it_was():
    network = _network()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    importance(network, IMAGES, torch.Generator().manual_seed(0))
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_importance_of_no_images_is_an_error():
    with pytest.raises(ValueError, match="at least one image"):
        _importance(IMAGES[:0])


def test_accumulate_of_the_same_importance_changes_nothing():
    once = _importance(IMAGES)
    again = accumulate(once, once)
    for key, value in once.items():
        torch.testing.assert_close(again[key], value)


def test_accumulate_over_a_grown_head_takes_new_rows_as_they_are():
    past = {"head.weight": torch.ones(2, 4)}
    latest = {"head.weight": torch.full((3, 4), 3.0)}
    joined = accumulate(past, latest, decay=0.5)["head.weight"]
    assert joined[:, 0].tolist() == [2, 2, 3]


def test_accumulate_over_a_shrunk_head_is_an_error():
    with pytest.raises(ValueError, match="was"):
        accumulate({"head.weight": torch.ones(3, 4)}, {"head.weight": torch.ones(2, 4)})


def test_pull_at_the_anchor_is_zero_and_grows_with_the_square_of_the_distance():
    network = _network()
    anchor = {key: value.detach().clone() for key, value in network.named_parameters()}
    pull = Pull(anchor, _importance(IMAGES), 10.0)
    assert pull(network) == 0
    losses = []
    for _ in range(2):
        with torch.no_grad():
            for weight in network.parameters():
                weight += 0.1
        losses.append(pull(network).item())
    assert losses[1] == pytest.approx(4 * losses[0], rel=1e-3)


def test_pull_lets_rows_of_new_classes_move_freely():
    network = _network()
    anchor = {key: value.detach().clone() for key, value in network.named_parameters()}
    pull = Pull(anchor, _importance(IMAGES), 10.0)
    network.grow([9], torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.head.weight[3] += 5
    assert pull(network) == 0
