"""Images changed at random."""

import pytest
import torch

from holdfast.learning.augmentation import cut_and_mix, mix, perturb, rare_strength
from holdfast.learning.losses import soft_targets

IMAGES = torch.rand(8, 3, 12, 16, generator=torch.Generator().manual_seed(1))


def _generator(seed=5):
    return torch.Generator().manual_seed(seed)


def test_perturb_keeps_shape_range_and_draws():
    one, two = (perturb(IMAGES, _generator()) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == IMAGES.shape
    assert 0 <= one.min() <= one.max() <= 1
    assert not torch.allclose(one, IMAGES, atol=0.05)


def test_perturb_leaves_its_argument_alone():
    before = IMAGES.clone()
    perturb(IMAGES, _generator())
    assert torch.equal(before, IMAGES)


def test_perturb_of_a_plain_image_moves_no_foreign_color_in():
    plain = torch.full((16, 3, 12, 12), 0.5) * torch.tensor([1.0, 0.5, 1.5])[:, None, None]
    moved = perturb(plain, _generator())
    torch.testing.assert_close(moved.std(dim=(2, 3)), torch.zeros(16, 3), atol=1e-5, rtol=0)


def test_perturb_of_no_strength_changes_nothing():
    torch.testing.assert_close(perturb(IMAGES, _generator(), torch.zeros(8)), IMAGES)


def test_perturb_of_usual_strength_is_perturb_without():
    assert torch.equal(perturb(IMAGES, _generator(), torch.ones(8)), perturb(IMAGES, _generator()))


def test_perturb_changes_images_by_their_own_strength():
    smooth = torch.nn.functional.interpolate(IMAGES[:, :, ::4, ::4], (12, 16), mode="bilinear")
    strength = torch.tensor([0.0, 0.5, 1.0, 2.0]).repeat(2)
    gaps = torch.stack(
        [(perturb(smooth, _generator(seed), strength) - smooth).abs().mean((1, 2, 3))
         for seed in range(30)]
    ).mean(dim=0)  # fmt: skip
    assert (gaps[:4].diff() > 0).all()
    assert (gaps[4:].diff() > 0).all()


def test_rare_strength_is_more_for_classes_below_an_equal_share_only():
    strength = rare_strength(torch.tensor([3000.0, 985.0, 0.0, 60.0, 20.0]))
    assert strength[:3].tolist() == pytest.approx([1, 1.0078, 1], abs=5e-3)
    assert 1 < strength[1] < strength[3] <= strength[4] <= 2


def test_rare_strength_of_equal_classes_is_one():
    assert rare_strength(torch.full((4,), 7.0)).tolist() == [1, 1, 1, 1]


def _tagged():
    """Return images whose channels say what their target says."""
    targets = soft_targets(torch.arange(6), 6, 0.0)
    return targets[:, :, None, None].expand(6, 6, 10, 14).clone(), targets


@pytest.mark.parametrize("join", [mix, cut_and_mix])
@pytest.mark.parametrize("seed", range(6))
def test_joined_targets_say_how_much_of_each_image_there_is(join, seed):
    images, targets = _tagged()
    joined, said = join(images, targets, 0.8, _generator(seed))
    torch.testing.assert_close(joined.mean(dim=(2, 3)), said)
    torch.testing.assert_close(said.sum(dim=1), torch.ones(6))


def test_mix_has_one_blend_for_all_pixels_and_cut_has_whole_ones():
    images, targets = _tagged()
    blended, _ = mix(images, targets, 0.8, _generator())
    torch.testing.assert_close(blended.std(dim=(2, 3)), torch.zeros(6, 6), atol=1e-6, rtol=0)
    cut, _ = cut_and_mix(images, targets, 0.8, _generator())
    assert set(cut.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("join", [mix, cut_and_mix])
def test_join_with_a_share_of_one_or_none_is_one_of_the_images(join):
    images, targets = _tagged()
    # So weak that the beta distribution has all of its mass at both ends.
    joined, said = join(images, targets, 1e-3, _generator(3))
    order = said.argmax(dim=1)
    torch.testing.assert_close(said, targets[order], atol=1e-4, rtol=0)
    torch.testing.assert_close(joined, images[order], atol=1e-4, rtol=0)
