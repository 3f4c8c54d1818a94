"""How far two pictures differ once one is laid over the other as well as it can be.

Shape suffixes: p pairs, s rows or columns of a thumbnail, f frequencies, d numbers of an
appearance, w ways in which a picture may move.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from holdfast.data.appearance import FREQUENCIES, cosines
from holdfast.data.thumbnails import SIDE

Real = NDArray[np.float64]

# A tenth of the side, and a fifth of the size: copies that were cropped or shifted, not
# pictures of the same thing from elsewhere.
_FARTHEST, _LARGEST = 0.1 * SIDE, 0.2
_STEPS = 4
# Holds the steps back where a picture has no edges that would tell them; of the ways to move,
# and of contrast and brightness.
_DAMPING_W = np.array([0.1, 0.1, 4.0, 4.0, 2e-4, 2e-4])
# Pairs at once: 30 MB.
_BLOCK = 2048
_CENTERED_S = (np.arange(SIDE) - (SIDE - 1) / 2).astype(np.float64)


def aligned_distances(first_pd: NDArray[np.floating], second_pd: NDArray[np.floating]) -> Real:
    """Return the distance of each pair after the second was shifted, scaled and lit anew.

    The second picture moves by up to a tenth of its side and is scaled by up to a fifth, each
    way by itself; contrast and brightness are fitted as well. Only where both show something
    is compared.

    Parameters
    ----------
    first_pd, second_pd : ndarray, shape (P, D)
        From `data.appearance.appearances`; color is not looked at.

    Returns
    -------
    ndarray of float64, shape (P,)
        In [0, 2], in deviations of brightness; 0: the same picture. 2 for one that is flat.

    Notes
    -----
    About 0.2 ms a pair. Thumbnails are sums of cosines, so they and their slopes are known
    between the pixels as well.

    References
    ----------
    .. [1] Lucas and Kanade, "An Iterative Image Registration Technique with an Application to
       Stereo Vision", IJCAI 1981.
    """
    found = np.empty(len(first_pd))
    for start in range(0, len(first_pd), _BLOCK):
        rows = slice(start, start + _BLOCK)
        found[rows] = _align(_light(first_pd[rows]), _light(second_pd[rows]))
    return found


def _light(appearances_pd: NDArray[np.floating]) -> Real:
    light = appearances_pd[:, : FREQUENCIES**2].astype(np.float64) * SIDE
    return light.reshape(-1, FREQUENCIES, FREQUENCIES)


def _align(first_pff: Real, second_pff: Real) -> Real:
    basis_sf = cosines(np.arange(SIDE, dtype=np.float64))[0]
    target_pss = basis_sf @ first_pff @ basis_sf.T
    # Shift sideways and down, then growth sideways and down.
    moved_p4: Real = np.zeros((len(first_pff), 4))
    best_p = np.full(len(first_pff), 2.0)
    for _ in range(_STEPS):
        distance_p, step_p4 = _compare(target_pss, second_pff, moved_p4)
        best_p = np.minimum(best_p, distance_p)
        moved_p4 = moved_p4 + step_p4
        moved_p4[:, :2] = moved_p4[:, :2].clip(-_FARTHEST, _FARTHEST)
        moved_p4[:, 2:] = moved_p4[:, 2:].clip(-_LARGEST, _LARGEST)
    distance_p, _ = _compare(target_pss, second_pff, moved_p4)
    return np.asarray(np.minimum(best_p, distance_p))


def _compare(target_pss: Real, second_pff: Real, moved_p4: Real) -> tuple[Real, Real]:
    """Return distances as pictures lie now, and the step that brings them nearer."""
    across_ps, down_ps = (
        np.arange(SIDE) + moved_p4[:, axis, None] + moved_p4[:, axis + 2, None] * _CENTERED_S
        for axis in (0, 1)
    )
    (columns, column_slopes), (rows, row_slopes) = cosines(across_ps), cosines(down_ps)
    inside_p = _inside(down_ps)[:, :, None] * _inside(across_ps)[:, None, :]
    half = second_pff @ columns.swapaxes(1, 2)
    shown, down = rows @ half, row_slopes @ half
    across = rows @ (second_pff @ column_slopes.swapaxes(1, 2))

    centered = _centering(inside_p)
    target, seen = centered(target_pss), centered(shown)
    product_p = (target * seen).sum((1, 2))
    power_p = np.maximum((seen * seen).sum((1, 2)), 1e-9)
    norms_p = np.sqrt(power_p * np.maximum((target * target).sum((1, 2)), 1e-9))
    # The distance of two pictures of mean 0 and deviation 1.
    distance_p = np.sqrt(np.clip(2.0 - 2.0 * product_p / norms_p, 0.0, 4.0))

    gain_p11 = (product_p / power_p)[:, None, None]
    x, y = _CENTERED_S[None, None, :], _CENTERED_S[None, :, None]
    ways = (gain_p11 * across, gain_p11 * down, gain_p11 * across * x, gain_p11 * down * y)
    ones = np.ones_like(shown)
    slopes = np.stack([way * inside_p for way in (*ways, shown, ones)], axis=-1)
    slopes = slopes.reshape(len(slopes), SIDE * SIDE, len(_DAMPING_W))
    left = (target - gain_p11 * seen).reshape(len(slopes), SIDE * SIDE, 1)
    normal = slopes.swapaxes(1, 2) @ slopes + np.diag(_DAMPING_W)
    step = np.linalg.solve(normal, slopes.swapaxes(1, 2) @ left)[:, :4, 0]
    return distance_p, step


def _inside(places_ps: Real) -> Real:
    return ((places_ps >= -0.5) & (places_ps <= SIDE - 0.5)).astype(np.float64)


def _centering(inside_pss: Real) -> Callable[[Real], Real]:
    """Return what takes the mean out of pictures, and leaves out what lies beside them."""
    size_p = inside_pss.sum((1, 2))

    def centered(values_pss: Real) -> Real:
        mean_p = (inside_pss * values_pss).sum((1, 2)) / size_p
        found: Real = (values_pss - mean_p[:, None, None]) * inside_pss
        return found

    return centered
