"""The page about strategies says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from holdfast.config import parse
from holdfast.errors import ConfigError
from holdfast.learning.combinations import STRATEGIES, check_strategy
from holdfast.learning.settings import LearningConfig

PAGE = Path(__file__).parents[2] / "docs" / "which-strategy-when.md"
# Every bullet of "What does not go together", as settings.
REFUSED = (
    'strategy = "replay+der"',
    'strategy = "naive+ewc"',
    'strategy = "ewc"\nbuffer = {capacity = 0}',
    'strategy = "gdumb+ewc"',
    'strategy = "joint+lwf"',
    'strategy = "scratch+si"',
    'strategy = "er_ace"',
    'strategy = "mir"',
    'strategy = "agem"',
    'strategy = "der"\naugmentation = {policy = "slight+mixup"}',
    'strategy = "er_ace"\nreplay_share = 0.5\naugmentation = {policy = "cutmix"}',
    'strategy = "gdumb"\nreplay_share = 0.5',
    'strategy = "naive"\nrehearsal = 0.5',
    "rehearsal = 0.5\nimbalance = {two_stage = 0.3}",
    'stream = true\nreplay_share = 0.5\nbuffer = {policy = "herding"}',
    "stream = true\nreplay_share = 0.5\nimbalance = {early_stopping = true}",
)


def test_table_of_strategies_is_that_of_the_code() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| yes \| yes \| (yes|no) \| yes \|$", _text(), re.M)
    assert {name: (said, balances == "yes") for name, said, balances in rows} == {
        name: (trait.summary, trait.balances) for name, trait in STRATEGIES.items()
    }


@pytest.mark.parametrize("settings", REFUSED)
def test_combination_that_does_not_work_is_an_error_at_load(settings: str) -> None:
    with pytest.raises(ConfigError, match="learning"):
        parse(f"[learning]\n{settings}\n")


def test_page_has_a_bullet_for_every_kind_of_refusal() -> None:
    section = _text().partition("## What does not go together")[2].partition("\n## ")[0]
    assert section.count("\n- ") == 8


def test_examples_on_the_page_can_be_read() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", _text(), re.S)
    assert blocks
    for block in blocks:
        check_strategy(parse(block).learning)
    assert LearningConfig().strategy == "ewc"


def _text() -> str:
    return PAGE.read_text(encoding="utf-8")
