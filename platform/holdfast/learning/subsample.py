"""A few samples that stand for many: every class its share, no sample twice.

Shape suffixes: n samples.
"""

from __future__ import annotations

import numpy as np

from holdfast.learning.exemplars import drawn, priorities
from holdfast.records import Floats, Ids


def subsample(positions_n: Ids, trust_n: Floats, num: int, rng: np.random.Generator) -> Ids:
    """Return places of at most `num` samples, classes as equal as their sizes allow.

    Parameters
    ----------
    positions_n : ndarray of int64, shape (N,)
        Class of each sample; equal means same class.
    trust_n : ndarray of float32, shape (N,)
        In [0, 1]; within a class samples come in proportion to it, those of 0 never.
    num : int
        0 or more. Fewer come where there are fewer.

    Returns
    -------
    ndarray of int64
        Places among the N, rising, each once.

    Notes
    -----
    Cost: O(N log N). A sampler of batches draws with replacement and costs less a draw, but
    has to be made anew whenever what it draws from changes.

    Examples
    --------
    >>> labels = np.array([7, 7, 7, 7, 7, 2])
    >>> chosen = subsample(labels, np.ones(6, np.float32), 4, np.random.default_rng(0))
    >>> sorted(labels[chosen].tolist())
    [2, 7, 7, 7]
    """
    usable = np.flatnonzero(trust_n > 0)
    trust = trust_n[usable]
    order = priorities(rng.random(len(usable)), trust)
    chosen: Ids = usable[drawn(positions_n[usable], trust, order, num)]
    return chosen
