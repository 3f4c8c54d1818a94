"""Training samples that show what a held-out one shows: which of them leave training.

Shape suffixes: n samples, p pairs, d numbers of an appearance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from holdfast.data.contents import pixel_digests
from holdfast.data.splits import MIN_TRAINING_LABELS
from holdfast.phases.found import Found, collect
from holdfast.phases.image_audit import ImageAudit
from holdfast.phases.leak_reasons import EXACT_REASON, NEAR_REASON, REASONS
from holdfast.project import Project
from holdfast.quality.near_duplicates import STRICT, near_pairs
from holdfast.records import Ids, LabelTable
from holdfast.store import quarantine, samples

# Why one stays in training.
RELEASED, FEW_LABELS, UNSURE = "released by a person", "few labels", "not sure"
_PIECE = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Leaks:
    """What an audit does about training samples that are copies of held-out ones.

    Attributes
    ----------
    pairs_p2 : ndarray of int64, shape (P, 2)
        Ids of a training sample and of the held-out one that it is closest to.
    closeness_p : ndarray of float64, shape (P,)
        In [0, 1); 0: the same pixels.
    moved : mapping of int to str
        Training samples that go to quarantine, and the reason a person reads there.
    kept : mapping of int to str
        Those that stay, and why: RELEASED, FEW_LABELS or UNSURE.
    """

    pairs_p2: Ids = field(default_factory=lambda: np.empty((0, 2), np.int64))
    closeness_p: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    moved: Mapping[int, str] = field(default_factory=dict)
    kept: Mapping[int, str] = field(default_factory=dict)

    def found(self, before: Found) -> Found:
        """Return what an audit found on both sides, with what was found here."""
        ids, places = np.unique(self.pairs_p2, return_inverse=True)
        scores = np.ones(len(ids))
        for places_p in places.reshape(-1, 2).T:
            np.minimum.at(scores, places_p, self.closeness_p)
        new = collect(ids, scores).besides(before.sample_ids_s)
        return collect(
            np.concatenate([before.sample_ids_s, new.sample_ids_s]),
            np.concatenate([before.scores_s, new.scores_s]),
            np.concatenate([before.given_s, new.given_s]),
            np.concatenate([before.suggested_s, new.suggested_s]),
        )

    def as_json(self) -> dict[str, object]:
        """Return counts."""
        exact = sum(reason.startswith(EXACT_REASON) for reason in self.moved.values())
        return {
            "moved": len(self.moved),
            "moved_exact": exact,
            "moved_near": len(self.moved) - exact,
            "kept": dict(sorted(Counter(self.kept.values()).items())),
        }


def find_leaks(
    project: Project, images: ImageAudit, held_out_ids: Ids, labeled: LabelTable
) -> Leaks:
    """Find training samples that are copies of held-out ones, and decide which leave training.

    The holdout never changes. One of the same pixels leaves, and so does one that is closer
    than `quality.near_duplicates.STRICT`. One stays if a person has released it from here
    before, if its class would fall below MIN_TRAINING_LABELS, the closest leaving first, or if
    it is not that close: it is shown to people. So do images that are nearly flat, which are
    many in some sets, and of which one is as good as the other.

    Parameters
    ----------
    held_out_ids : ndarray of int64
    labeled : LabelTable
        Labels that hold, on both sides.

    Notes
    -----
    Cost: the neighbors of the holdout among all samples, one full decode of each sample in a
    pair, and of those that have not been looked at yet.
    """
    with project.ledger.read() as connection:
        uids = samples.uids_of(connection, images.sample_ids_n)
    looks_nd = project.near_duplicates.appearances(uids, keep=True)
    pairs_p2, closeness_p = _near(looks_nd, images.sample_ids_n, held_out_ids)
    of_sets = _in_sets(images, held_out_ids)
    flat_ids = images.sample_ids_n[~looks_nd.any(axis=1)]
    of_sets = of_sets[~np.isin(of_sets[:, 0], flat_ids)]
    pairs_p2 = np.concatenate([pairs_p2, of_sets])
    if not len(pairs_p2):
        return Leaks()
    same_p = _same_pixels(project, pairs_p2)
    closeness_p = np.concatenate([closeness_p, np.full(len(of_sets), np.inf)])
    closeness_p[same_p] = 0.0
    # What the audit's own measure takes for copies and this one does not is its finding alone.
    known = np.isfinite(closeness_p)
    pairs_p2, closeness_p = pairs_p2[known], closeness_p[known]
    order = np.lexsort((pairs_p2[:, 1], closeness_p, pairs_p2[:, 0]))
    closest = order[np.unique(pairs_p2[order, 0], return_index=True)[1]]
    pairs_p2, closeness_p = pairs_p2[closest], closeness_p[closest]
    with project.ledger.read() as connection:
        moved, kept = _decide(connection, pairs_p2, closeness_p, _training(labeled, held_out_ids))
    return Leaks(pairs_p2=pairs_p2, closeness_p=closeness_p, moved=moved, kept=kept)


def _near(
    looks_nd: NDArray[np.float16], sample_ids_n: Ids, held_out_ids: Ids
) -> tuple[Ids, NDArray[np.float64]]:
    """Return pairs of a training and a held-out sample that are near-duplicates."""
    held_out_n = np.isin(sample_ids_n, held_out_ids)
    pairs_p2, closeness_p = near_pairs(looks_nd, np.flatnonzero(held_out_n))
    across = held_out_n[pairs_p2].sum(axis=1) == 1
    pairs_p2, closeness_p = pairs_p2[across], closeness_p[across]
    training_first = np.argsort(held_out_n[pairs_p2], axis=1, kind="stable")
    return sample_ids_n[np.take_along_axis(pairs_p2, training_first, axis=1)], closeness_p


def _training(labeled: LabelTable, held_out_ids: Ids) -> dict[int, int]:
    """Return the class of each training sample that has a label."""
    rows = ~np.isin(labeled.sample_ids_n, held_out_ids)
    columns = labeled.sample_ids_n[rows].tolist(), labeled.class_ids_n[rows].tolist()
    return dict(zip(*columns, strict=True))


def _in_sets(images: ImageAudit, held_out_ids: Ids) -> Ids:
    """Return the pairs of a training and a held-out sample inside the audit's sets of copies."""
    pairs = [np.empty((0, 2), np.int64)]
    for number in images.leaks.tolist():
        ids = images.sample_ids_n[images.copies.members(number)]
        held = np.isin(ids, held_out_ids)
        training, held_out = np.meshgrid(ids[~held], ids[held], indexing="ij")
        pairs.append(np.stack([training.ravel(), held_out.ravel()], axis=1))
    return np.concatenate(pairs)


