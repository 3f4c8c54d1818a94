"""Pairs of near-duplicates -> groups that one side of the split can take as a whole.

Shape suffixes: n pictures, p pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.quality.near_duplicates import STRICT
from holdfast.records import Ids

UNSETTLED = -1
# A larger group grows by pairs closer than STRICT alone, lest a chain of likenesses joins what
# has little in common.
CHAIN = 20
# And by none beyond this share of all: some part of every class must be free to be held out.
LARGEST_SHARE = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """Which pictures belong together.

    Attributes
    ----------
    group_n : ndarray of int64, shape (N,)
        Lowest row of the group; its own for a picture that is in none.
    num_across : int
        Pairs on different sides, which therefore were not joined.
    """

    group_n: Ids
    num_across: int


def join(
    pairs_p2: Ids,
    closeness_p: NDArray[np.float64],
    names: Sequence[str | None],
    sides_n: NDArray[np.int8],
    num_base: int,
) -> Joined:
    """Join pairs, the closest first, unless their groups have two names or lie on two sides.

    Parameters
    ----------
    pairs_p2, closeness_p : ndarray
        From `near_pairs`, rows counting within `names`.
    names : sequence of str or None, length N
        Group that a picture has already; those of one name are together from the start.
    sides_n : ndarray of int8, shape (N,)
        Side of the split on which a picture must stay; UNSETTLED: any.
    num_base : int
        Pictures in all, of which a group takes `LARGEST_SHARE` at most, or `CHAIN`.

    Returns
    -------
    Joined
        The same whatever the order of the pairs. One step of Python a pair.

    Examples
    --------
    >>> pairs, closeness = np.array([[0, 1], [1, 2]]), np.array([0.1, 0.0])
    >>> join(pairs, closeness, [None] * 3, np.array([0, -1, 1], np.int8), 3).group_n.tolist()
    [0, 1, 1]
    """
    parents = list(range(len(names)))
    sizes = [1] * len(names)
    named, sides = list(names), sides_n.tolist()
    largest = max(CHAIN, int(LARGEST_SHARE * num_base))

    def root(row: int) -> int:
        while parents[row] != row:
            parents[row] = parents[parents[row]]
            row = parents[row]
        return row

    def unite(first: int, second: int) -> None:
        kept, gone = min(first, second), max(first, second)
        parents[gone] = kept
        sizes[kept] += sizes[gone]
        named[kept] = named[kept] or named[gone]
        sides[kept] = sides[kept] if sides[kept] != UNSETTLED else sides[gone]

    first_of: dict[str, int] = {}
    for row, name in enumerate(names):
        if name is not None and first_of.setdefault(name, row) != row:
            unite(root(first_of[name]), row)
    num_across = 0
    for at in np.lexsort((pairs_p2[:, 1], pairs_p2[:, 0], closeness_p)).tolist():
        first, second = (root(row) for row in pairs_p2[at].tolist())
        if first == second:
            continue
        if UNSETTLED not in (sides[first], sides[second]) and sides[first] != sides[second]:
            num_across += 1
            continue
        size = sizes[first] + sizes[second]
        chained = size > CHAIN and (closeness_p[at] >= STRICT or size > largest)
        two_names = None not in (named[first], named[second])
        if not chained and not two_names:
            unite(first, second)
    group_n = np.array([root(row) for row in range(len(names))], np.int64)
    return Joined(group_n=group_n, num_across=num_across)
