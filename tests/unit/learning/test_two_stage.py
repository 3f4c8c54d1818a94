"""The last steps train the head alone."""

import pytest
import torch

from holdfast.learning.settings import ImbalanceConfig
from holdfast.learning.two_stage import TwoStage, in_second_stage, stage_of

LABELS = [0, 1, 2, 0, 1, 2, 0, 1]


def _update(small, share=0.5):
    network = small.network(name="small_residual").train()
    imbalance = ImbalanceConfig(two_stage=share)
    return small.update(LABELS, [0, 1, 2], network=network, imbalance=imbalance)


def _encoder(update):
    return {key: value.clone() for key, value in update.network.encoder.state_dict().items()}


@pytest.mark.parametrize(("share", "steps"), [(0.1, 1), (0.3, 3), (0.9, 9), (0.0, 0)])
def test_second_stage_has_its_share_of_the_steps(share, steps):
    config = ImbalanceConfig(two_stage=share)
    assert sum(in_second_stage(config, done / 10) for done in range(10)) == steps


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 1 / 3, 0.77, 0.9])
@pytest.mark.parametrize("steps", [1, 7, 10, 200])
def test_stage_of_counts_each_stage_from_its_own_start(share, steps):
    config = ImbalanceConfig(two_stage=share)
    for step in range(steps):
        place, length = stage_of(config, step, steps)
        assert 0 <= place < length
        second = in_second_stage(config, step / steps)
        assert place + second * (steps - length) == step
        assert second or length == sum(
            not in_second_stage(config, other / steps) for other in range(steps)
        )


def test_two_stage_moves_only_the_head_in_the_second_stage(small):
    update, part = _update(small), TwoStage()
    for _ in range(5):
        small.step(update, part, list(range(8)), 3)
    resting, head = _encoder(update), update.network.head.weight.clone()
    for _ in range(5):
        small.step(update, part, list(range(8)), 3)
        assert set(update.weights()) == {"head.weight", "head.bias"}
    for key, value in _encoder(update).items():
        assert torch.equal(value, resting[key]), key
    assert not torch.equal(head, update.network.head.weight)


def test_two_stage_moves_everything_in_the_first_stage(small):
    update, part = _update(small), TwoStage()
    before = _encoder(update)
    small.step(update, part, list(range(8)), 3)
    assert all(not torch.equal(value, before[key]) for key, value in _encoder(update).items())


def test_two_stage_wakes_the_encoder_at_the_end_and_where_an_update_goes_back(small):
    update, part = _update(small), TwoStage()
    update.done = 7
    part.prepare(update)
    assert not any(weight.requires_grad for weight in update.network.encoder.parameters())
    update.done = 3
    part.prepare(update)
    assert all(weight.requires_grad for weight in update.network.encoder.parameters())
    assert update.network.encoder.norm.training
    update.done = 7
    part.prepare(update)
    assert part.finish(update) == {}
    assert all(weight.requires_grad for weight in update.network.encoder.parameters())
