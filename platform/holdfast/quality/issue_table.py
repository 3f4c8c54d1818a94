"""cleanlab's own verdicts on our graph of neighbors: Datalab, for those who know its table.

Shape suffixes: n samples, m neighbors of each, k classes.
"""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]  # ships no types

from holdfast.records import Floats, Ids

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # cleanlab warns about optional parts it cannot import
    import pandas as pd  # type: ignore[import-untyped]  # ships no types
    from cleanlab.datalab.datalab import Datalab  # type: ignore[import-untyped]  # no stubs

# What can be said from labels, probabilities and neighbors alone. Not its underperforming
# groups: DBSCAN makes them within a radius in units of the embeddings, which nobody knows.
ISSUES: Mapping[str, Mapping[str, Any]] = {
    "label": {},
    "outlier": {},
    "near_duplicate": {},
    "non_iid": {},
    "class_imbalance": {},
}


def neighbor_matrix(distances_nm: Floats, rows_nm: Ids) -> sparse.csr_matrix:
    """Return a graph of neighbors in the form that cleanlab and scikit-learn take.

    Parameters
    ----------
    distances_nm : ndarray of float32, shape (N, M)
        Ascending.
    rows_nm : ndarray of int64, shape (N, M)
        Itself left out.

    Returns
    -------
    scipy.sparse.csr_matrix of float64, shape (N, N)
        M entries a row, nearest first.

    Raises
    ------
    ValueError
        If some sample has fewer than M neighbors (-1): Datalab cannot take that.
    """
    if (rows_nm < 0).any():
        raise ValueError(
            f"{int((rows_nm < 0).any(axis=1).sum())} of {len(rows_nm)} samples have fewer than "
            f"{rows_nm.shape[1]} neighbors; ask the graph for fewer of each"
        )
    num, width = rows_nm.shape
    starts = np.arange(0, num * width + 1, width)
    distances = distances_nm.astype(np.float64).ravel()
    return sparse.csr_matrix((distances, rows_nm.ravel(), starts), shape=(num, num))


def datalab_issues(
    columns_n: Ids,
    pred_probs_nk: NDArray[np.float64],
    distances_nm: Floats,
    rows_nm: Ids,
    *,
    issue_types: Mapping[str, Mapping[str, Any]] = ISSUES,
) -> pd.DataFrame:
    """Return Datalab's table of issues, found on our graph: it searches no neighbors itself.

    Parameters
    ----------
    columns_n : ndarray of int64, shape (N,)
        Labels as columns 0..K-1.
    pred_probs_nk : ndarray of float64, shape (N, K)
        Out of sample; rows sum to 1.
    distances_nm, rows_nm : ndarray, shape (N, M)
        Nearest others of each sample; Datalab wants 10 for its defaults.
    issue_types : mapping
        Datalab's own: names and their settings. It is left as it was.

    Returns
    -------
    pandas.DataFrame
        Columns `is_<issue>_issue` and `<issue>_score` (low = suspect), a row a sample. An
        issue that Datalab fails on is left out by it.

    Raises
    ------
    ValueError
        If some sample has fewer than M neighbors.

    Notes
    -----
    Datalab holds 25 permutations of the graph for `non_iid`: memory O(25 n m).
    """
    graph = neighbor_matrix(distances_nm, rows_nm)
    # It draws from numpy's global generator and prints what it does.
    state = np.random.get_state()  # noqa: NPY002
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lab = Datalab({"label": columns_n}, label_name="label", verbosity=0)
            lab.find_issues(
                pred_probs=pred_probs_nk,
                knn_graph=graph,
                # Datalab writes probabilities into what it is given, and a second call with
                # the same settings would silently judge by the first call's.
                issue_types=copy.deepcopy({name: dict(how) for name, how in issue_types.items()}),
            )
    finally:
        np.random.set_state(state)  # noqa: NPY002
    return lab.get_issues()
