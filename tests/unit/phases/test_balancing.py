from holdfast.data.augment_settings import AugmentationConfig
from holdfast.data.triggers import Trigger
from holdfast.learning.settings import ImbalanceConfig, LearningConfig
from holdfast.phases.balancing import settled, with_targets
from holdfast.query.budget import QueryConfig

UNEVEN = Trigger(name="uneven", class_id=None, value=9.0, lacking=0, since=1)
SCARCE = Trigger(name="scarce", class_id=1, value=0.1, lacking=7, since=1)
NAMES = ("ant", "bee", "cat")


def test_with_targets_raises_what_the_recipe_wants_and_never_lowers_it():
    config = QueryConfig(budget=20, at_least={"ant": 5, "bee": 2})
    raised = with_targets(config, {0: 3, 1: 6, 2: 4}, NAMES)
    assert raised.at_least == {"ant": 5, "bee": 6, "cat": 4}


def test_with_targets_stays_within_at_most_and_the_budget():
    config = QueryConfig(budget=10, at_least={"ant": 5}, at_most={"bee": 3})
    assert with_targets(config, {1: 8, 2: 8}, NAMES).at_least == {"ant": 5, "bee": 3, "cat": 2}


def test_settled_open_sampling_follows_the_trigger():
    assert settled(LearningConfig(), ()).imbalance.class_balance == 0.0
    assert settled(LearningConfig(), (UNEVEN,)).imbalance.class_balance == 1.0


def test_settled_sampling_that_a_recipe_names_stays():
    for imbalance in (ImbalanceConfig(class_balance=0.3), ImbalanceConfig(sampling="progressive")):
        config = LearningConfig(imbalance=imbalance)
        assert settled(config, ()).imbalance == imbalance
        assert settled(config, (UNEVEN,)).imbalance == imbalance


def test_settled_scarce_classes_are_augmented_more_where_the_policy_can():
    assert settled(LearningConfig(), (SCARCE,)).augmentation.classes == "rare_more"
    assert settled(LearningConfig(), (UNEVEN,)).augmentation.classes == "all"
    for augmentation in (
        AugmentationConfig(policy="none"),
        AugmentationConfig(classes="rare_only"),
    ):
        config = LearningConfig(augmentation=augmentation)
        assert settled(config, (SCARCE,)).augmentation == augmentation
