"""Nearest neighbors of embeddings; the home of faiss.

Shape suffixes: n base samples, m queries, d embedding dimensions, k neighbors, l cells,
p cells that a query looks into.
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from holdfast.model.shortlist import Shortlist, pairs_within
from holdfast.records import Floats, Ids

# Samples up to which all are compared with all. Dividing these into cells takes a third of the
# time (MNIST images, 64 or 256 principal components), and less the more there are.
EXACT_LIMIT = 20_000
# A base this many times smaller is never divided: its cells would hold next to nothing.
_SMALL = 20
# A base of n samples has sqrt(n) cells. Finds 98 % of the 10 nearest among 60,000 MNIST images
# and 97 % among 1,000,000 distorted ones; 8 cells find 96 % there.
PROBED_CELLS = 10
# A cell with more than this many times the average is searched in parts: where very many
# samples are alike, all with all would not end, and any of them will do.
_CROWDED = 8
# Samples a cell's center is computed from, and rounds it takes: cells need to be fair, not
# optimal, and training would take longer than the search.
_PER_CENTER = 40
_ROUNDS = 10
# Of the lists of a stored index, which hold sqrt(n) samples: finds 98 % of the 10 nearest among
# 60,000 MNIST images and among 1,000,000 distorted ones (64 principal components).
_PROBED_LISTS = 16
# They are made anew where they hold this many times what they should.
_OUTGROWN = 4
# Rows looked at together.
_ROWS = 65_536
# Visitors of a cell looked at together.
_VISITORS = 16_384
# A part of the golden ratio: steps of it come near no period.
_GOLDEN = 0.6180339887498949


def nearest(queries_md: Floats, base_nd: Floats, k: int) -> tuple[Floats, Ids]:
    """Find each query's nearest base samples, nearest first.

    Exact up to the comparisons that `EXACT_LIMIT` samples with each other take, and for
    sqrt(N) queries or fewer, time O(m n d); otherwise in the cells of the base, time
    O((n + m) sqrt(n) d), which may miss a few true neighbors.
    Memory O(m k + n) beside a block, also where the arrays are memory maps.

    Parameters
    ----------
    queries_md, base_nd : ndarray of float32, shape (M, D) and (N, D)
    k : int
        Neighbors wanted, at least 1; fewer come back when the base is smaller.

    Returns
    -------
    distances_mk : ndarray of float32, shape (M, min(k, N))
        Euclidean, ascending; infinite where a large base gave fewer than k.
    indices_mk : ndarray of int64, shape (M, min(k, N))
        Rows of `base_nd`; -1 where a large base gave fewer than k.

    Raises
    ------
    ValueError
        If k is below 1 or the dimensions of queries and base differ.

    Examples
    --------
    >>> base = np.array([[0.0], [1.0], [5.0]], np.float32)
    >>> nearest(np.array([[0.9]], np.float32), base, 2)[1].tolist()
    [[1, 0]]
    """
    return _search(queries_md, base_nd, k, same=False)


def graph(embeddings_nd: Floats, k: int) -> tuple[Floats, Ids]:
    """Find each sample's nearest others, nearest first: one graph for whoever needs one.

    Cost as of `nearest` with the samples as their own base.

    Parameters
    ----------
    embeddings_nd : ndarray of float32, shape (N, D)
    k : int
        Others wanted, at least 1; fewer come back when there are fewer.

    Returns
    -------
    distances_nk : ndarray of float32, shape (N, min(k, N - 1))
        Euclidean, ascending; infinite where a large set gave fewer than k.
    rows_nk : ndarray of int64, shape (N, min(k, N - 1))
        Never the sample's own row, but copies of it; -1 where a large set gave fewer.

    Raises
    ------
    ValueError
        If k is below 1.

    Examples
    --------
    >>> graph(np.array([[0.0], [1.0], [5.0]], np.float32), 1)[1].tolist()
    [[1], [0], [1]]
    """
    return _search(embeddings_nd, embeddings_nd, k, same=True)


def distance_to_nearest(queries_md: Floats, base_nd: Floats) -> Floats:
    """Euclidean distance from each query to its nearest base sample; infinite without a base.

    Cost as of `nearest`.
    """
    if len(base_nd) == 0:
        return np.full(len(queries_md), np.inf, np.float32)
    return nearest(queries_md, base_nd, 1)[0][:, 0]


def clusters(embeddings_nd: Floats, num: int) -> Ids:
    """Return the cluster of each sample, shape (N,), by k-means; the same every time.

    Clusters are numbered from 0 to `num` - 1; where samples repeat, some may be empty. Centers
    are found on a part of many samples. Time O(n d num).

    Raises
    ------
    ValueError
        If `num` is below 1 or there are fewer samples.

    References
    ----------
    .. [1] Arthur and Vassilvitskii, "k-means++: The Advantages of Careful Seeding", SODA 2007.

    Examples
    --------
    >>> points = np.array([[0.0], [9.0], [0.1], [9.2]], np.float32)
    >>> own = clusters(points, 2)
    >>> bool(own[0] == own[2] != own[1] == own[3])
    True
    """
    if not 1 <= num <= len(embeddings_nd):
        raise ValueError(f"num should be between 1 and {len(embeddings_nd)}, not {num}")
    centers_ld = _cell_centers(embeddings_nd, num, apart=True)
    return _nearest_cells(embeddings_nd, centers_ld, 1)[:, 0].astype(np.int64)


class NeighborIndex:
    """Embeddings by sample id that can be searched, added to and kept in a file.

    Up to `EXACT_LIMIT` samples it holds them as they are and searching is exact, time
    O(m n d); a larger one holds eight bits a number, in lists a query looks into some of:
    time O(m sqrt(n) d), memory n (d + 8) bytes.

    Parameters
    ----------
    sample_nd : ndarray of float32, shape (N, D)
        What lists are made from: embeddings drawn from those to come, best 40 sqrt(capacity)
        of them or more. None of them is in the index yet.
    capacity : int
        Samples it is made for. It takes more, and `outgrown` tells when it had better be
        made anew.

    References
    ----------
    .. [1] Jegou, Douze and Schmid, "Product Quantization for Nearest Neighbor Search", PAMI
       2011 (inverted lists of coded residuals).

    Examples
    --------
    >>> points = np.array([[0.0], [1.0], [5.0]], np.float32)
    >>> index = NeighborIndex(points, 3)
    >>> index.add(np.array([7, 8, 9]), points)
    >>> index.search(np.array([[0.9]], np.float32), 2)[1].tolist()
    [[8, 7]]
    """

    def __init__(self, sample_nd: Floats, capacity: int) -> None:
        dimensions = sample_nd.shape[1]
        self._index: Any = faiss.IndexIDMap2(faiss.IndexFlatL2(dimensions))
        if capacity > EXACT_LIMIT:
            quantizer = faiss.IndexFlatL2(dimensions)
            num_lists = min(int(np.sqrt(capacity)), len(sample_nd))
            quantizer.add(_cell_centers(sample_nd, num_lists))
            self._index = faiss.IndexIVFScalarQuantizer(
                quantizer, dimensions, num_lists, faiss.ScalarQuantizer.QT_8bit
            )
            self._index.train(np.ascontiguousarray(sample_nd, np.float32))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dimensions(self) -> int:
        """D of the embeddings."""
        return int(self._index.d)

    @property
    def sample_ids(self) -> Ids:
        """Ids of the samples in it, ascending; time O(n log n)."""
        if isinstance(self._index, faiss.IndexIDMap2):
            return np.sort(faiss.vector_to_array(self._index.id_map))
        lists = self._index.invlists
        views = [
            faiss.rev_swig_ptr(lists.get_ids(i), lists.list_size(i)) for i in range(lists.nlist)
        ]
        return np.sort(np.concatenate(views))

    def outgrown(self, num: int) -> bool:
        """Whether `num` samples are so many more than it was made for that it searches slowly.

        True above `EXACT_LIMIT` for one that compares with all, and where lists would hold
        four times what they are meant to.
        """
        if isinstance(self._index, faiss.IndexIDMap2):
            return num > EXACT_LIMIT
        return num > _OUTGROWN * int(self._index.nlist) ** 2

    def add(self, sample_ids_n: Ids, embeddings_nd: Floats) -> None:
        """Add samples that are not in it yet; time O(n sqrt(N) d) where it has lists."""
        if len(sample_ids_n) != len(embeddings_nd):
            raise ValueError(f"{len(sample_ids_n)} ids but {len(embeddings_nd)} embeddings")
        self._index.add_with_ids(np.ascontiguousarray(embeddings_nd, np.float32), sample_ids_n)

    def search(self, queries_md: Floats, k: int) -> tuple[Floats, Ids]:
        """Return distances and sample ids of each query's nearest, as `nearest` does."""
        k = min(k, len(self))
        if k == 0 or len(queries_md) == 0:
            shape = (len(queries_md), k)
            return np.empty(shape, np.float32), np.empty(shape, np.int64)
        if not isinstance(self._index, faiss.IndexIDMap2):
            self._index.nprobe = _PROBED_LISTS
        squared, ids = self._index.search(np.ascontiguousarray(queries_md, np.float32), k)
        distances = np.sqrt(np.maximum(squared, 0.0), dtype=np.float32)
        distances[ids < 0] = np.inf
        return distances, ids

    def to_bytes(self) -> bytes:
        """Return what `from_bytes` reads."""
        payload: bytes = faiss.serialize_index(self._index).tobytes()
        return payload

    @classmethod
    def from_bytes(cls, payload: bytes) -> NeighborIndex:
        """Return the index that `to_bytes` wrote.

        Raises
        ------
        ValueError
            If the bytes are not those of an index.
        """
        index = cls.__new__(cls)
        try:
            index._index = faiss.deserialize_index(np.frombuffer(payload, np.uint8))
        except RuntimeError as error:
            raise ValueError(f"not an index of neighbors: {error}") from error
        return index


