"""Pictures that are copies of each other but for their size, light, crop or compression.

Shape suffixes: n base pictures, m of them that are asked about, k neighbors, p pairs,
d numbers of an appearance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from holdfast.data.appearance import FREQUENCIES
from holdfast.model.alignment import aligned_distances
from holdfast.model.neighbors import nearest
from holdfast.records import Floats, Ids

Appearances = NDArray[np.float16]

# Two pictures are near-duplicates if, laid over each other, they are this much closer than
# each is to its tenth neighbor. Saved again, scaled by half, brightened by 15 % or shifted by 2
# of 192 pixels, 97 % lie below .13, cropped by 2 % on each side 90 % below .16 (photographs of
# waste). Different digits of MNIST begin at .25. Of the pairs that are below in real sets, 27 of
# 29 (waste) and 16 of 18 (blood cells) show one scene.
CLOSE = 0.2
# Below this all 25 of them do.
STRICT = 0.15
NEIGHBORS = 10
# In heaps of copies the tenth neighbor is one as well: this counts as the least distance to it.
_LEAST_SCALE = 0.1
# As they lie, cropped and shifted copies are farther apart, by this much at most; what is worth
# laying over each other.
_WORTH = 0.6
# Largest difference of color between copies: 15 % of brightness changes it by .15.
_COLOR = 0.2


def near_pairs(
    appearances_nd: Appearances, asked_m: Ids, limit: float = CLOSE
) -> tuple[Ids, NDArray[np.float64]]:
    """Find the pairs of near-duplicates that some pictures are in.

    A distance is divided by the geometric mean of how far each of the two is from its tenth
    neighbor: where many different pictures look alike, as handwritten ones do, only what is
    far closer counts.

    Parameters
    ----------
    appearances_nd : ndarray of float16, shape (N, D)
        From `data.appearance.appearances`. Flat ones are in no pair.
    asked_m : ndarray of int64, shape (M,)
        Rows, distinct.
    limit : float
        Pairs as close as this do not count.

    Returns
    -------
    pairs_p2 : ndarray of int64, shape (P, 2)
        Rows, the lower one first; each pair once, in ascending order.
    closeness_p : ndarray of float64, shape (P,)
        In [0, limit); 0 = the same picture.

    Notes
    -----
    Cost: that of finding the neighbors of M among N (`model.neighbors.nearest`), and 0.2 ms
    for each pair that is worth a closer look: a tenth of M where many look alike.
    """
    shown_n = np.flatnonzero(appearances_nd.any(axis=1))
    place_n = np.full(len(appearances_nd), -1, np.int64)
    place_n[shown_n] = np.arange(len(shown_n))
    base_nd = appearances_nd[shown_n].astype(np.float32)
    asked_m = np.sort(place_n[asked_m][place_n[asked_m] >= 0])
    none = np.empty((0, 2), np.int64), np.empty(0)
    if len(base_nd) < 2 or not len(asked_m):
        return none
    distances_mk, rows_mk = _neighbors(base_nd, asked_m)
    scale_n = np.full(len(base_nd), np.nan)
    scale_n[asked_m] = _scales(distances_mk)
    starts, places = np.nonzero(
        (distances_mk < max(_WORTH, limit) * scale_n[asked_m, None]) & (rows_mk >= 0)
    )
    ends = rows_mk[starts, places]
    pairs_p2 = np.unique(np.sort(np.stack([asked_m[starts], ends], axis=1), axis=1), axis=0)
    if not len(pairs_p2):
        return none
    partners = np.unique(pairs_p2[np.isnan(scale_n[pairs_p2])])
    if len(partners):
        scale_n[partners] = _scales(_neighbors(base_nd, partners)[0])
    first_pd, second_pd = base_nd[pairs_p2[:, 0]], base_nd[pairs_p2[:, 1]]
    scale_p = np.sqrt(scale_n[pairs_p2].prod(axis=1))
    worth = np.linalg.norm(first_pd - second_pd, axis=1) < max(_WORTH, limit) * scale_p
    colors = slice(FREQUENCIES**2, None)
    worth &= np.linalg.norm(first_pd[:, colors] - second_pd[:, colors], axis=1) < _COLOR
    closeness_p = np.full(len(pairs_p2), np.inf)
    closeness_p[worth] = aligned_distances(first_pd[worth], second_pd[worth]) / scale_p[worth]
    kept = closeness_p < limit
    return shown_n[pairs_p2[kept]], closeness_p[kept]


def _neighbors(base_nd: Floats, asked_m: Ids) -> tuple[Floats, Ids]:
    """Return distances and rows of others; infinite and -1 in place of the asked itself."""
    # All of them are there already, and a copy of a million takes 300 MiB.
    asked_md = base_nd if len(asked_m) == len(base_nd) else base_nd[asked_m]
    distances, rows = nearest(asked_md, base_nd, NEIGHBORS + 1)
    itself = rows == asked_m[:, None]
    # Where eleven copies lie in one place, the picture itself may not be among them.
    itself[~itself.any(axis=1), -1] = True
    others = np.argsort(itself, axis=1, kind="stable")[:, :-1]
    return np.take_along_axis(distances, others, 1), np.take_along_axis(rows, others, 1)


def _scales(distances_mk: Floats) -> NDArray[np.float64]:
    last_m = np.where(np.isfinite(distances_mk), distances_mk, 0.0).max(axis=1)
    return np.asarray(np.maximum(last_m.astype(np.float64), _LEAST_SCALE))
