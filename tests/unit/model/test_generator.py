"""A generator of small images: the same again, and its limits."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from holdfast.data.synthetic_settings import SyntheticConfig
from holdfast.errors import ConfigError, MissingExtraError
from holdfast.model import generator

pytest.importorskip("diffusers")

CONFIG = SyntheticConfig(per_class=4, steps=3, width=8)


def _images(num=12, channels=1, side=8):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (num, channels, side, side), np.uint8)
    return images, np.arange(num, dtype=np.int64) % 2 * 5 + 2


def _teach(seed=1, *, images=None, labels=None, config=CONFIG, told=None):
    if images is None:
        images, labels = _images()
    return generator.teach(
        images,
        labels,
        np.ones(len(labels), np.float32),
        config=config,
        device="cpu",
        rng=np.random.default_rng(seed),
        told=told,
    )


def _draw(taught, classes, seed=2):
    wanted = np.array(classes, np.int64)
    return generator.draw(taught, wanted, device="cpu", rng=np.random.default_rng(seed))


def test_teach_twice_gives_the_same_weights_whatever_the_global_state():
    torch.manual_seed(5)
    first = _teach()
    torch.manual_seed(6)
    before = torch.get_rng_state()
    again = _teach()
    assert torch.equal(torch.get_rng_state(), before)
    assert first.sha256 == again.sha256
    assert _teach(seed=2).sha256 != first.sha256


def test_draw_twice_gives_the_same_images_and_another_seed_others():
    taught = _teach()
    first, again, other = (_draw(taught, [2, 7, 7], seed) for seed in (2, 2, 3))
    assert first.dtype == np.uint8
    assert first.shape == (3, 1, 8, 8)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_draw_of_a_class_it_was_not_taught_names_it():
    with pytest.raises(ValueError, match=r"taught \(2, 7\), not \[3\]"):
        _draw(_teach(), [3, 2])


def test_draw_of_nothing_gives_no_image():
    assert _draw(_teach(), []).shape == (0, 1, 8, 8)


@pytest.mark.parametrize(("channels", "side"), [(3, 8), (1, 9), (1, 12), (3, 16)])
def test_generator_takes_color_and_any_side(channels, side):
    images, labels = _images(channels=channels, side=side)
    taught = _teach(images=images, labels=labels)
    assert _draw(taught, [2]).shape == (1, channels, side, side)


def test_teach_of_images_that_are_too_large_says_what_to_do():
    images, labels = _images(num=2, side=65)
    with pytest.raises(ConfigError, match=r"64 pixels at most, but data.image_size is 65; set"):
        _teach(images=images, labels=labels)


def test_teach_never_looks_at_images_of_weight_zero():
    images, labels = _images()
    others = images.copy()
    others[6:] = 0
    weights = np.repeat(np.float32([1, 0]), 6)
    seen = [
        generator.teach(
            one, labels, weights, config=CONFIG, device="cpu", rng=np.random.default_rng(1)
        ).sha256
        for one in (images, others)
    ]
    assert seen[0] == seen[1]


def test_teach_tells_each_step():
    told = []
    _teach(told=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.slow
def test_generator_draws_the_brightness_of_each_class():
    labels = np.repeat(np.arange(2), 20)
    noise = np.random.default_rng(0).integers(0, 40, (40, 1, 8, 8))
    images = (labels[:, None, None, None] * 180 + noise).astype(np.uint8)
    taught = _teach(images=images, labels=labels, config=SyntheticConfig(steps=400, width=8))
    drawn = _draw(taught, [0] * 8 + [1] * 8)
    assert drawn[:8].mean() + 60 < drawn[8:].mean()


def test_generator_without_the_extra_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "diffusers.models.unets.unet_2d", None)
    with pytest.raises(MissingExtraError, match=r"holdfast\[generative\]"):
        _teach()


def test_importing_the_rounds_imports_no_diffusers():
    code = (
        "import sys, holdfast.phases.learn; "
        "sys.exit(any(name.startswith('diffusers') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
