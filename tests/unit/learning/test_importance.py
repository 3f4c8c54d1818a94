"""How much each weight matters."""

import pytest
import torch
from torch.nn import functional

from holdfast.learning.importance import fisher, sensitivity


def _seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def _one_by_one(network, images, loss_of, size):
    """What the measures should give, a gradient at a time."""
    expected = {key: torch.zeros_like(value) for key, value in network.named_parameters()}
    for index, image in enumerate(images):
        network.zero_grad()
        loss_of(network(image[None]), index).backward()
        for key, weight in network.named_parameters():
            expected[key] += size(weight.grad) / len(images)
    return expected


@pytest.mark.parametrize("name", ["mlp", "small_residual"])
def test_fisher_equals_squared_gradients_taken_one_by_one(small, name):
    network, images = small.network(name=name).eval(), torch.from_numpy(small.images(40))
    with torch.no_grad():
        probs = torch.softmax(network(images), dim=1)
    classes = torch.multinomial(probs, 1, generator=_seeded())[:, 0]

    def loss_of(logits, index):
        return functional.cross_entropy(logits, classes[index : index + 1])

    expected = _one_by_one(network, images, loss_of, torch.square)
    found = fisher(network, images, _seeded())
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("name", ["mlp", "small_residual"])
def test_sensitivity_equals_sizes_of_gradients_taken_one_by_one(small, name):
    network, images = small.network(name=name).eval(), torch.from_numpy(small.images(20))
    expected = _one_by_one(network, images, lambda logits, _: logits.square().sum(), torch.abs)
    found = sensitivity(network, images, _seeded())
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-8)


@pytest.mark.parametrize("measure", [fisher, sensitivity])
def test_importance_does_not_depend_on_the_batch(small, measure):
    network, images = small.network(name="small_residual"), torch.from_numpy(small.images(256))
    traces = [
        sum(float(value.sum()) for value in measure(network, images, _seeded(), chunk=c).values())
        for c in (1, 256, None)
    ]
    assert traces[0] > 0
    assert traces[1:] == pytest.approx([traces[0]] * 2, rel=1e-3)


@pytest.mark.parametrize("measure", [fisher, sensitivity])
def test_importance_leaves_the_network_as_it_was(small, measure):
    network = small.network(name="small_residual").train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    measure(network, torch.from_numpy(small.images(5)), _seeded())
    assert network.training
    assert all(weight.grad is None for weight in network.parameters())
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


def test_importance_names_trained_weights_only(small):
    network = small.network()
    network.encoder.requires_grad_(False)
    found = fisher(network, torch.from_numpy(small.images(5)), _seeded())
    assert found.keys() == {"head.weight", "head.bias"}


@pytest.mark.parametrize("measure", [fisher, sensitivity])
def test_importance_of_no_images_is_an_error(small, measure):
    with pytest.raises(ValueError, match="at least one image"):
        measure(small.network(), torch.from_numpy(small.images(0)), _seeded())