def _search(queries_md: Floats, base_nd: Floats, k: int, *, same: bool) -> tuple[Floats, Ids]:
    """Find neighbors; a query is not its own where `same` says that row i is row i."""
    if k < 1:
        raise ValueError(f"k should be at least 1, not {k}")
    num_queries, num = len(queries_md), len(base_nd)
    k = min(k, max(num - same, 0))
    if k == 0 or num_queries == 0:
        shape = (num_queries, k)
        return np.empty(shape, np.float32), np.empty(shape, np.int64)
    if queries_md.shape[1] != base_nd.shape[1]:
        raise ValueError(
            f"queries have {queries_md.shape[1]} dimensions but the base has {base_nd.shape[1]}"
        )
    found = Shortlist(num_queries, k)
    few = num_queries * num <= EXACT_LIMIT**2 or num <= EXACT_LIMIT // _SMALL
    if few or num_queries <= np.sqrt(num):
        base = np.ascontiguousarray(base_nd, np.float32)
        for start in range(0, num_queries, _ROWS):
            queries = np.arange(start, min(start + _ROWS, num_queries))
            part = np.ascontiguousarray(queries_md[start : start + _ROWS], np.float32)
            _compare(found, queries, part, base, np.arange(num), same)
    else:
        _search_cells(found, queries_md, base_nd, same)
    return found.settled(queries_md, base_nd)


