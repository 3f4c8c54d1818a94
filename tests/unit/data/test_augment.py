"""Images changed at random by a policy."""

import pytest
import torch
from sklearn.datasets import load_digits

from holdfast.data.augment import change, class_strength, join
from holdfast.data.augment_mixing import cut_and_mix, mix
from holdfast.data.augment_settings import (
    AugmentationConfig,
    GeometricConfig,
    MixingConfig,
    VisualConfig,
)

IMAGES = torch.rand(8, 3, 12, 16, generator=torch.Generator().manual_seed(1))
BYTES = (IMAGES * 255).to(torch.uint8)
POLICIES = ("slight", "geometric", "visual", "randaugment", "geometric+visual")
STILL = {"turn": 0.0, "shift": 0.0, "smallest": 1.0, "largest": 1.0, "flip_sideways": 0.0}


def _generator(seed=5):
    return torch.Generator().manual_seed(seed)


def _policy(name):
    return AugmentationConfig(policy=name)


def _geometric(**settings):
    return AugmentationConfig(policy="geometric", geometric=GeometricConfig(**(STILL | settings)))


def _visual(**settings):
    zero = dict.fromkeys(("hue", "saturation", "brightness", "noise", "blur"), 0.0)
    return AugmentationConfig(policy="visual", visual=VisualConfig(**(zero | settings)))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("images", [IMAGES, IMAGES[:, :1], BYTES, BYTES[:, :1]])
def test_change_keeps_type_shape_range_and_draws(policy, images):
    before = images.clone()
    one, two = (change(images, _policy(policy), _generator()) for _ in range(2))
    assert torch.equal(one, two)
    assert (one.shape, one.dtype) == (images.shape, images.dtype)
    assert 0 <= one.min() <= one.max() <= (255 if images.dtype == torch.uint8 else 1)
    assert not torch.equal(one, images)
    assert torch.equal(images, before)


@pytest.mark.parametrize("policy", POLICIES)
def test_change_of_bytes_is_that_of_floats_rounded(policy):
    if policy == "randaugment":
        pytest.skip("levels of bytes and floats fall on other sides of its thresholds")
    floats = change(BYTES / 255, _policy(policy), _generator())
    gap = change(BYTES, _policy(policy), _generator()) - floats * 255
    assert gap.abs().max() <= 0.501


@pytest.mark.parametrize("policy", POLICIES)
def test_change_by_pieces_is_change_at_once(policy, monkeypatch):
    at_once = change(BYTES, _policy(policy), _generator())
    monkeypatch.setattr(
        "holdfast.data.augment._PIECE", dict.fromkeys(("cpu", "randaugment"), BYTES[:3].numel())
    )
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    assert torch.equal(change(BYTES, _policy(policy), _generator()), at_once)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("images", [IMAGES, BYTES])
def test_change_of_no_strength_leaves_images_bit_for_bit(policy, images):
    strength = torch.tensor([0.0, 1.0]).repeat(4)
    changed = change(images, _policy(policy), _generator(), strength)
    assert torch.equal(changed[::2], images[::2])
    usual = change(images, _policy(policy), _generator(), torch.ones(8))
    assert torch.equal(changed[1::2], usual[1::2])
    assert torch.equal(usual, change(images, _policy(policy), _generator()))


@pytest.mark.parametrize("policy", ["slight", "geometric", "visual", "randaugment"])
def test_change_grows_with_strength(policy):
    smooth = torch.nn.functional.interpolate(IMAGES[:, :, ::4, ::4], (12, 16), mode="bilinear")
    strength = torch.tensor([0.1, 0.5, 1.0, 2.0]).repeat(2)
    config = _geometric(turn=30.0, shift=0.1) if policy == "geometric" else _policy(policy)
    gaps = torch.stack(
        [(change(smooth, config, _generator(seed), strength) - smooth).abs().mean((1, 2, 3))
         for seed in range(60)]
    ).mean(dim=0)  # fmt: skip
    assert (gaps.view(2, 4).mean(dim=0).diff() > 0).all()


def test_change_of_other_images_is_an_error():
    with pytest.raises(ValueError, match=r"float64 of \(8, 3, 12, 16\)"):
        change(IMAGES.double(), _policy("geometric"), _generator())
    with pytest.raises(ValueError, match=r"shape \(N, C, H, W\)"):
        change(IMAGES[0], _policy("geometric"), _generator())


