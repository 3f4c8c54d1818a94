"""One run as a frozen tree, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.config import Config, load, parse
from holdfast.errors import ConfigError

RECIPES = Path(__file__).parents[2] / "deployments" / "recipes"


def test_empty_text_gives_the_defaults() -> None:
    assert parse("") == Config()


def test_digest_of_equal_settings_is_equal_and_of_others_is_not() -> None:
    assert parse("seed = 0").digest() == Config().digest()
    assert parse("seed = 1").digest() != Config().digest()
    assert parse("[query]\nbudget = 7").digest() != Config().digest()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sed = 1", "unknown key sed; did you mean seed?"),
        ("[query]\nbudgte = 5", "unknown key query.budgte; did you mean budget?"),
        ("[query]\nbudget = 'many'", "query.budget should be a whole number"),
        ("[query]\nbudget = 2.5", "query.budget should be a whole number"),
        ("[query]\nbudget = true", "query.budget should be a whole number"),
        ("[query]\nstrategy = 'margn'", "did you mean margin?"),
        ("query = 3", r"write \[query\] above"),
        ("[data]\nclasses = 'cat'", "data.classes should be a list"),
        ("[data]\nclasses = [1]", "data.classes should be text in quotes"),
        ("[network]\nprecision = 'float16'", "bfloat16"),
        ("[annotation]\ntruth = 'x.csv'", "no effect"),
        ("[gate]\nclass_budgets = 3", "gate.class_budgets should be a table"),
        ("[gate.class_budgets]\ncat = 'much'", "gate.class_budgets.cat should be a number"),
        ("[gate.class_budgets]\ncat = 2.0", "gate.class_budgets.cat should lie between"),
        ("seed = -1", "seed should be 0 or more"),
        ("seed = ", "not valid TOML"),
    ],
)
def test_wrong_setting_is_named_with_what_to_do(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(text)


def test_whole_number_is_accepted_where_a_number_is_wanted() -> None:
    assert parse("[query]\nshare_random = 0").query.share_random == 0.0


def test_table_of_class_names_is_read_as_numbers() -> None:
    config = parse('[gate.class_budgets]\n"stop sign" = 0\ndog = 0.1')
    assert config.gate.class_budgets == {"stop sign": 0.0, "dog": 0.1}
    assert config.digest() != parse("").digest()


def test_missing_file_is_an_error_that_names_init(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holdfast init"):
        load(tmp_path)


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.name)
def test_recipe_that_ships_is_valid(recipe: Path) -> None:
    assert isinstance(load(recipe), Config)


def test_digest_leaves_addresses_out() -> None:
    moved = """
    [web]
    port = 9000
    [ledger]
    url = "sqlite:///elsewhere.db"
    [annotation.label_studio]
    url = "https://labels.example.org"
    token_file = "token"
    """
    assert parse(moved).digest() == Config().digest()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[web]\nhost = "0.0.0.0"', "say in web.url how others reach this machine"),
        ('[annotation.label_studio]\nurl = "localhost"', "expected a URL"),
        ('[annotation.label_studio]\nimages = "local-files"', "names the folder"),
        ("[learning]\naugment = true", "no setting any more; remove the line"),
        ('[data]\nclasses = ["a"]\nretired = ["a"]', "both name 'a'"),
    ],
)
def test_setting_that_cannot_work_says_what_to_do(text: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        parse(text)


def test_synthetic_images_are_off_and_their_settings_are_checked():
    assert Config().learning.synthetic.per_class == 0
    with pytest.raises(ConfigError, match=r"learning\.synthetic\.share should be above 0"):
        parse("[learning.synthetic]\nshare = 1.0")
    with pytest.raises(ConfigError, match="a multiple of 8, at least 8, not 12"):
        parse("[learning.synthetic]\nwidth = 12")


def test_synthetic_images_of_large_images_or_in_a_stream_are_an_error():
    with pytest.raises(ConfigError, match=r"64 pixels at most, but data\.image_size is 224"):
        parse("[data]\nimage_size = 224\n[learning.synthetic]\nper_class = 10")
    assert parse("[data]\nimage_size = 224\n[learning.synthetic]\nsteps = 9")
    with pytest.raises(ConfigError, match=r"set learning\.synthetic\.per_class to 0"):
        parse("[learning]\nstream = true\nreplay_share = 0.5\nsynthetic.per_class = 10")
