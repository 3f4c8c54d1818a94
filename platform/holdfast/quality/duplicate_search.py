"""Near-duplicates among what is offered and what the ledger has.

Shape suffixes: n pictures, m of them that are offered, d numbers of an appearance, p pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from holdfast.data.appearance import DIMENSIONS, STORED_AS, appearances_of
from holdfast.data.splits import HOLDOUT, TRAIN
from holdfast.data.together import Offered, Together
from holdfast.errors import LedgerError
from holdfast.quality.joining import UNSETTLED, Joined, join
from holdfast.quality.near_duplicates import Appearances, near_pairs
from holdfast.records import Ids
from holdfast.store import intake, samples
from holdfast.store.images import EmbeddingStore, ImageStore
from holdfast.store.intake import KnownSample
from holdfast.store.ledger import Ledger

# Begins the names of groups that were found, not given. The rest is of the lowest uid in it.
PREFIX = "near-"
_DIGITS = 12
_SIDES = {"train": TRAIN, "holdout": HOLDOUT}
# Encoded images in memory at once, and images between two commits of how they look.
_PIECE, _COMMIT = 64, 8192
# Images whose looks are kept in one commit when they come in: 64 MiB of them.
_KEPT = 200_000


class DuplicateSearch:
    """Finds what looks the same; see `quality.near_duplicates` for what that means.

    How an image looks is found out while ingest decodes it, and kept beside the embeddings;
    samples of before that was done are decoded once more.

    Parameters
    ----------
    ledger : Ledger
    images : ImageStore
    embeddings : EmbeddingStore
    """

    def __init__(self, ledger: Ledger, images: ImageStore, embeddings: EmbeddingStore) -> None:
        self._ledger, self._images, self._embeddings = ledger, images, embeddings

    def remember(self, offered: Offered) -> None:
        """Keep how offered images look."""
        for start in range(0, len(offered.uids), _KEPT):
            rows = slice(start, start + _KEPT)
            looks_bd = offered.appearances_md[rows].astype(np.float32)
            self._embeddings.add(STORED_AS, offered.uids[rows], looks_bd)

    def together(self, offered: Offered, *, keep: bool) -> Together:
        """Return which offered images belong together, and with which samples in the ledger.

        The same whatever the order of the files, and after an ingest that was cut off. What
        has groups or sides that differ stays apart.

        Parameters
        ----------
        keep : bool
            As in `appearances`.

        Notes
        -----
        Cost: see `near_pairs`. How all samples look is read: 330 bytes each.
        """
        with self._ledger.read() as connection:
            known = intake.known_samples(connection, offered.uids)
            open_ids = {one.id for one in known.values() if one.untouched and one.split == "train"}
            if len(known) == len(offered.uids) and not open_ids:
                return Together()
            others = sorted(samples.all_usable_uids(connection).difference(offered.uids))
        uids = [*offered.uids, *others]
        looks_nd = np.concatenate([offered.appearances_md, self.appearances(others, keep=keep)])
        # In the order of the uids, so that ties are settled in one way.
        order_n = np.argsort(np.asarray(uids, "S64"), kind="stable")
        asked_m = np.flatnonzero(order_n < len(offered.uids))
        looks_nd = looks_nd[order_n]
        pairs_p2, closeness_p = near_pairs(looks_nd, asked_m)
        del looks_nd
        places, pairs_p2 = np.unique(pairs_p2, return_inverse=True)
        rows = order_n[places]
        given_n = np.where(rows < len(offered.uids), rows, -1)
        with self._ledger.read() as connection:
            paired = [uids[row] for row in rows.tolist()]
            nodes = _nodes(connection, offered, open_ids, paired, given_n)
        joined = join(pairs_p2.reshape(-1, 2), closeness_p, nodes.names, nodes.sides_n, len(uids))
        return _together(nodes, joined)

    def appearances(self, uids: Sequence[str], *, keep: bool) -> Appearances:
        """Return how samples look, shape (N, D); zeros where the image cannot be read.

        Parameters
        ----------
        keep : bool
            Whether what has to be decoded is kept for the next time.
        """
        known_nd, found_n = self._embeddings.read(STORED_AS, uids)
        looks_nd = np.zeros((len(uids), DIMENSIONS), np.float16)
        if found_n.any():
            looks_nd[found_n] = known_nd[found_n]
        missing = np.flatnonzero(~found_n)
        for start in range(0, len(missing), _COMMIT):
            rows = missing[start : start + _COMMIT]
            for piece in (rows[at : at + _PIECE] for at in range(0, len(rows), _PIECE)):
                looks_nd[piece] = self._look([uids[row] for row in piece.tolist()])
            if keep:
                again = [uids[row] for row in rows.tolist()]
                self._embeddings.add(STORED_AS, again, looks_nd[rows].astype(np.float32))
        return looks_nd

    def _look(self, uids: Sequence[str]) -> Appearances:
        try:
            return appearances_of(self._images.read(uids))
        except LedgerError:
            # A referenced file is gone. Whoever needs its pixels will say so.
            if len(uids) == 1:
                return np.zeros((1, DIMENSIONS), np.float16)
            return np.concatenate([self._look([uid]) for uid in uids])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Nodes:
    """The images in a pair: what the source or the ledger says about each.

    Attributes
    ----------
    given_n : ndarray of int64, shape (N,)
        Row in what is offered, -1 where it is not.
    names : sequence of str or None, length N
        Group, the source's word first.
    """

    uids: Sequence[str]
    given_n: Ids
    names: Sequence[str | None]
    sides_n: NDArray[np.int8]
    known: Mapping[str, KnownSample]


def _nodes(
    connection: Connection, offered: Offered, open_ids: set[int], uids: Sequence[str], given_n: Ids
) -> _Nodes:
    known = intake.known_samples(connection, uids)
    names: list[str | None] = []
    sides_n = np.full(len(uids), UNSETTLED, np.int8)
    for node, (uid, row) in enumerate(zip(uids, given_n.tolist(), strict=True)):
        one = known.get(uid)
        names.append((offered.groups[row] if row >= 0 else None) or (one.group if one else None))
        if one is not None and one.id not in open_ids:
            sides_n[node] = _SIDES[one.split]
        elif row >= 0:
            sides_n[node] = offered.sides_m[row]
    # Of a group that has a side, no member in these pairs may have told it.
    sides = intake.group_splits(connection, sorted({one for one in names if one}), open_ids)
    for node, name in enumerate(names):
        if sides_n[node] == UNSETTLED and name is not None and len(sides.get(name, ())) == 1:
            sides_n[node] = _SIDES[next(iter(sides[name]))]
    return _Nodes(uids=uids, given_n=given_n, names=names, sides_n=sides_n, known=known)


def _together(nodes: _Nodes, joined: Joined) -> Together:
    """Return groups of two images or more, with a name each."""
    members: dict[int, list[int]] = {}
    for node, first in enumerate(joined.group_n.tolist()):
        members.setdefault(first, []).append(node)
    group_of: dict[str, str] = {}
    regrouped: dict[str, tuple[int, ...]] = {}
    groups = [group for group in members.values() if len(group) > 1]
    for group in groups:
        named = next((nodes.names[node] for node in group if nodes.names[node]), None)
        name = named or PREFIX + nodes.uids[group[0]][:_DIGITS]
        group_of |= {nodes.uids[node]: name for node in group if nodes.given_n[node] >= 0}
        known = [nodes.known[uid] for uid in (nodes.uids[n] for n in group) if uid in nodes.known]
        unnamed = tuple(one.id for one in known if one.group is None)
        if unnamed:
            regrouped[name] = unnamed
    return Together(
        group_of=group_of,
        regrouped=regrouped,
        num_groups=len(groups),
        num_images=sum(len(group) for group in groups),
        largest_group=max((len(group) for group in groups), default=0),
        num_across=joined.num_across,
    )
