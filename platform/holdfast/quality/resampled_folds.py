"""Folds in which classes are equally large, for a probe that is cross-validated over them.

Shape suffixes: n samples, d embedding dimensions, m samples and those made of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.records import Floats, Ids

Weights = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resampling:
    """How embeddings of the training side are resampled within each fold.

    Attributes
    ----------
    method : str
        As for `holdfast.data.resample.resample`.
    sample_ids_n, holdout_ids : ndarray of int64
        Who the samples are, and who is held out: of those nothing is made or left out.
    seed : int
    """

    method: str
    sample_ids_n: Ids
    holdout_ids: Ids
    seed: int


@dataclass(frozen=True, slots=True)
class FoldSamples:
    """What a probe learns from: the samples in their order, then those that were made.

    Attributes
    ----------
    columns_m, folds_m : ndarray of int64, shape (M,)
    embeddings_md : ndarray of float32, shape (M, D)
    weights_m : ndarray of float64, shape (M,)
        0 for what under-sampling leaves out; a copy adds the weight of its sample.
    """

    columns_m: Ids
    embeddings_md: Floats
    folds_m: Ids
    weights_m: Weights


def resample_folds(
    columns_n: Ids, embeddings_nd: Floats, folds_n: Ids, weights_n: Weights, how: Resampling
) -> FoldSamples:
    """Return the samples with each fold resampled from its own samples alone.

    So a probe still learns nothing of the fold that it judges: whatever is made of a sample
    is in its fold. A made sample is trusted as far as its class in that fold on average.

    Parameters
    ----------
    columns_n, folds_n : ndarray of int64, shape (N,)
        Label and fold of each sample.
    embeddings_nd : ndarray of float32, shape (N, D)
    weights_n : ndarray of float64, shape (N,)
        Trust in each label, 0 or more.

    Notes
    -----
    Cost: see `holdfast.data.resample.resample`, for each fold.
    """
    # Deferred: imbalanced-learn imports much of scikit-learn, and most audits do not need it.
    from holdfast.data.resample import resample

    rng = np.random.default_rng(how.seed)
    open_n = ~np.isin(how.sample_ids_n, how.holdout_ids)
    num_classes = int(columns_n.max(initial=-1)) + 1
    weights = weights_n.astype(np.float64)
    made = [FoldSamples(columns_n, embeddings_nd, folds_n, weights)]
    for fold in range(int(folds_n.max(initial=-1)) + 1):
        rows = np.flatnonzero((folds_n == fold) & open_n)
        columns, trust = columns_n[rows], weights_n[rows]
        done = resample(
            embeddings_nd[rows],
            columns,
            method=how.method,
            rng=rng,
            sample_ids_n=how.sample_ids_n[rows],
            holdout_ids=how.holdout_ids,
        )
        known = done.rows_m >= 0
        weights[rows] *= np.bincount(done.rows_m[known], minlength=len(rows))
        sizes_k = np.bincount(columns, minlength=num_classes)
        trust_k = np.bincount(columns, trust, num_classes) / np.maximum(sizes_k, 1)
        fresh = done.columns_m[~known]
        made.append(
            FoldSamples(
                fresh, done.embeddings_md[~known], np.full(len(fresh), fold), trust_k[fresh]
            )
        )
    return FoldSamples(
        np.concatenate([one.columns_m for one in made]),
        np.concatenate([one.embeddings_md for one in made]),
        np.concatenate([one.folds_m for one in made]),
        np.concatenate([one.weights_m for one in made]),
    )
