"""Are generated images of a class good enough to learn from? Distance, coverage, copies.

Shape suffixes: n real images, m generated images, h images of a half, d dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf  # type: ignore[import-untyped]  # ships no types

from holdfast.data.synthetic_settings import SyntheticConfig
from holdfast.model.neighbors import graph, nearest
from holdfast.records import Floats, Images

Moments = tuple[NDArray[np.float64], NDArray[np.float64]]

# Real images of a class below which nothing can be said about it: halves have half of them.
LEAST_REAL = 20
# Random halves whose distances are compared; their median is what counts.
_HALVES = 20
# Neighbors that make up a real image's ball: the number of the paper, or fewer in small classes,
# where five would be half of a half.
_NEIGHBORS = 5
_FEWEST_NEIGHBORS = 3
_NEIGHBORS_SHARE = 0.1
# Embeddings have this many numbers at most: a covariance takes its square.
_MOST_DIMENSIONS = 64
# Of the distance to the nearest other class, which a class may always have: an encoder that has
# learned the real images holds them so close together that other real ones lie far from their
# halves, by up to 25 times. On digits and blood cells those had up to .04 of it, images mixed
# with other classes .09 and more.
_OF_OTHERS = 0.05
# Other classes whose distance is looked at: those with the nearest means.
_NEAREST_CLASSES = 5
# A generated image is a copy of a real one where it is this many times closer to it than the
# nearest other real one is.
_COPY = 1 / 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Whether the generated images of one class may be learned from, and why.

    Attributes
    ----------
    passed : bool
    reason : str
        For people: the numbers, and which of them failed.
    num_real, num_drawn : int
        Images that were compared.
    num_copies : int
        Generated images that are next to a real one, pixel by pixel; never admitted.
    frechet, frechet_real, frechet_other : float or None
        Fréchet distance from a half of the real images to as many generated ones, and to the
        other half (medians); from all of them to the nearest other class. None where nothing
        was compared.
    density, coverage, coverage_real : float or None
        Of [1]_: around how many real images a generated one lies, by what is expected (low is
        unlike); the part of the real images with a generated one nearby (low is monotonous),
        and that part for the other half of the real ones.

    References
    ----------
    .. [1] Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models",
       ICML 2020.
    """

    passed: bool
    reason: str
    num_real: int
    num_drawn: int
    num_copies: int = 0
    frechet: float | None = None
    frechet_real: float | None = None
    frechet_other: float | None = None
    density: float | None = None
    coverage: float | None = None
    coverage_real: float | None = None


def copies(drawn_mchw: Images, real_nchw: Images) -> NDArray[np.bool_]:
    """Mark generated images that repeat a real one, or an earlier generated one.

    An image repeats a real one where, pixel by pixel, it is three times closer to it than the
    nearest other real one is. Without other real ones only equal ones repeat it.

    Returns
    -------
    ndarray of bool, shape (M,)

    Notes
    -----
    Cost: all pairs, O((m + n) n d) for d pixels.

    References
    ----------
    .. [1] Carlini et al., "Extracting Training Data from Diffusion Models", USENIX Security
       2023 (distance relative to that of other neighbors).
    """
    drawn_md, real_nd = (_flat(images) for images in (drawn_mchw, real_nchw))
    repeated: NDArray[np.bool_] = np.ones(len(drawn_md), bool)
    repeated[np.unique(drawn_md, axis=0, return_index=True)[1]] = False
    if not len(real_nd) or not len(drawn_md):
        return repeated
    distances, rows = nearest(drawn_md, real_nd, 1)
    apart: NDArray[np.floating] = np.zeros(len(real_nd))
    if len(real_nd) > 1:
        # A real image that is in the set twice has a neighbor at 0: look at the next one.
        others = graph(real_nd, min(len(real_nd) - 1, _NEIGHBORS))[0]
        apart = np.where(others > 0, others, np.inf).min(axis=1)
        apart[np.isinf(apart)] = 0
    return repeated | (distances[:, 0] <= _COPY * apart[rows[:, 0]])


def judge(
    real_nd: Floats,
    drawn_md: Floats,
    others: Sequence[Floats],
    config: SyntheticConfig,
    rng: np.random.Generator,
    num_copies: int = 0,
) -> Verdict:
    """Compare the generated images of a class with its real ones, by their embeddings.

    Halves of the real images are drawn at random. From each half, the other one and as many
    generated images are looked at in the same way, so that whatever small numbers do to a
    measure they do to both, and real images compared with real ones pass. The encoder has
    learned the real images; for what that does to distances, a twentieth of the distance to
    the nearest other class is allowed in any case.

    Parameters
    ----------
    real_nd, drawn_md : ndarray of float32, shape (N, D) and (M, D)
        Of the champion's encoder. Copies are left out of the generated ones already.
    others : sequence of ndarray of float32, shape (., D)
        Real images of each other class; those with fewer than two are passed over.
    num_copies : int
        How many those were: a class most of whose images are copies fails.

    Notes
    -----
    Cost: 20 halves, O(h d^2 + d^3 + h^2 d) each, and O(d) for each image of other classes;
    more than 64 dimensions are brought down to 64 by a random projection [3]_ first.

    References
    ----------
    .. [1] Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local
       Nash Equilibrium", NeurIPS 2017 (Fréchet distance of embeddings).
    .. [2] Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance
       matrices", Journal of Multivariate Analysis, 2004 (covariance from few images).
    .. [3] Johnson and Lindenstrauss, "Extensions of Lipschitz mappings into a Hilbert space",
       Contemporary Mathematics, 1984.
    """
    num_real, num_drawn = len(real_nd), len(drawn_md)
    facts = {"num_real": num_real, "num_drawn": num_drawn + num_copies, "num_copies": num_copies}
    if num_real < LEAST_REAL:
        reason = f"{num_real} real images, {LEAST_REAL} are needed to judge by"
        return Verdict(passed=False, reason=reason, **facts)
    half = num_real // 2
    if num_copies > num_drawn:
        reason = f"{num_copies} of {num_copies + num_drawn} images are copies of real ones"
        return Verdict(passed=False, reason=reason, **facts)
    if num_drawn < half:
        reason = f"{num_drawn} images are left to judge by, {half} are needed"
        return Verdict(passed=False, reason=reason, **facts)
    real, drawn, *apart = _reduced([real_nd, drawn_md, *others], rng)
    frechet_other = _nearest_other(real, apart)
    found = np.array([_compare(real, drawn, half, rng) for _ in range(_HALVES)])
    frechet, frechet_real, density, coverage, coverage_real = np.median(found, axis=0).tolist()
    furthest = max(config.frechet * frechet_real, _OF_OTHERS * (frechet_other or 0))
    least = config.coverage * coverage_real
    near, wide = frechet <= furthest, coverage >= least
    reason = (
        f"Fréchet distance {frechet:.3g}, {'within' if near else 'above'} the limit of "
        f"{furthest:.3g}; coverage {coverage:.2f}, {'not ' if wide else ''}below the limit of "
        f"{least:.2f}"
    )
    return Verdict(
        passed=near and wide,
        reason=reason,
        frechet=frechet,
        frechet_real=frechet_real,
        frechet_other=frechet_other,
        density=density,
        coverage=coverage,
        coverage_real=coverage_real,
        **facts,
    )


