"""A second head that predicts how hard samples are."""

import torch

from holdfast.learning.difficulty import DifficultyHead, ranking_loss
from holdfast.learning.settings import ImbalanceConfig


def _started(small, past=None, weight=2.0):
    update = small.update(
        [0, 1, 2, 0, 1, 2], [0, 1, 2], imbalance=ImbalanceConfig(difficulty=weight)
    )
    part = DifficultyHead(past or {})
    part.begin(update)
    small.batch(update, list(range(6)), 3)
    update.embeddings_bd = update.network.embed(update.batch.images_bchw)
    update.losses_b = torch.tensor([3.0, 1.0, 2.0, 0.5, 4.0, 0.1])
    return update, part


def test_ranking_loss_of_the_right_order_is_zero_and_of_the_wrong_one_is_not():
    losses = torch.tensor([5.0, 1.0, 2.0, 3.0])
    assert ranking_loss(2 * losses, losses) == 0
    assert ranking_loss(-losses, losses) > 2


def test_ranking_loss_does_not_look_at_the_scale_of_losses():
    predicted = torch.tensor([0.3, -0.1, 0.2, 0.4, 0.9])
    losses = torch.tensor([5.0, 1.0, 2.0, 3.0, 2.5])
    assert ranking_loss(predicted, losses) == ranking_loss(predicted, 100 * losses)


def test_ranking_loss_of_equal_losses_or_one_sample_is_zero():
    predicted = torch.tensor([1.0, -1.0])
    assert ranking_loss(predicted, torch.ones(2)) == 0
    assert ranking_loss(predicted[:1], torch.ones(1)) == 0


def test_difficulty_head_learns_the_order_of_losses(small):
    update, part = _started(small)
    optimizer = torch.optim.Adam([*part.parameters(), *update.network.parameters()], lr=0.05)
    first = part.penalty(update).detach()
    for _ in range(60):
        update.embeddings_bd = update.network.embed(update.batch.images_bchw)
        optimizer.zero_grad()
        last = part.penalty(update)
        last.backward()
        optimizer.step()
    assert last < first / 4


def test_difficulty_penalty_is_proportional_to_its_weight(small):
    one, two = (_started(small, weight=weight) for weight in (1.0, 3.0))
    assert torch.equal(3 * one[1].penalty(one[0]), two[1].penalty(two[0]))


def test_difficulty_head_goes_on_in_the_next_update(small):
    update, part = _started(small)
    for weight in part.parameters():
        torch.nn.init.normal_(weight, generator=torch.Generator().manual_seed(0))
    again = DifficultyHead(part.finish(update))
    again.begin(update)
    assert torch.equal(again.penalty(update), part.penalty(update))