@pytest.mark.parametrize("policy", [*POLICIES, "none", "mixup"])
@pytest.mark.parametrize("shape", [(0, 3, 8, 8), (3, 3, 1, 1), (2, 1, 1, 9), (2, 4, 5, 1)])
def test_change_takes_no_images_and_the_smallest(policy, shape):
    images = torch.full(shape, 128, dtype=torch.uint8)
    assert change(images, _policy(policy), _generator()).shape == shape


def test_slight_of_a_plain_image_moves_no_foreign_color_in():
    plain = torch.full((16, 3, 12, 12), 0.5) * torch.tensor([1.0, 0.5, 1.5])[:, None, None]
    moved = change(plain, _policy("slight"), _generator())
    torch.testing.assert_close(moved.std(dim=(2, 3)), torch.zeros(16, 3), atol=1e-5, rtol=0)


def test_geometric_that_moves_nothing_is_the_image():
    assert torch.equal(change(BYTES, _geometric(), _generator()), BYTES)


def test_geometric_flips_are_exact():
    sideways = change(BYTES, _geometric(flip_sideways=1.0), _generator())
    assert torch.equal(sideways, BYTES.flip(3))
    over = change(BYTES, _geometric(flip_upside_down=1.0), _generator())
    assert torch.equal(over, BYTES.flip(2))


def test_geometric_turns_of_wide_images_keep_shapes():
    # A turn in coordinates of the sides would shear a square in a wide image.
    wide = torch.zeros(64, 1, 40, 120)
    wide[..., 10:30, 50:70] = 1
    turned = change(wide, _geometric(turn=90.0), _generator())
    # Farther out lie reflections.
    middle = turned[..., 40:80].sum((1, 2, 3))
    torch.testing.assert_close(middle, torch.full((64,), 400.0), atol=8, rtol=0)


def test_geometric_scale_is_that_of_the_settings():
    square = torch.zeros(4, 1, 60, 60)
    square[..., 20:40, 20:40] = 1
    larger = change(square, _geometric(smallest=1.2, largest=1.2), _generator())
    torch.testing.assert_close(larger.sum((1, 2, 3)), torch.full((4,), 400 * 1.44), atol=12, rtol=0)


def test_geometric_shift_is_at_most_the_share_of_the_side():
    dot = torch.zeros(200, 1, 41, 41)
    dot[..., 20, 20] = 1
    moved = change(dot, _geometric(shift=0.1), _generator())
    at = torch.arange(41.0) - 20
    places = (moved.sum(2) * at).sum(-1).flatten()
    assert 3.5 < places.abs().max() <= 4.1 + 1e-3


def test_visual_saturation_and_hue_keep_luminance():
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    muted = IMAGES * 0.2 + 0.4
    changed = change(muted, _visual(hue=0.5, saturation=0.5), _generator())
    assert not torch.allclose(changed, muted, atol=0.01)
    torch.testing.assert_close(
        (changed * weights).sum(1), (muted * weights).sum(1), atol=1e-4, rtol=0
    )


def test_visual_noise_has_the_deviation_of_the_settings():
    gray = torch.full((400, 1, 16, 16), 0.5)
    found = change(gray, _visual(noise=0.1), _generator()).std(dim=(1, 2, 3))
    assert found.max() == pytest.approx(0.1, rel=0.15)
    assert found.mean() == pytest.approx(0.05, rel=0.1)


def test_visual_blur_keeps_the_mean_and_smooths():
    changed = change(IMAGES, _visual(blur=2.0), _generator())
    torch.testing.assert_close(changed.mean(), IMAGES.mean(), atol=0.02, rtol=0)
    # Deviations are drawn from 0 on: the weakest blur is none.
    assert changed.std(dim=(1, 2, 3)).mean() < 0.7 * IMAGES.std(dim=(1, 2, 3)).mean()
    assert (changed.std(dim=(1, 2, 3)) <= IMAGES.std(dim=(1, 2, 3))).all()


def test_equalized_levels_are_those_of_torchvision():
    functional = pytest.importorskip("torchvision.transforms.v2.functional")
    from holdfast.data.augment_random import _equalized

    levels = torch.rand(2, 3, 255, 256, generator=_generator()) ** 2
    photo = (levels * 255).to(torch.uint8)
    # torchvision divides counts by whole numbers.
    ours = _equalized(photo / 255) * 255
    assert (ours - functional.equalize(photo).float()).abs().max() <= 2


