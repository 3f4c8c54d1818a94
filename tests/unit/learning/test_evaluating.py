"""Looking at a network without a trace."""

import pytest
import torch

from holdfast.learning.evaluating import evaluating


def test_evaluating_puts_each_layer_back_into_its_own_mode(small):
    network = small.network(name="small_residual").train()
    network.encoder.norm.eval()
    modes = [layer.training for layer in network.modules()]
    with evaluating(network):
        assert not any(layer.training for layer in network.modules())
    assert [layer.training for layer in network.modules()] == modes


def test_evaluating_puts_layers_back_after_an_error(small):
    network = small.network().train()
    with pytest.raises(RuntimeError), evaluating(network):
        raise RuntimeError
    assert network.training


def test_evaluating_keeps_running_statistics(small):
    network = small.network(name="small_residual").train()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with evaluating(network):
        network(torch.from_numpy(small.images(5)))
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])
