"""What follows a verb of a command: `holdfast versions diff A B`."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.errors import ConfigError


def operands(
    command: str, verb: str, given: Sequence[str], expected: Sequence[str]
) -> Sequence[str]:
    """Return what was given, if it is as many as the verb takes.

    Parameters
    ----------
    expected : sequence of str
        Names of what it takes; one that ends in `...` stands for one or more.

    Raises
    ------
    ConfigError
        If it is more or fewer.

    Examples
    --------
    >>> operands("versions", "diff", ["round-1", "latest"], ("A", "B"))
    ['round-1', 'latest']
    """
    many = bool(expected) and expected[-1].endswith("...")
    if len(given) == len(expected) or (many and len(given) > len(expected)):
        return given
    usage = " ".join(("holdfast", command, verb, *expected))
    got = f"{len(given)} ({' '.join(given)})" if given else "none"
    raise ConfigError(
        f"`{usage}` takes {len(expected) or 'no'}{' or more' if many else ''} "
        f"{'name' if len(expected) == 1 else 'names'} after {verb}, not {got}"
    )
