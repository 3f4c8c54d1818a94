"""The shape of the repository, where a slip would break things far away."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

from holdfast.catalog import CATALOG, load

ROOT = Path(__file__).parents[2]
SOURCES = sorted([*ROOT.glob("platform/holdfast/**/*.py"), *ROOT.glob("flows/*.py")])


def test_platform_folder_holds_no_module() -> None:
    # It would shadow the standard library's `platform` and break `import uuid`.
    assert not list((ROOT / "platform").glob("*.py"))


def test_packages_of_the_wheel_are_those_of_the_tree() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    declared = settings["tool"]["setuptools"]["packages"]
    found = {
        ".".join(path.parent.relative_to(ROOT / "platform").parts)
        for path in ROOT.glob("platform/holdfast/**/__init__.py")
    }
    assert set(declared) == found | {"holdfast.flows"}


def test_lock_file_names_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert not re.findall(r"\w+://|--index-url|--find-links", lock)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_file_stays_within_its_duty(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 400
    assert ast.get_docstring(ast.parse(text))


@pytest.mark.parametrize(
    ("setting", "name"), [(setting, name) for setting, names in CATALOG.items() for name in names]
)
def test_catalog_entry_can_be_loaded(setting: str, name: str) -> None:
    assert callable(load(setting, name))