def frechet_distance(one_nd: Floats, other_md: Floats) -> float:
    """Fréchet distance between the normal distributions that fit two sets best, 0 or more.

    Covariances are shrunk (Ledoit and Wolf), so that fewer images than dimensions do.

    Raises
    ------
    ValueError
        If a set has fewer than two rows.

    Examples
    --------
    >>> points = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    >>> frechet_distance(points, points) < 1e-6
    True
    >>> round(frechet_distance(points, points + 2), 3)
    12.0
    """
    return _between(_moments(one_nd), _moments(other_md))


def density_and_coverage(real_nd: Floats, drawn_md: Floats) -> tuple[float, float]:
    """Return density, 0 or more, and coverage, in [0, 1]; low is bad for both.

    Parameters
    ----------
    real_nd, drawn_md : ndarray of float32, shape (N, D) and (M, D)
        At least two real ones.

    Notes
    -----
    Cost: all pairs, O((n + m) n d).
    """
    wanted = round(_NEIGHBORS_SHARE * len(real_nd))
    num_neighbors = min(max(wanted, _FEWEST_NEIGHBORS), _NEIGHBORS, len(real_nd) - 1)
    radius_n = graph(real_nd, num_neighbors)[0][:, -1]
    away_mn = np.sqrt(
        np.maximum(
            np.square(drawn_md).sum(axis=1)[:, None]
            + np.square(real_nd).sum(axis=1)
            - 2 * drawn_md @ real_nd.T,
            0,
        )
    )
    inside_mn = away_mn <= radius_n
    density = float(inside_mn.sum(axis=1).mean() / num_neighbors)
    return density, float(inside_mn.any(axis=0).mean())


def _nearest_other(real_nd: Floats, others: Sequence[Floats]) -> float | None:
    """Return the distance to the nearest other class, None without one."""
    known = [one for one in others if len(one) > 1]
    if not known:
        return None
    means = np.stack([one.mean(axis=0) for one in known])
    away = np.square(means - real_nd.mean(axis=0)).sum(axis=1)
    return min(
        frechet_distance(real_nd, known[place]) for place in np.argsort(away)[:_NEAREST_CLASSES]
    )


def _compare(
    real_nd: Floats, drawn_md: Floats, half: int, rng: np.random.Generator
) -> tuple[float, float, float, float, float]:
    order = rng.permutation(len(real_nd))
    one, other = real_nd[order[:half]], real_nd[order[half : 2 * half]]
    picked = drawn_md[rng.choice(len(drawn_md), half, replace=False)]
    moments = _moments(one)
    density, coverage = density_and_coverage(one, picked)
    return (
        _between(moments, _moments(picked)),
        _between(moments, _moments(other)),
        density,
        coverage,
        density_and_coverage(one, other)[1],
    )


def _moments(points_nd: Floats) -> Moments:
    if len(points_nd) < 2:
        raise ValueError(f"a covariance needs two rows or more, not {len(points_nd)}")
    points = points_nd.astype(np.float64)
    return points.mean(axis=0), ledoit_wolf(points)[0]


def _between(one: Moments, other: Moments) -> float:
    (mean_a, covariance_a), (mean_b, covariance_b) = one, other
    values, vectors = np.linalg.eigh(covariance_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ covariance_b @ root).clip(0)).sum()
    spread = np.trace(covariance_a) + np.trace(covariance_b) - 2 * shared
    return max(float(np.square(mean_a - mean_b).sum() + spread), 0.0)


def _reduced(sets: Sequence[Floats], rng: np.random.Generator) -> list[Floats]:
    """Return sets along as many random directions as a covariance may have.

    Not along the principal components of the real ones: few images span what they lie in, and
    every other image, real or not, would come out smaller than they are.
    """
    dimensions = sets[0].shape[1]
    if dimensions <= _MOST_DIMENSIONS:
        return list(sets)
    axes = rng.normal(size=(dimensions, _MOST_DIMENSIONS)) / np.sqrt(_MOST_DIMENSIONS)
    return [one @ axes.astype(np.float32) for one in sets]


def _flat(images_nchw: Images) -> Floats:
    return images_nchw.reshape(len(images_nchw), math.prod(images_nchw.shape[1:])).astype(
        np.float32
    )
