"""Old answers are kept."""

import numpy as np
import pytest
import torch

from holdfast.learning.distillation import ChampionDistillation, DarkExperience
from holdfast.learning.settings import ConsolidationConfig

SETTINGS = {"consolidation": ConsolidationConfig(distillation=3.0)}


def _shift(network):
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(5))


def _champion(small, num_old):
    network = small.network(classes=(0, 1, 2), name="small_residual").train()
    update = small.update([0, 1, 2, 2], [2, 3], network=network, num_old=num_old, **SETTINGS)
    part = ChampionDistillation({}, update.config)
    part.begin(update)
    return update, part


def test_champion_distillation_of_an_unchanged_network_is_zero(small):
    update, part = _champion(small, 2)
    update.network.eval()
    small.batch(update, [2, 3, 0, 1], 2)
    assert part.penalty(update).item() == pytest.approx(0, abs=1e-6)


def test_champion_distillation_is_the_divergence_of_softened_old_answers(small):
    update, part = _champion(small, 2)
    update.network.eval()
    images = update.material.pixels(torch.arange(4))
    with torch.no_grad():
        old = torch.softmax(update.network(images)[:, :2] / 2, dim=1)
    _shift(update.network)
    small.batch(update, [0, 1, 2, 3], 4)
    new = torch.log_softmax(update.logits_bk[:, :2] / 2, dim=1)
    expected = 3 * 4 * (old * (old.log() - new)).sum(dim=1).mean()
    assert expected > 1e-3
    torch.testing.assert_close(part.penalty(update), expected)


def test_champion_distillation_of_a_first_update_is_none(small):
    update, part = _champion(small, 0)
    small.batch(update, [0, 1], 2)
    assert part.penalty(update) is None


def test_champion_distillation_trains_the_network_and_not_the_champion(small):
    update, part = _champion(small, 2)
    before = {key: value.clone() for key, value in part._champion.state_dict().items()}
    optimizer = torch.optim.SGD(update.network.parameters(), lr=0.1)
    _shift(update.network)
    small.batch(update, [2, 3, 0, 1], 2)
    part.penalty(update).backward()
    assert update.network.head.weight.grad[:2].abs().sum() > 0
    assert update.network.head.weight.grad[2].abs().sum() == 0
    optimizer.step()
    for key, value in part._champion.state_dict().items():
        assert torch.equal(value, before[key])


def _stored(small, logits):
    update = small.update([0, 1, 2, 2], [2, 3], logits=logits, num_old=2, **SETTINGS)
    return update, DarkExperience({}, update.config)


def test_dark_experience_is_the_square_over_remembered_answers_averaged_over_the_batch(small):
    nan = np.nan
    # A row known for two classes, one for three, one for one, and a new one.
    logits = np.array([[1, -1, nan], [2, 0, 1], [5, nan, nan], [nan, nan, nan]])
    update, part = _stored(small, logits)
    small.batch(update, [3, 2, 0, 1], 2)
    now = update.logits_bk.detach().numpy()
    two = (now[2, :2] - now[2, :2].mean()) - (logits[0, :2] - logits[0, :2].mean())
    three = (now[3] - now[3].mean()) - (logits[1] - logits[1].mean())
    expected = 3 * ((two**2).sum() + (three**2).sum()) / (4 * 3)
    found = part.penalty(update)
    assert found.item() == pytest.approx(expected, rel=1e-5)
    found.backward()
    assert all(bool(weight.grad.isfinite().all()) for weight in update.network.parameters())


def test_dark_experience_of_the_network_that_answered_is_zero(small):
    network = small.network()
    with torch.no_grad():
        answers = network(torch.from_numpy(small.images(4)))
    for logits in (answers, torch.log_softmax(answers, dim=1)):
        update, part = _stored(small, logits.numpy())
        small.batch(update, [0, 1, 2, 3], 0)
        assert part.penalty(update).item() == pytest.approx(0, abs=1e-9)


def test_dark_experience_without_remembered_answers_is_zero_and_moves_nothing(small):
    update, part = _stored(small, np.zeros((4, 0)))
    small.batch(update, [0, 1, 2, 3], 2)
    found = part.penalty(update)
    assert found == 0
    found.backward()
    assert all(not weight.grad.any() for weight in update.network.parameters())


def test_dark_experience_pulls_answers_back(small):
    update, part = _stored(small, 4.0 * np.eye(3)[[0, 1, 2, 2]])
    optimizer = torch.optim.Adam(update.network.parameters(), lr=0.02)
    penalties = []
    for _ in range(200):
        small.batch(update, [0, 1, 2, 3], 2)
        penalty = part.penalty(update)
        optimizer.zero_grad()
        penalty.backward()
        optimizer.step()
        penalties.append(penalty.item())
    assert penalties[-1] < 0.5 * penalties[0]
