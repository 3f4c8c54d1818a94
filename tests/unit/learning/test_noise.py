"""Labels that may be wrong."""

import pytest
import torch

from holdfast.learning.noise import SmallLoss, SoftLabels, small_losses
from holdfast.learning.settings import NoiseConfig

LABELS = [0] * 8 + [1] * 3 + [2]
LOSSES = torch.arange(12) * 7.0 % 12 + torch.arange(12)


def _noisy(small, **noise):
    trust = [1.0, 0.0, 0.5, *[1.0] * 9]
    return small.update(LABELS, list(range(6)), trust=trust, noise=NoiseConfig(**noise))


def test_small_losses_leave_out_the_largest_of_each_class():
    stays = small_losses(LOSSES, torch.tensor(LABELS), 0.34, 0.0).bool()
    for label in range(3):
        mine = torch.tensor(LABELS) == label
        if (mine & ~stays).any():
            assert LOSSES[mine & stays].max() <= LOSSES[mine & ~stays].min()
    assert (~stays).sum() == 3  # 2.72 of eight and 1.02 of three; the only one stays


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("offset", [0.0, 0.5, 0.999])
def test_small_losses_never_leave_a_class_without_a_sample(share, offset):
    stays = small_losses(LOSSES, torch.tensor(LABELS), share, offset)
    assert set(torch.tensor(LABELS)[stays > 0].tolist()) == {0, 1, 2}
    assert (stays == 0).sum() <= share * 12 + 1


def test_small_losses_leave_out_the_share_on_average():
    positions = torch.arange(64) % 4
    losses = torch.rand(64, generator=torch.Generator().manual_seed(0))
    left_out = [
        float((small_losses(losses, positions, 0.07, offset / 100) == 0).sum())
        for offset in range(100)
    ]
    assert sum(left_out) / 100 == pytest.approx(0.07 * 64, abs=0.05)


def test_small_losses_of_permuted_samples_are_permuted():
    turn = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    one = small_losses(LOSSES, torch.tensor(LABELS), 0.4, 0.2)
    assert torch.equal(small_losses(LOSSES[turn], torch.tensor(LABELS)[turn], 0.4, 0.2), one[turn])


def test_small_loss_rises_over_the_first_half_then_stays(small):
    update, part = _noisy(small, small_loss=0.5), SmallLoss()
    update.steps = 100
    small.batch(update, list(range(12)), 6)
    left_out = []
    for done in (0, 25, 50, 99):
        update.done = done
        factors = [part.weigh(update, LOSSES) for _ in range(50)]
        drops = [0.0 if one is None else float((one == 0).sum()) for one in factors]
        left_out.append(sum(drops) / 50)
    assert left_out[0] == 0 < left_out[1] < left_out[2]
    assert left_out[1] == pytest.approx(left_out[2] / 2, abs=0.6)
    assert left_out[3] == pytest.approx(left_out[2], abs=0.6)


def test_soft_labels_move_doubted_targets_towards_the_network(small):
    update, part = _noisy(small, soft_labels=0.8), SoftLabels()
    part.begin(update)
    targets = small.batch(update, [0, 1, 2], 3).targets_bk
    moved = part.retarget(update, targets)
    believed = torch.softmax(update.logits_bk, dim=1)
    assert torch.equal(moved[0], targets[0])
    torch.testing.assert_close(moved[1], 0.2 * targets[1] + 0.8 * believed[1])
    torch.testing.assert_close(moved[2], 0.6 * targets[2] + 0.4 * believed[2])
    torch.testing.assert_close(moved.sum(dim=1), torch.ones(3))
    assert not moved.requires_grad


def test_soft_labels_on_trusted_samples_change_nothing(small):
    update, part = _noisy(small, soft_labels=1.0), SoftLabels()
    part.begin(update)
    targets = small.batch(update, [0, 3, 4, 9, 11], 3).targets_bk
    assert torch.equal(part.retarget(update, targets), targets)
