"""Pipelines of albumentations as a policy."""

import json
import os
import sys

import pytest
import torch

from holdfast.data.augment import change
from holdfast.data.augment_settings import AlbumentationsConfig, AugmentationConfig
from holdfast.errors import ConfigError, MissingExtraError

BYTES = torch.randint(0, 256, (6, 3, 16, 12), generator=torch.Generator().manual_seed(1)).byte()


def _policy(pipeline):
    return AugmentationConfig(
        policy="albumentations", albumentations=AlbumentationsConfig(pipeline=pipeline)
    )


def _text(*transforms):
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    library = pytest.importorskip("albumentations")
    made = [getattr(library, name)(**settings) for name, settings in transforms]
    return json.dumps(library.to_dict(library.Compose(made)))


def _generator(seed=5):
    return torch.Generator().manual_seed(seed)


def test_pipeline_does_what_the_library_does():
    config = _policy(_text(("HorizontalFlip", {"p": 1})))
    assert torch.equal(change(BYTES, config, _generator()), BYTES.flip(3))
    gray = BYTES[:, :1]
    assert torch.equal(change(gray, config, _generator()), gray.flip(3))


def test_pipeline_draws_from_the_generator_and_leaves_images_of_no_strength():
    config = _policy(_text(("Affine", {"rotate": (-30, 30), "p": 1})))
    strength = torch.tensor([1.0, 0.0] * 3)
    one, two = (change(BYTES, config, _generator(), strength) for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(one[1::2], BYTES[1::2])
    assert not torch.equal(one[::2], BYTES[::2])
    assert not torch.equal(
        change(BYTES, config, _generator(6)), change(BYTES, config, _generator())
    )


def test_pipeline_that_is_none_or_resizes_is_an_error():
    pytest.importorskip("albumentations")
    for text in ("{}", "flip", '{"transform": {"__class_fullname__": "os.system"}}'):
        with pytest.raises(ConfigError, match="no pipeline that albumentations can read"):
            change(BYTES, _policy(text), _generator())
    with pytest.raises(ConfigError, match="leave out what crops or resizes"):
        change(BYTES, _policy(_text(("Resize", {"height": 8, "width": 8}))), _generator())


def test_pipeline_without_the_extra_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "albumentations", None)
    with pytest.raises(MissingExtraError, match=r"holdfast\[albumentations\]"):
        change(BYTES, _policy("{}"), _generator())
