"""What the sources say about one image -> the given label that holds, and what contradicts it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GivenLabel:
    """The sources' word about one image.

    Attributes
    ----------
    label : str
        Class named most often; of several, the one named first. Where people are named, what
        they said counts alone.
    said : tuple of (str, str)
        (class name, annotator or "") to record, in this order: the newest given label
        holds in the ledger, so those that name `label` come last.
    contradicting : tuple of str
        Other classes that no annotator stands for. They are not recorded as labels: two
        folders that hold the same image say nothing about who is right.
    """

    label: str
    said: tuple[tuple[str, str], ...]
    contradicting: tuple[str, ...]


def settle(statements: Sequence[tuple[str, str]]) -> GivenLabel:
    """Settle what was said about one image.

    Parameters
    ----------
    statements : sequence of (str, str), not empty
        Class name, and annotator or "", in the order offered.

    Examples
    --------
    >>> settle([("cat", ""), ("dog", "")])
    GivenLabel(label='cat', said=(('cat', ''),), contradicting=('dog',))
    >>> settle([("cat", "ann"), ("dog", "bob"), ("dog", "cho")]).said
    (('cat', 'ann'), ('dog', 'bob'), ('dog', 'cho'))
    >>> settle([("cat", ""), ("cat", ""), ("dog", "ann")]).label
    'dog'
    """
    if len(statements) == 1:
        return GivenLabel(statements[0][0], tuple(statements), ())
    # most_common keeps the order of first mention among equals.
    by_people = [name for name, who in statements if who]
    label = Counter(by_people or [name for name, _ in statements]).most_common(1)[0][0]
    others = _distinct((name, who) for name, who in statements if name != label)
    agreeing = _distinct((name, who) for name, who in statements if name == label)
    return GivenLabel(
        label=label,
        said=(*((name, who) for name, who in others if who), *agreeing),
        contradicting=tuple(name for name, who in others if not who),
    )


def _distinct(statements: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(statements))
