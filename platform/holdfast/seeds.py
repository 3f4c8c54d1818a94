"""Named random generators: one seed, one independent stream per name."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return the generator of one named place in a run.

    The same seed and names always give the same stream, and streams of different
    names are independent, so adding a draw in one place changes no other place.

    Parameters
    ----------
    seed : int
        The run's seed, 0 or more.
    *names : str or int
        Where the generator is used, for example ``("query", 3)``.

    Examples
    --------
    >>> generator(0, "query", 3).integers(100) == generator(0, "query", 3).integers(100)
    True
    """
    digest = hashlib.sha256("/".join(str(name) for name in names).encode()).digest()
    words = np.frombuffer(digest, dtype=np.uint32)
    return np.random.default_rng([seed, *words.tolist()])


def integer_seed(rng: np.random.Generator) -> int:
    """Draw a seed in [0, 2**63) for a library that keeps its own generator."""
    return int(rng.integers(2**63))
