"""What `query.strategy` may say: a measure, a product of measures, or a weighted sum.

Reading one imports no library. Grammar::

    formula = product {"+" product}
    product = [weight "*"] measure {"*" measure}
    measure = name ["^" exponent]
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.errors import ConfigError

SETTING = "query.strategy"
LARGEST_EXPONENT = 10.0
# Measures that read what a committee said.
COMMITTEE_MEASURES = frozenset({"bald", "consensus_entropy", "max_disagreement", "vote_entropy"})

_TOKEN = re.compile(
    r"\s*(?:(?P<name>[A-Za-z_]\w*)|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<sign>\S))"
)


@dataclass(frozen=True, slots=True)
class Factor:
    """A measure raised to a power.

    Attributes
    ----------
    name : str
        Of the measure, in the catalog.
    exponent : float
        Above 0.
    at : int
        Where the name stands in the text; 1 is the first character.
    """

    name: str
    exponent: float
    at: int


@dataclass(frozen=True, slots=True)
class Product:
    """Measures multiplied with each other.

    Attributes
    ----------
    weight : float
        Share in the sum, above 0; the weights of a formula sum to 1.
    factors : tuple of Factor
        At least one, each measure once.
    """

    weight: float
    factors: tuple[Factor, ...]


@dataclass(frozen=True, slots=True)
class Formula:
    """A weighted sum of products; of measures in [0, 1] it lies in [0, 1]."""

    text: str
    products: tuple[Product, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Return the measures, each once, in the order in which they are first named."""
        return tuple(dict.fromkeys(factor.name for factor in self.factors()))

    @property
    def needs_committee(self) -> bool:
        """Whether a measure reads what a committee said."""
        return not COMMITTEE_MEASURES.isdisjoint(self.names)

    def factors(self) -> Iterable[Factor]:
        """Return all factors in the order of the text."""
        return (factor for product in self.products for factor in product.factors)


def parse_formula(text: str) -> Formula:
    """Read a formula; what its names stand for is not looked at.

    Weights are divided by their sum, so that only their ratio matters. Time O(length).

    Raises
    ------
    ConfigError
        If the text is no formula, or a number in it would have no effect; says where.

    Examples
    --------
    >>> parse_formula("margin * minority^0.5").names
    ('margin', 'minority')
    >>> [product.weight for product in parse_formula("3*margin + novelty").products]
    [0.75, 0.25]
    """
    return _Reader(text).formula()


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else f'"{self.text}"'


class _Reader:
    """Reads one formula from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [
            _Token(kind, found[kind], found.start(kind) + 1)
            for found in _TOKEN.finditer(text)
            if (kind := found.lastgroup)
        ]
        self._tokens.append(_Token("end", "", len(text) + 1))
        self._next = 0

    def formula(self) -> Formula:
        """Read the whole text."""
        read = [self._product()]
        while self._took("+"):
            read.append(self._product())
        if self._now.kind != "end":
            after_name = self._tokens[self._next - 1].kind == "name"
            raise self._unexpected('"+", "*" or "^"' if after_name else '"+" or "*"')
        if len(read) == 1 and read[0][0] is not None:
            raise self._error(
                1,
                "a weight has no effect on a single product; leave it out, or add another product",
            )
        weights = [1.0 if weight is None else weight for weight, _ in read]
        total = sum(weights)
        products = tuple(
            Product(weight / total, factors)
            for weight, (_, factors) in zip(weights, read, strict=True)
        )
        return Formula(self._text, products)

    def _product(self) -> tuple[float | None, tuple[Factor, ...]]:
        weight = None
        if self._now.kind == "number":
            weight = self._number("weight", above=0.0)
            if not self._took("*"):
                raise self._unexpected('"*"')
        factors = [self._factor()]
        while self._took("*"):
            factor = self._factor()
            if factor.name in {one.name for one in factors}:
                raise self._error(
                    factor.at, f"{factor.name} stands twice in a product; write {factor.name}^2"
                )
            factors.append(factor)
        return weight, tuple(factors)

    def _factor(self) -> Factor:
        if self._now.kind != "name":
            raise self._unexpected("a name")
        name = self._take()
        exponent = 1.0
        if self._took("^"):
            exponent = self._number("exponent", above=0.0, most=LARGEST_EXPONENT)
        return Factor(name.text, exponent, name.at)

    def _number(self, what: str, *, above: float, most: float = float("inf")) -> float:
        if self._now.kind != "number":
            raise self._unexpected("a number")
        token = self._take()
        value = float(token.text)
        if not above < value <= most or value == float("inf"):
            limits = f"above {above:g}" + (f" and at most {most:g}" if most < float("inf") else "")
            raise self._error(token.at, f"the {what} should be {limits}, not {token.text}")
        return value

    @property
    def _now(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._now
        self._next += 1
        return token

    def _took(self, sign: str) -> bool:
        if self._now.kind != "sign" or self._now.text != sign:
            return False
        self._next += 1
        return True

    def _unexpected(self, wanted: str) -> ConfigError:
        after = f" after {self._tokens[self._next - 1]}" if self._next else ""
        hint = "; write out what parentheses would hold" if self._now.text in {"(", ")"} else ""
        return self._error(self._now.at, f"expected {wanted}{after}, not {self._now}{hint}")

    def _error(self, at: int, said: str) -> ConfigError:
        return ConfigError(f"{SETTING}: {said} (at character {at} of {self._text!r})")
