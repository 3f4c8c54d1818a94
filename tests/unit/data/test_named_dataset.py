"""A data set by its name: what it is made with, and what is wrong where it cannot be made."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.data.named_dataset import open_dataset, read_arguments, record_name
from holdfast.errors import IngestError

MODULE = """
import collections

class Pairs:
    def __init__(self, size=2, *, fail=False):
        if fail:
            raise RuntimeError("not found.\\nYou can download it")
        self.size = size
    def __len__(self):
        return self.size
    def __getitem__(self, row):
        return row, row

ready = Pairs(3)
number = 7
def nothing(root): return None
def named(): return {"a": 1}
class inner: Deep = Pairs
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "sets_here.py").write_text(MODULE)
    (tmp_path / "sets_broken.py").write_text("1 / 0")
    (tmp_path / "sets_needing.py").write_text("import not_there_at_all")
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield tmp_path
    assert sys.path == path
    for name in ("sets_here", "sets_broken", "sets_needing"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("name", "arguments", "size"),
    [
        ("sets_here:Pairs", {}, 2),
        ("sets_here:Pairs", {"size": 5}, 5),
        ("sets_here:inner.Deep", {"size": 1}, 1),
        ("sets_here:ready", {}, 3),
    ],
)
def test_dataset_is_made_from_a_module_in_the_working_directory(name, arguments, size):
    assert len(open_dataset(name, arguments)) == size


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("qqzzxx:Pairs", {}, "there is no module qqzzxx; install the package it belongs to"),
        ("numpi:Pairs", {}, "there is no module numpi; did you mean numpy?"),
        ("json.nothing:Pairs", {}, "there is no module json.nothing; look at its spelling"),
        ("sets_needing:Pairs", {}, "sets_needing needs the module not_there_at_all"),
        ("sets_broken:Pairs", {}, "cannot be imported: ZeroDivisionError: division by zero"),
        ("sets_here:Pears", {}, "sets_here has no Pears; did you mean Pairs?"),
        ("sets_here:xyz", {}, "sets_here has no xyz; it has Pairs, "),
        (
            "sets_here:Pairs",
            {"sise": 1},
            "argument 'sise'; did you mean size, not sise?; it takes (size=2, fail=False); ",
        ),
        ("sets_here:nothing", {}, "missing a required argument: 'root'; it takes (root); give it"),
        ("sets_here:Pairs", {"fail": True}, "failed with RuntimeError: not found; it takes (size"),
        ("sets_here:nothing", {"root": 1}, "gives a NoneType but must give a data set"),
        ("sets_here:named", {}, "gives a dict but must give a data set"),
        ("sets_here:number", {}, "gives a int but must give a data set"),
        ("sets_here:ready", {"a": 1}, "is a Pairs, not something to call"),
    ],
)
def test_dataset_that_cannot_be_made_is_one_line_that_says_why(name, arguments, message):
    with pytest.raises(IngestError) as wrong:
        open_dataset(name, arguments)
    assert message in str(wrong.value)
    assert "\n" not in str(wrong.value)


def test_file_here_does_not_stand_in_for_an_installed_module(here):
    (here / "colorsys.py").write_text("1 / 0")
    sys.modules.pop("colorsys", None)
    with pytest.raises(IngestError, match="gives a float"):
        open_dataset("colorsys:ONE_THIRD", {})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1", 1),
        ("a=true", True),
        ("a=True", "True"),
        ("a=/data/x=y", "/data/x=y"),
        ("a=2026-01-01", "2026-01-01"),
        ("a=", ""),
        ("a='1'", "1"),
        ("a=[3, 8, 8]", [3, 8, 8]),
        ("a=1\nb=2", "1\nb=2"),
    ],
)
def test_value_is_a_toml_literal_or_the_text(text, value):
    assert read_arguments([text]) == {"a": value}


@pytest.mark.parametrize("given", [["root"], ["=1"], ["a b=1"], ["a=1", "a=2"]])
def test_argument_without_a_name_or_twice_is_refused(given):
    with pytest.raises(IngestError, match="--with"):
        read_arguments(given)


def test_record_name_does_not_depend_on_the_order():
    assert record_name("m:D", {"b": 1, "a": "x"}) == record_name("m:D", {"a": "x", "b": 1})
