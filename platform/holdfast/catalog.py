"""Names a config may use, and where the code for each lives. Loaded on use."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from holdfast.errors import ConfigError
from holdfast.query.formula import SETTING, Formula, parse_formula

if TYPE_CHECKING:
    from holdfast.query.combined import CombinedStrategy

CATALOG: dict[str, dict[str, str]] = {
    "annotation.oracle": {
        "csv": "holdfast.annotation.csv_files:CsvOracle",
        "label-studio": "holdfast.annotation.label_studio:LabelStudioOracle",
        "simulated": "holdfast.annotation.simulated:SimulatedOracle",
    },
    "query.strategy": {
        "bald": "holdfast.query.committee:BaldStrategy",
        "consensus_entropy": "holdfast.query.committee:ConsensusEntropyStrategy",
        "density": "holdfast.query.density:DensityStrategy",
        "entropy": "holdfast.query.uncertainty:EntropyStrategy",
        "least_confidence": "holdfast.query.uncertainty:LeastConfidenceStrategy",
        "margin": "holdfast.query.uncertainty:MarginStrategy",
        "max_disagreement": "holdfast.query.committee:MaxDisagreementStrategy",
        "minority": "holdfast.query.minority:MinorityStrategy",
        "novelty": "holdfast.query.diversity:NoveltyStrategy",
        "random": "holdfast.query.strategy:RandomStrategy",
        "vote_entropy": "holdfast.query.committee:VoteEntropyStrategy",
    },
}


def check(setting: str, name: str) -> None:
    """Raise ConfigError, with a suggestion, when the catalog does not know a name."""
    known = CATALOG[setting]
    if name not in known:
        raise ConfigError(f'{setting} is "{name}"; {suggestion(name, known)}')


def load(setting: str, name: str) -> Any:
    """Import and return what a name stands for.

    Raises
    ------
    ConfigError
        If the catalog does not know the name.
    """
    check(setting, name)
    module, _, attribute = CATALOG[setting][name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def check_strategy(text: str) -> Formula:
    """Read `query.strategy`: a name of the catalog, or a formula of such names.

    Raises
    ------
    ConfigError
        If the text is no formula, or the catalog does not know a name in it.
    """
    formula = parse_formula(text)
    known = CATALOG[SETTING]
    for factor in formula.factors():
        if factor.name not in known:
            raise ConfigError(
                f'{SETTING}: "{factor.name}" is not known; {suggestion(factor.name, known)} '
                f"(at character {factor.at} of {text!r})"
            )
    return formula


def load_strategy(text: str) -> CombinedStrategy:
    """Return the strategy that `query.strategy` describes; imports what it needs.

    Raises
    ------
    ConfigError
        As `check_strategy`.
    """
    formula = check_strategy(text)
    combined = importlib.import_module("holdfast.query.combined")
    strategy: CombinedStrategy = combined.CombinedStrategy(
        formula, {name: load(SETTING, name)() for name in formula.names}
    )
    return strategy


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `did you mean X?`, or the list of what is known."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else f"choose one of: {', '.join(names)}"
