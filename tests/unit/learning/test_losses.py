"""Losses over soft targets."""

import torch
from torch.nn import functional

from holdfast.learning.augmentation import mix, perturb
from holdfast.learning.losses import BalancedSoftmax, cross_entropy, soft_targets

LOGITS = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))
POSITIONS = torch.arange(16) % 5


def test_cross_entropy_without_smoothing_equals_torch():
    ours = cross_entropy(LOGITS, soft_targets(POSITIONS, 5, 0.0))
    torch.testing.assert_close(ours, functional.cross_entropy(LOGITS, POSITIONS))


def test_cross_entropy_with_smoothing_equals_torch():
    ours = cross_entropy(LOGITS, soft_targets(POSITIONS, 5, 0.2))
    torch.testing.assert_close(
        ours, functional.cross_entropy(LOGITS, POSITIONS, label_smoothing=0.2)
    )


def test_balanced_softmax_of_equal_shares_is_cross_entropy():
    targets = soft_targets(POSITIONS, 5, 0.1)
    torch.testing.assert_close(
        BalancedSoftmax(torch.full((5,), 0.2))(LOGITS, targets), cross_entropy(LOGITS, targets)
    )


def test_balanced_softmax_asks_more_of_rare_classes():
    loss = BalancedSoftmax(torch.tensor([0.9, 0.1]))
    even = torch.zeros(1, 2)
    frequent, rare = (loss(even, soft_targets(torch.tensor([k]), 2, 0.0)) for k in (0, 1))
    assert rare > frequent


def test_balanced_softmax_of_a_share_of_zero_stays_finite():
    loss = BalancedSoftmax(torch.tensor([0.5, 0.5, 0.0]))
    assert torch.isfinite(loss(torch.randn(4, 3), soft_targets(torch.zeros(4).long(), 3, 0.1)))


def test_perturb_keeps_shape_range_and_draws():
    images = torch.rand(8, 3, 12, 12, generator=torch.Generator().manual_seed(1))
    one, two = (perturb(images, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == images.shape
    assert 0 <= one.min() <= one.max() <= 1
    assert not torch.allclose(one, images, atol=0.05)


def test_perturb_of_a_plain_image_moves_no_foreign_color_in():
    plain = torch.full((16, 3, 12, 12), 0.5) * torch.tensor([1.0, 0.5, 1.5])[:, None, None]
    moved = perturb(plain, torch.Generator().manual_seed(0))
    torch.testing.assert_close(moved.std(dim=(2, 3)), torch.zeros(16, 3), atol=1e-5, rtol=0)


def test_mix_blends_images_and_targets_alike():
    targets = soft_targets(torch.arange(4), 4, 0.0)
    images = targets[:, :, None, None].expand(4, 4, 2, 2).clone()
    blended, said = mix(images, targets, 0.4, torch.Generator().manual_seed(2))
    torch.testing.assert_close(blended[:, :, 0, 0], said)
    torch.testing.assert_close(said.sum(dim=1), torch.ones(4))
