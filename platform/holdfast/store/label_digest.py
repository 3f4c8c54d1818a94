"""The digest of a set of labels, which follows each change without reading the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

EMPTY = f"{0:064x}"
_MODULUS = 1 << 256


def moved(digest: str, added: Iterable[tuple[str, str]], removed: Iterable[tuple[str, str]]) -> str:
    """Return the digest after some (uid, class name) pairs came and others went.

    Parameters
    ----------
    digest : str
        Of the set before; `EMPTY` is that of no labels.
    added, removed : iterable of (str, str)
        Names count, not class ids: two projects that met the classes in another order
        agree on the digest of the same labels.

    Returns
    -------
    str
        Sum of the sha256 of each pair, modulo 2**256, as 64 hexadecimal digits: the same
        whatever order the pairs come and go in.

    Notes
    -----
    Two sets that differ by accident have the same digest with a chance of 2**-256. Against
    somebody who may choose hundreds of thousands of file contents it is no proof.

    References
    ----------
    .. [1] Bellare and Micciancio, "A New Paradigm for Collision-Free Hashing: Incrementality
       at Reduced Cost", EUROCRYPT 1997 (AdHash).

    Examples
    --------
    >>> one = moved(EMPTY, [("a", "cat"), ("b", "dog")], [])
    >>> moved(one, [], [("b", "dog")]) == moved(EMPTY, [("a", "cat")], [])
    True
    """
    total = int(digest, 16) + _sum(added) - _sum(removed)
    return f"{total % _MODULUS:064x}"


def _sum(pairs: Iterable[tuple[str, str]]) -> int:
    # Neither a uid nor a class name holds a tab (offers.py).
    sha256, of_bytes = hashlib.sha256, int.from_bytes
    return sum(of_bytes(sha256(f"{uid}\t{name}".encode()).digest(), "big") for uid, name in pairs)
