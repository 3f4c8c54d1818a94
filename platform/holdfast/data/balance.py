"""How evenly labels are spread over classes: which classes are rare.

Shape suffixes: k classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Ids

RARE_SHARE = 0.5


def rare_line(counts_k: Ids) -> float:
    """Return the number of samples below which a class is rare: half of an equal share.

    A class is rare when it has fewer than half of the samples it would have if all classes
    had the same number. Benchmarks such as ImageNet-LT and LVIS set absolute numbers that
    fit their own size; a share fits 70 labels as well as 70 million, calls no class of a
    balanced set rare, and always leaves at least one class that is not. 0.0 without classes.
    """
    return RARE_SHARE * float(np.mean(counts_k)) if len(counts_k) else 0.0


def rare_classes(counts_k: Ids) -> NDArray[np.bool_]:
    """Mark the classes below the rare-class line.

    Parameters
    ----------
    counts_k : ndarray of int64, shape (K,)
        Samples of each class, by class id; a class without samples is rare.

    Returns
    -------
    ndarray of bool, shape (K,)

    Examples
    --------
    >>> rare_classes(np.array([100, 80, 20])).tolist()
    [False, False, True]
    """
    rare: NDArray[np.bool_] = np.asarray(counts_k) < rare_line(counts_k)
    return rare
