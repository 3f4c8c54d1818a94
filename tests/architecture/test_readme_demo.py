"""The first commands of the README: the loop, live."""

from __future__ import annotations

import re

import pytest

from tests.architecture.readme import BLOCKS, ROOT, block, shell


def shape(text: str) -> list[str]:
    """The lines of an output with numbers, spaces, rules and places masked."""
    masked = re.sub(r"/\S+", "PATH", text)
    masked = re.sub(r"[+-]?\d+(\.\d+)?", "#", masked)
    masked = re.sub(r"[─━]+", "-", re.sub(r"\s+", " ", re.sub(r" *\n", "\n", masked), flags=re.A))
    return masked.split()


@pytest.mark.slow
def test_make_demo_prints_what_the_readme_shows() -> None:
    (shown,) = [text for kind, text in BLOCKS if kind == "text"]
    ran = shell(block("make demo"), ROOT)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert shape(ran.stdout) == shape(shown)
    for name in ("report.html", "report.json"):
        assert (ROOT / "demo" / name).stat().st_size > 10_000
