"""Embeddings with more samples of rare classes, or fewer of frequent ones   (imbalanced-learn).

Shape suffixes: n samples, d embedding dimensions, m samples afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from imblearn.over_sampling import (  # type: ignore[import-untyped]  # ships no types
    ADASYN,
    SMOTE,
    RandomOverSampler,
)
from imblearn.under_sampling import (  # type: ignore[import-untyped]
    EditedNearestNeighbours,
    RandomUnderSampler,
)

from holdfast.data.resampling_names import RESAMPLINGS
from holdfast.records import Floats, Ids

# Neighbors among which SMOTE and ADASYN make new samples, and that judge in SMOTEENN.
_NEIGHBORS, _JUDGES = 5, 3


@dataclass(frozen=True, slots=True)
class Resampled:
    """Training samples after resampling.

    Attributes
    ----------
    embeddings_md : ndarray of float32, shape (M, D)
    columns_m : ndarray of int64, shape (M,)
        Class of each.
    rows_m : ndarray of int64, shape (M,)
        Which of the samples it is, or is a copy of; -1 for one that was made.
    """

    embeddings_md: Floats
    columns_m: Ids
    rows_m: Ids


def resample(
    embeddings_nd: Floats,
    columns_n: Ids,
    *,
    method: str,
    rng: np.random.Generator,
    sample_ids_n: Ids | None = None,
    holdout_ids: Ids | None = None,
) -> Resampled:
    """Make classes equally large, as a probe or a head sees them.

    Over-sampling brings every class to the size of the largest, under-sampling to that of the
    smallest. A class with too few samples for its method falls back: fewer neighbors first, and
    where a class has a single sample, copies of it.

    Parameters
    ----------
    embeddings_nd : ndarray of float, shape (N, D)
        Training samples alone.
    columns_n : ndarray of int64, shape (N,)
        Class of each.
    method : str
        `random_over`, copies; `smote`, points between neighbors of a class; `adasyn`, more of
        them where other classes are near; `smote_enn`, SMOTE, then without the samples that a
        neighbor contradicts, unless the class had no other; `random_under`.
    sample_ids_n, holdout_ids : ndarray of int64, optional
        Who the samples are and who is held out, to be refused here.

    Returns
    -------
    Resampled
        The samples as they are for one class or none. The same for the same generator.

    Raises
    ------
    ValueError
        If the method is unknown, lengths differ, or a held-out sample is among them.

    Notes
    -----
    Cost: O(N D) for copies; a search for neighbors within each class for SMOTE and among all
    for ADASYN and SMOTEENN, quadratic in the worst case: for up to about 100,000 samples.

    References
    ----------
    .. [1] Chawla et al., "SMOTE: Synthetic Minority Over-sampling Technique", JAIR 2002.
    .. [2] He et al., "ADASYN: Adaptive Synthetic Sampling Approach for Imbalanced Learning",
       IJCNN 2008.
    .. [3] Batista et al., "A Study of the Behavior of Several Methods for Balancing Machine
       Learning Training Data", SIGKDD Explorations 2004 (SMOTEENN).

    Examples
    --------
    >>> points = np.arange(6, dtype=np.float32)[:, None]
    >>> done = resample(
    ...     points, np.array([0, 0, 0, 0, 1, 1]), method="smote", rng=np.random.default_rng(0)
    ... )
    >>> np.bincount(done.columns_m).tolist(), (done.rows_m == -1).sum().item()
    ([4, 4], 2)
    """
    if method not in RESAMPLINGS:
        raise ValueError(f"resampling should be one of {', '.join(RESAMPLINGS)}, not {method!r}")
    if len(embeddings_nd) != len(columns_n):
        raise ValueError(f"{len(embeddings_nd)} embeddings but {len(columns_n)} labels")
    if sample_ids_n is not None and holdout_ids is not None:
        held = np.intersect1d(sample_ids_n, holdout_ids)
        if len(held):
            raise ValueError(
                f"{len(held)} samples of the holdout should be resampled, the first is "
                f"{held[0]}; resample training samples alone"
            )
    samples = Resampled(
        np.asarray(embeddings_nd, np.float32), np.asarray(columns_n), np.arange(len(columns_n))
    )
    sizes = np.bincount(samples.columns_m)
    if (sizes > 0).sum() < 2:
        return samples
    seed = int(rng.integers(2**31))
    if method == "random_under":
        return _chosen(samples, RandomUnderSampler(random_state=seed))
    if method == "random_over":
        return _chosen(samples, RandomOverSampler(random_state=seed))
    lone = np.flatnonzero(sizes == 1)
    if len(lone):
        # The only sample of its class has no neighbor to make a point towards.
        goals = {int(k): int(sizes.max()) for k in lone}
        samples = _chosen(samples, RandomOverSampler(sampling_strategy=goals, random_state=seed))
    made = _made(samples, np.setdiff1d(np.flatnonzero(sizes), lone), method, seed)
    return _cleaned(made) if method == "smote_enn" else made


def _made(samples: Resampled, classes: Ids, method: str, seed: int) -> Resampled:
    """Return the samples and those made of them, by as many neighbors as each class has."""
    sizes = np.bincount(samples.columns_m)
    short = classes[sizes[classes] < sizes.max()]
    num_neighbors = np.minimum(_NEIGHBORS, sizes[short] - 1)
    parts = [(samples.embeddings_md, samples.columns_m)]
    for number in np.unique(num_neighbors).tolist():
        goals = {int(k): int(sizes.max()) for k in short[num_neighbors == number]}
        parts += _points(samples, goals, number, method, seed)
    embeddings, columns = (np.concatenate(part) for part in zip(*parts, strict=True))
    rows = np.full(len(columns), -1)
    rows[: len(samples.rows_m)] = samples.rows_m
    return Resampled(embeddings, columns, rows)


def _points(
    samples: Resampled, goals: Mapping[int, int], number: int, method: str, seed: int
) -> list[tuple[Floats, Ids]]:
    """Return points between neighbors of some classes, and their classes."""
    known = len(samples.rows_m)
    if method == "adasyn":
        sampler = ADASYN(sampling_strategy=goals, n_neighbors=number, random_state=seed)
        try:
            points, columns = sampler.fit_resample(samples.embeddings_md, samples.columns_m)
            return [(points[known:], columns[known:])]
        except (RuntimeError, ValueError):
            # A class with no other near, or to be filled up by hardly any, ends the call for
            # all: one at a time, and that one by SMOTE.
            if len(goals) > 1:
                alone = [{k: goal} for k, goal in goals.items()]
                return [
                    part for one in alone for part in _points(samples, one, number, method, seed)
                ]
    smote = SMOTE(sampling_strategy=goals, k_neighbors=number, random_state=seed)
    points, columns = smote.fit_resample(samples.embeddings_md, samples.columns_m)
    return [(points[known:], columns[known:])]


def _cleaned(samples: Resampled) -> Resampled:
    """Return the samples that none of their nearest contradicts, and classes that had no such."""
    if len(samples.rows_m) <= _JUDGES:
        return samples
    judge = EditedNearestNeighbours(sampling_strategy="all", n_neighbors=_JUDGES)
    judge.fit_resample(samples.embeddings_md, samples.columns_m)
    kept = judge.sample_indices_
    sizes = np.bincount(samples.columns_m)
    gone = np.bincount(samples.columns_m[kept], minlength=len(sizes)) == 0
    at = np.concatenate([kept, np.flatnonzero(gone[samples.columns_m])])
    return Resampled(samples.embeddings_md[at], samples.columns_m[at], samples.rows_m[at])


def _chosen(samples: Resampled, sampler: RandomOverSampler | RandomUnderSampler) -> Resampled:
    """Return the samples, repeats included, that a sampler chooses."""
    sampler.fit_resample(samples.embeddings_md, samples.columns_m)
    at = sampler.sample_indices_
    return Resampled(samples.embeddings_md[at], samples.columns_m[at], samples.rows_m[at])