def _same_pixels(project: Project, pairs_p2: Ids) -> NDArray[np.bool_]:
    ids, places = np.unique(pairs_p2, return_inverse=True)
    with project.ledger.read() as connection:
        uids = samples.uids_of(connection, ids)
    digests = np.concatenate(
        [
            pixel_digests(project.images.read(uids[start : start + _PIECE]))
            for start in range(0, len(uids), _PIECE)
        ]
    )
    of_pair = digests[places.reshape(-1, 2)]
    return np.asarray(of_pair[:, 0] == of_pair[:, 1])


def _decide(
    connection: Connection,
    pairs_p2: Ids,
    closeness_p: NDArray[np.float64],
    label_of: Mapping[int, int],
) -> tuple[dict[int, str], dict[int, str]]:
    """Return why training samples leave, and why others stay."""
    ids = pairs_p2[:, 0]
    released = quarantine.released_for(connection, ids.tolist())
    uids = samples.uids_of(connection, pairs_p2[:, 1])
    sources = samples.sources_of(connection, pairs_p2[:, 1])
    left = Counter(label_of.values())
    moved: dict[int, str] = {}
    kept: dict[int, str] = {}
    for row in np.lexsort((ids, closeness_p)).tolist():
        sample_id, closeness = int(ids[row]), closeness_p[row]
        label = label_of.get(sample_id)
        if released.get(sample_id, "").startswith(REASONS):
            kept[sample_id] = RELEASED
        elif closeness >= STRICT:
            kept[sample_id] = UNSURE
        elif label is not None and left[label] <= MIN_TRAINING_LABELS:
            # A label of a rare class leaves by a person's word alone.
            kept[sample_id] = FEW_LABELS
        else:
            if label is not None:
                left[label] -= 1
            moved[sample_id] = (
                f"{NEAR_REASON if closeness > 0 else EXACT_REASON} ({uids[row][:12]}, "
                f"{Path(sources[row]).name}); with it in training the holdout measures what was "
                "learned by heart. `holdfast quarantine release` puts it back"
            )
    return moved, kept