def test_rare_more_is_more_for_classes_below_an_equal_share_only():
    config = AugmentationConfig(classes="rare_more")
    strength = class_strength(torch.tensor([3000.0, 985.0, 0.0, 60.0, 20.0]), config)
    assert strength[:3].tolist() == pytest.approx([1, 1.0078, 1], abs=5e-3)
    assert 1 < strength[1] < strength[3] <= strength[4] <= 2
    assert class_strength(torch.full((4,), 7.0), config).tolist() == [1, 1, 1, 1]


def test_rare_only_changes_no_class_of_a_balanced_set():
    config = AugmentationConfig(classes="rare_only")
    assert class_strength(torch.full((4,), 7.0), config).tolist() == [0, 0, 0, 0]
    assert class_strength(torch.tensor([100.0, 80.0, 20.0]), config).tolist() == [0, 0, 1]


def _targets():
    return torch.eye(6)


def _tagged():
    """Return images whose channels say what their target says."""
    return _targets()[:, :, None, None].expand(6, 6, 10, 14).clone(), _targets()


@pytest.mark.parametrize("blend", [mix, cut_and_mix])
@pytest.mark.parametrize("seed", range(6))
def test_joined_targets_say_how_much_of_each_image_there_is(blend, seed):
    images, targets = _tagged()
    joined, said = blend(images, targets, 0.8, _generator(seed))
    torch.testing.assert_close(joined.mean(dim=(2, 3)), said)
    torch.testing.assert_close(said.sum(dim=1), torch.ones(6))


def test_mix_has_one_blend_for_all_pixels_and_cut_has_whole_ones():
    images, targets = _tagged()
    blended, _ = mix(images, targets, 0.8, _generator())
    torch.testing.assert_close(blended.std(dim=(2, 3)), torch.zeros(6, 6), atol=1e-6, rtol=0)
    cut, _ = cut_and_mix(images, targets, 0.8, _generator())
    assert set(cut.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("blend", [mix, cut_and_mix])
def test_join_with_a_share_of_one_or_none_is_one_of_the_images(blend):
    images, targets = _tagged()
    # So weak that the beta distribution has all of its mass at both ends.
    joined, said = blend(images, targets, 1e-3, _generator(3))
    order = said.argmax(dim=1)
    torch.testing.assert_close(said, targets[order], atol=1e-4, rtol=0)
    torch.testing.assert_close(joined, images[order], atol=1e-4, rtol=0)


@pytest.mark.parametrize("policy", ["slight+mixup", "cutmix"])
def test_join_leaves_images_of_no_strength_and_their_targets(policy):
    config = AugmentationConfig(policy=policy, mixing=MixingConfig(strength=1.0))
    images, targets = _tagged()
    chosen = torch.tensor([0.0, 1.0, 1.0, 0.0, 1.0, 0.0])
    joined, said = join(images, targets, config, _generator(), chosen)
    assert torch.equal(joined[chosen == 0], images[chosen == 0])
    assert torch.equal(said[chosen == 0], targets[chosen == 0])
    assert not torch.equal(said[chosen == 1], targets[chosen == 1])


def test_join_without_a_join_is_what_came():
    images, targets = _tagged()
    joined, said = join(images, targets, _policy("geometric"), _generator())
    assert joined is images
    assert said is targets


def test_policy_from_json_makes_the_same_images():
    digits = torch.from_numpy(load_digits().images[:64, None]).float() / 16
    made = AugmentationConfig(
        policy="visual+geometric", geometric=GeometricConfig(turn=12.0), classes="rare_only"
    )
    read = AugmentationConfig.from_json(made.as_json())
    assert torch.equal(change(digits, made, _generator()), change(digits, read, _generator()))


@pytest.mark.parametrize("policy", POLICIES)
def test_change_by_threads_is_change_by_one_and_leaves_their_number(policy, monkeypatch):
    monkeypatch.setattr(
        "holdfast.data.augment._PIECE", dict.fromkeys(("cpu", "randaugment"), BYTES[:1].numel())
    )
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        by_threads = change(BYTES, _policy(policy), _generator())
        assert torch.get_num_threads() == 3
        torch.set_num_threads(1)
        assert torch.equal(change(BYTES, _policy(policy), _generator()), by_threads)
    finally:
        torch.set_num_threads(before)
