"""The commented `holdfast.toml`, made from the config classes and their docstrings."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import textwrap
from typing import Any

from holdfast.config import Config

_WIDTH = 88
_HEAD = (
    "Settings of this Holdfast project. Each line shows the default; a line left out means "
    "the same. What is learned is kept beside this file, in .holdfast/."
)


def template() -> str:
    """Return a config file that explains every setting and reads as the defaults."""
    config = Config()
    lines = [*_comment(_HEAD), "", *_settings(config), *_sections(config, "")]
    return "\n".join(lines) + "\n"


def _sections(parent: Any, prefix: str) -> list[str]:
    """Return the lines of the sections of a section, and of theirs."""
    lines = []
    for field in dataclasses.fields(parent):
        section = getattr(parent, field.name)
        if dataclasses.is_dataclass(section):
            name = f"{prefix}{field.name}"
            lines += ["", "", *_comment(_summary(section)), f"[{name}]", *_settings(section)]
            lines += _sections(section, f"{name}.")
    return lines


def _settings(section: Any) -> list[str]:
    """Return the lines of a section's own settings."""
    explained = _attributes(section)
    lines = []
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            continue
        lines += ["", *_comment(explained.get(field.name, ""))]
        # TOML has no null: what is not set is left out.
        lines.append(f"# {field.name} =" if value is None else f"{field.name} = {_toml(value)}")
    return lines


def _toml(value: object) -> str:
    """Write a value as TOML; for text, numbers, booleans and lists JSON is TOML."""
    return json.dumps(value, ensure_ascii=False)


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), _WIDTH)]


def _summary(section: object) -> str:
    return (inspect.getdoc(type(section)) or "").split("\n\n")[0]


def _attributes(section: object) -> dict[str, str]:
    """Read the `Attributes` of a numpydoc docstring: what it says about each name."""
    doc = inspect.getdoc(type(section)) or ""
    body = re.search(r"^Attributes\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", doc, re.M | re.S)
    found: dict[str, str] = {}
    entry = re.compile(r"^(\w+(?:, \w+)*) : [^\n]*\n((?:[ ]+[^\n]*\n?|\n)*)", re.M)
    for names, text in entry.findall(body[1] + "\n" if body else ""):
        found |= dict.fromkeys(names.split(", "), text)
    return found
