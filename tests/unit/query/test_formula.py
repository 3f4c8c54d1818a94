import subprocess
import sys

import pytest

from holdfast import catalog
from holdfast.config import parse
from holdfast.errors import ConfigError
from holdfast.query.formula import parse_formula


def shape(text):
    return [
        (round(product.weight, 6), [(one.name, one.exponent) for one in product.factors])
        for product in parse_formula(text).products
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("margin", [(1.0, [("margin", 1.0)])]),
        (
            "margin * minority^0.5*density ^ .2",
            [(1.0, [("margin", 1.0), ("minority", 0.5), ("density", 0.2)])],
        ),
        ("0.7 * margin + 0.3 * novelty", [(0.7, [("margin", 1.0)]), (0.3, [("novelty", 1.0)])]),
        ("margin + novelty", [(0.5, [("margin", 1.0)]), (0.5, [("novelty", 1.0)])]),
        (
            "3*margin*minority^2e0 + novelty",
            [(0.75, [("margin", 1.0), ("minority", 2.0)]), (0.25, [("novelty", 1.0)])],
        ),
    ],
)
def test_formula_is_read_as_weights_names_and_exponents(text, expected):
    assert shape(text) == expected


def test_formula_names_each_measure_once_in_order():
    formula = parse_formula("0.5*novelty*margin + 0.5*margin^2")
    assert formula.names == ("novelty", "margin")


def test_formula_weights_only_count_relative_to_each_other():
    assert shape("2*margin + 6*novelty") == shape("0.1*margin + 0.3*novelty")


@pytest.mark.parametrize(
    ("text", "said", "at"),
    [
        ("", "expected a name, not the end", 1),
        ("margin * ", 'expected a name after "*", not the end', 10),
        ("margin * * novelty", 'expected a name after "*", not "*"', 10),
        ("margin novelty", 'expected "+", "*" or "^" after "margin", not "novelty"', 8),
        ("margin^2^2", 'expected "+" or "*" after "2", not "^"', 9),
        ("margin^novelty", 'expected a number after "^", not "novelty"', 8),
        ("margin^0", "the exponent should be above 0 and at most 10, not 0", 8),
        ("margin^50", "the exponent should be above 0 and at most 10, not 50", 8),
        ("margin^-1", 'expected a number after "^", not "-"', 8),
        ("0 * margin + novelty", "the weight should be above 0, not 0", 1),
        ("1e999 * margin + novelty", "the weight should be above 0, not 1e999", 1),
        ("0.5 margin", 'expected "*" after "0.5", not "margin"', 5),
        ("0.5 * margin", "a weight has no effect on a single product", 1),
        ("margin * novelty * margin", "write margin^2", 20),
        ("(margin + novelty)", "write out what parentheses would hold", 1),
        ("margin - novelty", 'not "-"', 8),
    ],
)
def test_formula_error_names_the_setting_the_fault_and_the_place(text, said, at):
    with pytest.raises(ConfigError) as caught:
        parse_formula(text)
    assert str(caught.value).startswith("query.strategy: ")
    assert said in str(caught.value)
    assert f"(at character {at} of " in str(caught.value)


def test_config_formula_with_a_typo_suggests_the_name_and_says_where():
    with pytest.raises(ConfigError, match=r"did you mean minority.*at character 10"):
        parse("[query]\nstrategy = 'margin * minorty^0.5'")


def test_config_committee_measure_without_a_committee_says_how_to_get_one():
    with pytest.raises(ConfigError, match=r"learning\.imbalance\.ensemble to 2"):
        parse("[query]\nstrategy = 'bald * minority'")
    assert parse("[query]\nstrategy = 'bald'\n[learning.imbalance]\nensemble = 3")
    assert parse("[query]\nstrategy = 'bald'\n[network]\ndropout = 0.2")


def test_config_formula_is_read_without_heavy_libraries():
    look = (
        "import sys; from holdfast.config import parse\n"
        "parse('[query]\\nstrategy = \"margin * density^0.5\"')\n"
        "print([name for name in ('torch', 'modAL', 'sklearn', 'faiss') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_load_strategy_unknown_name_is_refused():
    with pytest.raises(ConfigError, match="is not known"):
        catalog.load_strategy("margin * certainty")
