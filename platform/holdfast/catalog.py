"""Names a config may use, and where the code for each lives. Loaded on use."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Any

from holdfast.errors import ConfigError

CATALOG: dict[str, dict[str, str]] = {
    "annotation.oracle": {
        "csv": "holdfast.annotation.csv_files:CsvOracle",
        "simulated": "holdfast.annotation.simulated:SimulatedOracle",
    },
    "query.strategy": {
        "entropy": "holdfast.query.uncertainty:EntropyStrategy",
        "least_confidence": "holdfast.query.uncertainty:LeastConfidenceStrategy",
        "margin": "holdfast.query.uncertainty:MarginStrategy",
        "minority": "holdfast.query.minority:MinorityStrategy",
        "novelty": "holdfast.query.diversity:NoveltyStrategy",
        "random": "holdfast.query.strategy:RandomStrategy",
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


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return `did you mean X?`, or the list of what is known."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else f"choose one of: {', '.join(names)}"
