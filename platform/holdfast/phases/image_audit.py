"""What is wrong with the images themselves: copies, strangers, poor pictures, their order.

Shape suffixes: n samples, m neighbors of each, s samples in a set of copies, p properties.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from holdfast.data.contents import pixel_digests
from holdfast.data.integrity import decoding_threads
from holdfast.phases.found import Found, collect
from holdfast.phases.turn import Progress
from holdfast.project import Project
from holdfast.quality.duplicates import DuplicateSets, close_pairs, duplicate_sets, majority
from holdfast.quality.order import OrderTest, order_test
from holdfast.quality.outliers import outliers
from holdfast.records import Floats, Ids
from holdfast.store import samples

NEIGHBORS = 10
# Encoded images in memory at once, and images between two commits of what was measured.
_PIECE, _COMMIT = 64, 8192
EXACT, NEAR = "exact_duplicate", "near_duplicate"
ACROSS, CONFLICT, OUTLIER = "duplicate_across_splits", "duplicate_conflict", "outlier"
COPIES = (EXACT, NEAR, ACROSS, CONFLICT)


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageAudit:
    """What was found in the images.

    Attributes
    ----------
    sample_ids_n : ndarray of int64, shape (N,)
        All samples that are not in quarantine, labeled or not, ascending.
    found : mapping of str to Found
        By kind; a kind that was looked for and not found has an empty table.
    copies : DuplicateSets
        Rows count within `sample_ids_n`.
    leaks : ndarray of int64
        Numbers of the sets that have samples in the holdout and outside of it.
    order, order_inside : OrderTest
        In the order of ingest: as it is, and within classes and groups.
    common : mapping of str to float
        Flaws that most images share, by kind: the share of images, above one half.
    """

    sample_ids_n: Ids
    found: Mapping[str, Found]
    copies: DuplicateSets
    leaks: Ids
    order: OrderTest
    order_inside: OrderTest
    common: Mapping[str, float]


def audit_images(
    project: Project,
    sample_ids_n: Ids,
    labels_n: Ids,
    groups_n: Ids,
    held_out_n: NDArray[np.bool_],
    neighbors: tuple[Floats, Ids],
    rng: np.random.Generator,
    progress: Progress | None = None,
) -> ImageAudit:
    """Look for copies, outliers, poor images and an order that follows the pictures.

    Parameters
    ----------
    sample_ids_n : ndarray of int64, shape (N,)
    labels_n : ndarray of int64, shape (N,)
        Class ids on record; -1: none.
    groups_n : ndarray of int64, shape (N,)
        Numbers of groups; -1: none.
    held_out_n : ndarray of bool, shape (N,)
        Whether a sample is kept for evaluation.
    neighbors : tuple of ndarray, each of shape (N, M)
        Distances and rows of each sample's nearest others.

    Notes
    -----
    Cost: O(n m) besides the graph, 99 random orders of the samples, one full decode of each
    image that has never been measured (about 2 ms, once in its life), and one of each copy.
    """
    distances, rows = neighbors
    copies = _copies(project, sample_ids_n, *close_pairs(distances, rows))
    leaks = copies.mixed(held_out_n.astype(np.int64))
    strangers = outliers(distances)
    flagged = np.flatnonzero(strangers.flagged_n)
    strata = np.unique(np.stack([labels_n, groups_n]), axis=1, return_inverse=True)[1].ravel()
    found = {
        **_findings_of(copies, leaks, sample_ids_n, labels_n),
        OUTLIER: collect(sample_ids_n[flagged], strangers.scores_n[flagged]),
    }
    poor, common = _poor_images(project, sample_ids_n, progress)
    return ImageAudit(
        sample_ids_n=sample_ids_n,
        found=found | poor,
        copies=copies,
        leaks=leaks,
        order=order_test(rows, rng),
        order_inside=order_test(rows, rng, strata),
        common=common,
    )


def _copies(
    project: Project, sample_ids_n: Ids, pairs_p2: Ids, closeness_p: NDArray[np.float64]
) -> DuplicateSets:
    rows = np.unique(pairs_p2)
    digests = np.zeros(len(sample_ids_n), "S32")
    with project.ledger.read() as connection:
        uids = samples.uids_of(connection, sample_ids_n[rows])
    for start in range(0, len(rows), _PIECE):
        payloads = project.images.read(uids[start : start + _PIECE])
        digests[rows[start : start + _PIECE]] = pixel_digests(payloads)
    return duplicate_sets(pairs_p2, closeness_p, digests)


def _findings_of(
    copies: DuplicateSets, leaks: Ids, sample_ids_n: Ids, labels_n: Ids
) -> dict[str, Found]:
    ids, codes = sample_ids_n[copies.rows_s], labels_n[copies.rows_s]
    across = np.isin(copies.set_s, leaks)
    disputed = np.isin(copies.set_s, copies.mixed(labels_n)) & (codes >= 0)
    most = majority(codes, copies.set_s)
    chosen = {EXACT: copies.exact_s, NEAR: ~copies.exact_s, ACROSS: across}
    found = {
        kind: collect(ids[rows], copies.scores_s[rows], codes[rows])
        for kind, rows in chosen.items()
    }
    found[CONFLICT] = collect(
        ids[disputed], copies.scores_s[disputed], codes[disputed], most[disputed]
    )
    return found


def _poor_images(
    project: Project, sample_ids_n: Ids, progress: Progress | None
) -> tuple[dict[str, Found], dict[str, float]]:
    # Deferred: CleanVision takes seconds to import.
    from holdfast.quality.image_issues import MOST_PREVALENT, image_issues

    issues = image_issues(_properties(project, sample_ids_n, progress))
    found = {
        kind: collect(sample_ids_n[issue.flagged_n], issue.scores_n[issue.flagged_n])
        for kind, issue in issues.items()
    }
    common = {
        kind: issue.prevalence
        for kind, issue in issues.items()
        if issue.prevalence > MOST_PREVALENT
    }
    return found, common


def _properties(project: Project, sample_ids_n: Ids, progress: Progress | None) -> Floats:
    """Return what CleanVision measures, shape (N, P); each image is measured once."""
    from holdfast.quality.image_issues import PROPERTIES, STORED_AS, measure

    with project.ledger.read() as connection:
        uids = samples.uids_of(connection, sample_ids_n)
    properties, found_n = project.embeddings.read(STORED_AS, uids)
    if not properties.shape[1]:
        properties = np.zeros((len(uids), len(PROPERTIES)), np.float32)
    missing = np.flatnonzero(~found_n)
    with decoding_threads() as threads:
        for start in range(0, len(missing), _COMMIT):
            rows = missing[start : start + _COMMIT]
            for piece in (rows[at : at + _PIECE] for at in range(0, len(rows), _PIECE)):
                payloads = project.images.read([uids[row] for row in piece.tolist()])
                properties[piece] = measure(payloads, threads)
            project.embeddings.add(
                STORED_AS, [uids[row] for row in rows.tolist()], properties[rows]
            )
            if progress is not None:
                progress("looking at images", min(start + _COMMIT, len(missing)), len(missing))
    return properties
