"""The page about data says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from holdfast.cli.parser import build_parser
from holdfast.config import parse
from holdfast.data.augment_settings import CHANGES, JOINS, NONE

PAGE = (Path(__file__).parents[2] / "docs" / "your-data-in-holdfast.md").read_text(encoding="utf-8")
SETTINGS = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
COMMANDS = re.findall(r"^holdfast ([^#\n]+)", PAGE, re.M)


@pytest.mark.parametrize("settings", SETTINGS)
def test_settings_on_the_page_can_be_read(settings: str) -> None:
    parse(settings)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_on_the_page_is_understood(command: str) -> None:
    build_parser().parse_args(command.replace("UID...", "0123abcd").split())


def test_page_names_every_policy() -> None:
    section = PAGE.partition("## Augmentation")[2]
    named = set(re.findall(r"^\| `(\w+)`(?: \(default\))? \| ", section, re.M))
    assert named == {*CHANGES, *JOINS, NONE}
