"""Weights matter by how much they lowered the loss."""

import numpy as np
import pytest
import torch

from holdfast.learning.consolidation import accumulate
from holdfast.learning.settings import ConsolidationConfig
from holdfast.learning.synaptic import DAMPING, SHARE, SynapticIntelligence

LABELS = [0, 0, 0, 1, 1, 1, 2, 2, 2]
ROWS = list(range(9))


def _begun(small, past=None, rate=0.01, **others):
    update = small.update(LABELS, ROWS, consolidation=ConsolidationConfig(strength=2.0), **others)
    update.optimizer = torch.optim.SGD(update.network.parameters(), lr=rate)
    part = SynapticIntelligence(past or {}, update.config)
    part.begin(update)
    return update, part


def test_synaptic_gains_add_up_to_what_the_loss_fell_by(small):
    network = small.network()
    # The head alone is smooth: at the kinks of an encoder steps zigzag, and gain without end.
    network.encoder.requires_grad_(False)
    update, part = _begun(small, network=network, rate=0.1)
    losses = [float(small.step(update, part, ROWS, 9)) for _ in range(100)]
    assert part.tensors().keys() == {"head.weight", "head.bias"}
    gained = sum(float(value.sum()) for value in part.tensors().values())
    small.batch(update, ROWS, 9)
    last = float(update.loss(update.logits_bk, update.batch.targets_bk, 1.0).detach().mean())
    assert losses[0] - last > 0.005
    assert gained == pytest.approx(losses[0] - last, rel=0.02)


def test_synaptic_importance_is_gain_per_squared_way(small):
    update, part = _begun(small, rate=0.1)
    start = update.network.head.weight.detach().clone()
    small.step(update, part, ROWS, 9)
    way = update.network.head.weight.detach() - start
    # One step of plain gradient descent moves by minus a tenth of the gradient.
    expected = SHARE * 2 * (10 * way * way) / (way * way + DAMPING)
    torch.testing.assert_close(part.finish(update)["head.weight"], expected)


def test_synaptic_gains_leave_the_pull_out(small):
    past = {key: torch.ones_like(value) for key, value in small.network().named_parameters()}
    update, part = _begun(small, past)
    small.step(update, part, ROWS, 9)
    before = {key: value.clone() for key, value in part.tensors().items()}
    weight = update.network.head.weight
    start, anchor = weight.detach().clone(), part._start["head.weight"]
    small.step(update, part, ROWS, 9)
    own = weight.grad - 2.0 * (start - anchor)
    expected = before["head.weight"] - own * (weight.detach() - start)
    torch.testing.assert_close(part.tensors()["head.weight"], expected)


def test_synaptic_importance_follows_a_growing_head(small):
    update, part = _begun(small)
    small.step(update, part, ROWS, 9)
    past = part.finish(update)
    network = update.network
    network.grow([7], torch.Generator().manual_seed(0))
    update, part = _begun(small, past, network=network, num_old=3)
    small.step(update, part, ROWS, 9)
    assert not any(slope.any() for slope in part._slopes.values())
    small.step(update, part, ROWS, 9)
    assert part._slopes["head.weight"].shape == (3, 4)
    assert all(slope.any() for slope in part._slopes.values())
    found = part.finish(update)
    assert found["head.weight"].shape == (4, 4)
    assert all(bool((value >= 0).all()) for value in found.values())


def test_synaptic_importance_stays_of_one_size_over_many_updates():
    latest = {"weight": torch.tensor([2.0, 3.0])}
    past = {}
    sizes = []
    for _ in range(21):
        past = accumulate(past, latest)
        sizes.append(float(past["weight"].sum()))
    assert sizes[20] == pytest.approx(sizes[1])


def test_synaptic_restored_in_the_middle_goes_on_bit_for_bit(small):
    past = {key: torch.ones_like(value) for key, value in small.network().named_parameters()}
    rows = [list(np.random.default_rng(step).permutation(9)) for step in range(6)]
    whole, part = _begun(small, past)
    kept = None
    for step, order in enumerate(rows):
        if step == 3:
            kept = (
                {key: value.clone() for key, value in whole.network.state_dict().items()},
                {key: value.clone() for key, value in part.tensors().items()},
            )
        small.step(whole, part, order, 9)
    again, resumed = _begun(small, past)
    again.network.load_state_dict(kept[0])
    resumed.restore(kept[1])
    for order in rows[3:]:
        small.step(again, resumed, order, 9)
    one, two = part.finish(whole), resumed.finish(again)
    assert one.keys() == two.keys()
    for key, value in one.items():
        assert torch.equal(value, two[key])
