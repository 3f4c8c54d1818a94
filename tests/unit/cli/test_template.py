import dataclasses
import re
import tomllib

from holdfast.cli.template import template
from holdfast.config import Config, parse


def test_template_reads_as_the_defaults():
    assert parse(template()) == Config()


def test_template_names_every_setting_under_its_section():
    written = tomllib.loads(template())
    for field in dataclasses.fields(Config):
        default = getattr(Config(), field.name)
        if not dataclasses.is_dataclass(default):
            assert written[field.name] == default
            continue
        for inner in dataclasses.fields(default):
            is_set = getattr(default, inner.name) is not None
            assert (inner.name in written[field.name]) == is_set
            assert is_set or f"\n# {inner.name} =" in template()


def test_template_explains_every_setting():
    lines = template().splitlines()
    settings = [n for n, line in enumerate(lines) if re.match(r"(# )?\w+ =", line)]
    unexplained = [lines[n] for n in settings if not lines[n - 1].startswith("# ")]
    assert unexplained == []
