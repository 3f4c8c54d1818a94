"""The page about the audit's cut says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.label_quality import make_parser
from holdfast.config import parse
from holdfast.quality import candidates, label_noise
from holdfast.quality.settings import CUTS

PAGE = Path(__file__).parents[2] / "docs" / "how-the-audit-cuts.md"


def test_examples_on_the_page_are_read_and_show_every_cut() -> None:
    blocks = re.findall(r"```toml\n(.*?)```", _text(), re.S)
    assert {parse(block).audit.cut for block in blocks} == set(CUTS)


def test_numbers_on_the_page_are_those_of_the_code() -> None:
    said = " ".join(_text().split())
    least, most = label_noise._LEAST_SHARP, label_noise._SHARPEST
    assert f"between {least:g} and {most:g}" in said
    assert candidates.CANDIDATES == 10
    assert "ten likeliest classes" in said
    assert label_noise._OVERCONFIDENCE == 3
    assert "three times as often as the model says" in said


def test_command_on_the_page_is_one_the_benchmark_reads() -> None:
    (command,) = re.findall(r"python -m benchmarks\.label_quality (.*)", _text())
    options = make_parser().parse_args(command.split())
    assert options.scale == (1_000_000, 100)


def _text() -> str:
    return PAGE.read_text(encoding="utf-8")
