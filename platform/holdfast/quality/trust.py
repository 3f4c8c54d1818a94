"""How far each label of a set is trusted, from the labels of samples that look alike.

Nothing is trained, and nothing needs to be known about how many labels are wrong or which
classes are rare.

Shape suffixes: n samples, d embedding dimensions, k classes among the labels, m neighbors,
l levels of support.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]  # ships no types
from scipy.optimize import isotonic_regression  # type: ignore[import-untyped]  # ships no types

from holdfast.model.neighbors import graph
from holdfast.records import Floats, Ids

# Small classes need small neighborhoods: a class has N / K samples on average, and of more
# than an eighth of them the nearest would mostly be strangers. Right rare labels kept of
# digits 20 : 1 with a fifth wrong: 93 % so, 44 % with 10 neighbors whatever the size.
_CLASS_PART = 8
_FEWEST_NEIGHBORS = 3
# Below this share of wrong labels, samples that are hard but right outnumber them, and
# doubt would cost more than it saves. Estimates for clean digits, MNIST (balanced and 100:1)
# and blood cells were .016 at most; for a tenth of the labels wrong .09 to .11.
CLEAN = 0.05
_SHARPNESS = 4  # how fast doubt sets in around `CLEAN`: half the share counts 6 %
# Samples whose neighbors agree with them most lie deep inside their class.
_DEEP = 0.75
_JUDGES = 5  # nearest neighbors: four to tell who lies deep, the nearest to be looked at
# A class no sample of which is supported keeps this much: a machine may doubt a class, but
# people decide whether it goes.
LEAST_TRUST = 0.05


def trust(embeddings_nd: Floats, labels_n: Ids, *, neighbors: int = 10) -> Floats:
    """Return the probability that each label is right.

    A random walk of two steps among nearest neighbors tells which labels lie around each
    sample, its own left out. For each label, samples that carry it are targets, all others
    are decoys: where labels are wrong at random they fall on every label alike, so that for
    each target that is wrong there are K - 1 decoys around which the label is as frequent.
    The share of wrong targets at each level of support follows, and trust is the rest. Where
    the labels deep inside classes hardly differ from their neighbors', all are trusted.

    Parameters
    ----------
    embeddings_nd : ndarray of float32, shape (N, D)
        That no label has touched, as from `model.pixels.principal_components`. Where
        neighbors in them do not share a class, right labels lose trust as well.
    labels_n : ndarray of int64, shape (N,)
        Class ids.
    neighbors : int
        Of each sample, 1 or more; fewer where classes are small.

    Returns
    -------
    ndarray of float32, shape (N,)
        In [0, 1]; low = doubtful. All 1 where there are fewer than two classes or three
        samples. A class in which no label is supported keeps `LEAST_TRUST`.

    Raises
    ------
    ValueError
        If the arrays differ in length or `neighbors` is below 1.

    Notes
    -----
    Cost: O(N² D) to find neighbors up to `neighbors.EXACT_LIMIT` samples and O(N sqrt(N) D)
    above; then O(N m² log N), however many classes there are. Labels that are wrong in one
    direction (one class always taken for another) mislead it more than those that are wrong
    at random.

    References
    ----------
    .. [1] Elias and Gygi, "Target-decoy search strategy for increased confidence in
       large-scale protein identifications by mass spectrometry", Nature Methods 2007.
    .. [2] Efron et al., "Empirical Bayes Analysis of a Microarray Experiment", JASA 2001
       (local false discovery rate).

    Examples
    --------
    >>> points = np.r_[0:1:40j, 9:10:40j].astype(np.float32)[:, None]
    >>> labels = np.repeat([3, 7], 40)
    >>> labels[::10] = 10 - labels[::10]
    >>> np.flatnonzero(trust(points, labels) < 0.5).tolist()
    [0, 10, 20, 30, 40, 50, 60, 70]
    """
    if len(embeddings_nd) != len(labels_n):
        raise ValueError(
            f"{len(labels_n)} labels need as many embeddings, not {len(embeddings_nd)}"
        )
    if neighbors < 1:
        raise ValueError(f"neighbors should be at least 1, not {neighbors}")
    classes_k, columns_n = np.unique(labels_n, return_inverse=True)
    num, num_classes = len(labels_n), len(classes_k)
    if num_classes < 2 or num < 3:
        return np.ones(num, np.float32)
    reach = max(_FEWEST_NEIGHBORS, min(neighbors, num // (_CLASS_PART * num_classes)))
    near_nm = graph(embeddings_nd, max(reach, _JUDGES))[1]
    support = _labels_around(near_nm[:, :reach], columns_n, num_classes)
    trust_n: NDArray[np.float64] = np.ones(num)
    ends = np.cumsum(np.bincount(columns_n))
    by_class = np.split(np.argsort(columns_n, kind="stable"), ends[:-1])
    for column, targets in enumerate(by_class):
        trust_n[targets] = _calibrated(support, columns_n, column, targets)
    noise = noise_among(near_nm, columns_n)
    doubt = 1 - 1 / (1 + (noise / CLEAN) ** _SHARPNESS)
    trust_n = 1 - doubt * (1 - trust_n)
    # A class is dropped by nobody but a person.
    best_k = np.zeros(num_classes)
    np.maximum.at(best_k, columns_n, trust_n)
    lost = best_k[columns_n] < LEAST_TRUST
    trust_n[lost] = LEAST_TRUST
    return trust_n.astype(np.float32)


def noise_among(near_nm: Ids, labels_n: Ids) -> float:
    """Estimate the share of labels that look as if they were drawn at random.

    Samples whose other neighbors agree with them most lie deep inside a class; how often
    the nearest of all carries another label there is the share of wrong ones.

    Parameters
    ----------
    near_nm : ndarray of int64, shape (N, M)
        Rows of each sample's nearest others, nearest first, -1 where there is none; M at
        least 2.
    labels_n : ndarray of int64, shape (N,)
        Of two classes or more.

    Returns
    -------
    float
        0 for none; about 1 where labels say nothing about neighbors.
    """
    agrees_nm = (labels_n[near_nm[:, :_JUDGES]] == labels_n[:, None]) & (near_nm[:, :_JUDGES] >= 0)
    agreement_n = agrees_nm[:, 1:].mean(axis=1)
    deep_n = agreement_n >= np.quantile(agreement_n, _DEEP)
    num_classes = len(np.unique(labels_n))
    # A label drawn at random is the right one now and then.
    differs = 1 - float(agrees_nm[deep_n, 0].mean())
    return differs * num_classes / (num_classes - 1)


def _labels_around(near_nm: Ids, columns_n: Ids, num_classes: int) -> sparse.csc_matrix:
    """Return the share of each label met after two steps, own label left out, shape (N, K)."""
    num = len(columns_n)
    starts, places = np.nonzero(near_nm >= 0)
    ends = near_nm[starts, places]
    links = sparse.csr_matrix((np.ones(len(starts)), (starts, ends)), shape=(num, num))
    links = links.maximum(links.T)
    degrees_n = np.maximum(np.asarray(links.sum(axis=1)).ravel(), 1)
    step = sparse.diags(1 / degrees_n) @ links
    labels = sparse.csr_matrix(
        (np.ones(num), (np.arange(num), columns_n)), shape=(num, num_classes)
    )
    own_n = np.asarray(step.multiply(step.T).sum(axis=1)).ravel()
    around = step @ (step @ labels) - sparse.diags(own_n) @ labels
    return (sparse.diags(1 / np.maximum(1 - own_n, 1e-6)) @ around).tocsc()


def _calibrated(
    support: sparse.csc_matrix, columns_n: Ids, column: int, targets: Ids
) -> NDArray[np.float64]:
    """Return the share of right labels among targets at the level of support of each.

    Looks only at samples that meet the label, and at its targets, which ascend.
    """
    num, num_classes = support.shape
    inside = slice(support.indptr[column], support.indptr[column + 1])
    rows, shares = support.indices[inside], support.data[inside]
    # Samples that never meet the label are one level, however many there are. Rounded, so
    # that shares which are equal but for the order of a sum are one level as well.
    levels_l, places = np.unique(np.r_[0.0, np.round(shares, 9)], return_inverse=True)
    nowhere, places = places[0], places[1:]
    met = columns_n[rows] == column
    targets_l = np.bincount(places, met, len(levels_l))
    decoys_l = np.bincount(places, ~met, len(levels_l))
    targets_l[nowhere] += len(targets) - met.sum()
    decoys_l[nowhere] += num - len(targets) - (~met).sum()
    weights_l = targets_l + decoys_l / (num_classes - 1)
    taken = weights_l > 0
    right_l = np.zeros(len(levels_l))
    right_l[taken] = isotonic_regression(
        targets_l[taken] / weights_l[taken], weights=weights_l[taken]
    ).x
    place_of_target = np.full(len(targets), nowhere)
    place_of_target[np.searchsorted(targets, rows[met])] = places[met]
    right = right_l[place_of_target]
    # With t targets to d decoys at a level, d / t of the targets are wrong.
    share: NDArray[np.float64] = np.clip(2 - 1 / np.maximum(right, 1e-9), 0, 1)
    return share
