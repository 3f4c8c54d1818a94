"""Policies as settings."""

import json

import pytest

from holdfast.config import parse
from holdfast.data.augment_settings import (
    CHANGES,
    JOINS,
    AlbumentationsConfig,
    AugmentationConfig,
    GeometricConfig,
    MixingConfig,
    RandAugmentConfig,
)
from holdfast.errors import ConfigError


def test_policy_runs_its_changes_in_one_order_whatever_the_order_of_names():
    one, two = (
        AugmentationConfig(policy=name) for name in ("cutmix+visual+slight", "visual+slight")
    )
    assert one.changes == two.changes == ("slight", "visual")
    assert (one.join, two.join) == ("cutmix", None)


def test_policy_none_changes_nothing():
    config = AugmentationConfig(policy="none")
    assert (config.changes, config.join) == ((), None)


@pytest.mark.parametrize(
    "config",
    [
        AugmentationConfig(),
        AugmentationConfig(policy="none"),
        AugmentationConfig(policy="geometric", geometric=GeometricConfig(turn=0.1 + 0.2)),
        AugmentationConfig(policy="randaugment+cutmix", mixing=MixingConfig(strength=2.0)),
        AugmentationConfig(
            policy="albumentations", albumentations=AlbumentationsConfig(pipeline="{}")
        ),
    ],
)
def test_policy_from_json_is_the_policy(config):
    assert AugmentationConfig.from_json(config.as_json()) == config


def test_policy_as_json_holds_the_parameters_it_uses_and_no_others():
    said = json.loads(AugmentationConfig(policy="geometric+mixup").as_json())
    assert sorted(said) == ["classes", "geometric", "mixing", "policy"]
    assert said["geometric"]["turn"] == 30.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "3",
        '{"policy": "best"}',
        '{"turn": 3}',
        '{"policy": "slight", "mixing": {"a": 1}}',
    ],
)
def test_policy_from_other_text_is_an_error(text):
    with pytest.raises(ConfigError):
        AugmentationConfig.from_json(text)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ('policy = "fancy"', "names 'fancy'"),
        ('policy = ""', "names ''"),
        ('policy = "none+visual"', "names 'none'"),
        ('policy = "visual+visual"', "twice"),
        ('policy = "mixup+cutmix"', "keep one"),
        ('policy = "visual"\ngeometric = {turn = 3}', "geometric has no effect"),
        ("mixing = {strength = 1}", "mixing has no effect"),
        ('policy = "none"\nclasses = "rare_only"', "classes has no effect"),
        ('policy = "mixup"\nclasses = "rare_more"', "knows no more or less"),
        ('policy = "albumentations"', "pipeline is empty"),
        ('policy = "geometric"\ngeometric = {turn = 181}', "turn should be between 0 and 180"),
        ('policy = "geometric"\ngeometric = {smallest = 2, largest = 1}', "swap them"),
        ('policy = "visual"\nvisual = {blur = 3}', "blur should be between 0 and 2"),
        ('policy = "randaugment"\nrandaugment = {operations = 0}', "operations should be"),
        ('policy = "cutmix"\nmixing = {strength = 0}', "strength should be 0.001 or more"),
    ],
)
def test_settings_that_cannot_work_are_errors_at_load(settings, said):
    with pytest.raises(ConfigError, match=said):
        parse(f"[learning.augmentation]\n{settings}\n")


@pytest.mark.parametrize("name", [*CHANGES, *JOINS])
def test_every_name_may_stand_in_a_recipe(name):
    text = f'[learning.augmentation]\npolicy = "{name}"\n'
    if name == "albumentations":
        text += '[learning.augmentation.albumentations]\npipeline = "{}"\n'
    assert parse(text).learning.augmentation.policy == name


def test_randaugment_settings_of_the_paper_are_the_defaults():
    assert RandAugmentConfig() == RandAugmentConfig(operations=2, magnitude=9.0)