def _compare(
    found: Shortlist, queries: Ids, queries_bd: Floats, base_cd: Floats, rows_c: Ids, same: bool
) -> None:
    """Offer some queries some of the base."""
    k = found.k + same  # one more than wanted, where one may be itself
    squared, places = faiss.knn(queries_bd, base_cd, min(k, len(base_cd)))
    rows = rows_c[places]
    if same:
        squared[rows == queries[:, None]] = np.inf
    found.keep(queries, squared, rows)


def _search_cells(found: Shortlist, queries_md: Floats, base_nd: Floats, same: bool) -> None:
    """Offer each query the base samples of the cells nearest to it."""
    num = len(base_nd)
    centers_ld = _cell_centers(base_nd, int(np.sqrt(num)))
    num_cells = len(centers_ld)
    probed_mp = _nearest_cells(queries_md, centers_ld, min(PROBED_CELLS, num_cells))
    own_n = probed_mp[:, 0] if same else _nearest_cells(base_nd, centers_ld, 1)[:, 0]
    members = _by_cell(own_n, num_cells)
    # All visitors of a cell at once: a product of matrices. An index that answers query by
    # query reads the cell once for each, and takes 5 to 8 times as long. Every query meets
    # its own cell first, so that of the others only what is nearer has to be looked at.
    for probes_mp in (probed_mp[:, :1], probed_mp[:, 1:]):
        for cell, visits in enumerate(_by_cell(probes_mp, num_cells)):
            inside, visitors = members[cell], visits // max(probes_mp.shape[1], 1)
            num_parts = 1 + len(inside) * num_cells // (_CROWDED * num)
            for part, group in enumerate(np.array_split(visitors, num_parts)):
                rows = inside[part::num_parts]
                if len(rows) and len(group):
                    base = base_nd[rows] - centers_ld[cell]
                    _visit(found, group, queries_md, base, rows, centers_ld[cell], same)


