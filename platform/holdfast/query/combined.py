"""The strategy that a formula describes.

Shape suffixes: n candidates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from holdfast.query.formula import Formula
from holdfast.query.strategy import Candidates, QueryStrategy, Scores
from holdfast.query.uncertainty import product_of, weighted_sum_of


@dataclass(frozen=True, slots=True)
class CombinedStrategy:
    """Measures combined as a formula says, by modAL's product and linear combination.

    A formula that is a single name gives exactly the scores of that measure.

    Attributes
    ----------
    formula : Formula
    measures : mapping of str to QueryStrategy
        One for every name in the formula; each is asked once, however often it is named.

    References
    ----------
    .. [1] Danka and Horvath, "modAL: A modular active learning framework for Python", 2018.
    """

    formula: Formula
    measures: Mapping[str, QueryStrategy]

    def scores(self, candidates: Candidates, rng: np.random.Generator) -> Scores:
        """Return the formula's value, in [0, 1]; time of the measures and O(n) for each."""
        return self.combine(self.parts(candidates, rng))

    def parts(self, candidates: Candidates, rng: np.random.Generator) -> dict[str, Scores]:
        """Return the score that every measure gives each candidate, by its name."""
        return {name: self.measures[name].scores(candidates, rng) for name in self.formula.names}

    def combine(self, parts: Mapping[str, Scores]) -> Scores:
        """Return the formula's value, shape (N,), from its parts."""
        products = [
            product_of(
                [parts[factor.name] for factor in product.factors],
                [factor.exponent for factor in product.factors],
            )
            for product in self.formula.products
        ]
        weights = [product.weight for product in self.formula.products]
        # The weights sum to 1 only nearly.
        return np.clip(weighted_sum_of(products, weights), 0.0, 1.0)