def _visit(
    found: Shortlist,
    visitors: Ids,
    queries_md: Floats,
    base_cd: Floats,
    rows_c: Ids,
    center_d: Floats,
    same: bool,
) -> None:
    """Offer visitors the samples of a cell, both less its center: smaller numbers round less."""
    for start in range(0, len(visitors), _VISITORS):
        some = visitors[start : start + _VISITORS]
        queries = queries_md[some] - center_d
        farthest = found.farthest(some)
        fresh = np.isinf(farthest)
        if fresh.any():
            _compare(found, some[fresh], queries[fresh], base_cd, rows_c, same)
        some, queries, farthest = some[~fresh], queries[~fresh], farthest[~fresh]
        if len(some):
            places, others, squared = pairs_within(queries, base_cd, farthest)
            met, met_by = rows_c[others], some[places]
            other = met != met_by if same else slice(None)
            found.keep_pairs(met_by[other], squared[other], met[other])


def _cell_centers(embeddings_nd: Floats, num_cells: int, *, apart: bool = False) -> Floats:
    """Return centers of a k-means on a part of the samples, shape (L, D); the same every time.

    Started from samples that lie `apart`, few centers do not share one group and leave another.
    """
    num = min(len(embeddings_nd), _PER_CENTER * num_cells)
    # Spread evenly over the rows, at no period that an order of the rows might have.
    spread = (np.arange(num) * _GOLDEN % 1 * len(embeddings_nd)).astype(np.int64)
    drawn = np.unique(spread) if num < len(embeddings_nd) else np.arange(num)
    clustering = faiss.Clustering(embeddings_nd.shape[1], num_cells)
    clustering.niter = _ROUNDS
    clustering.max_points_per_centroid = _PER_CENTER
    clustering.min_points_per_centroid = 1
    if apart:
        clustering.init_method = faiss.ClusteringInitMethod_KMEANS_PLUS_PLUS
    quantizer = faiss.IndexFlatL2(embeddings_nd.shape[1])
    clustering.train(np.ascontiguousarray(embeddings_nd[drawn], np.float32), quantizer)
    centers: Floats = quantizer.reconstruct_n(0, num_cells)
    return centers


def _nearest_cells(embeddings_nd: Floats, centers_ld: Floats, num: int) -> NDArray[np.int32]:
    """Return the cells nearest to each sample, nearest first, shape (N, P)."""
    cells_np = np.empty((len(embeddings_nd), num), np.int32)
    for start in range(0, len(embeddings_nd), _ROWS):
        part = np.ascontiguousarray(embeddings_nd[start : start + _ROWS], np.float32)
        cells_np[start : start + _ROWS] = faiss.knn(part, centers_ld, num)[1]
    return cells_np


def _by_cell(cells: NDArray[np.int32], num_cells: int) -> list[Ids]:
    """Return for each cell the places where it occurs."""
    order = np.argsort(cells, axis=None, kind="stable")
    return np.split(order, np.cumsum(np.bincount(cells.ravel(), minlength=num_cells))[:-1])
