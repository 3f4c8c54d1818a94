"""Which side of the split the contents of an ingest go to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sqlalchemy.engine import Connection

from holdfast.data.content import Content
from holdfast.data.given import GivenLabel
from holdfast.data.splits import HOLDOUT, TRAIN, UNDECIDED, DataConfig, choose_holdout
from holdfast.errors import IngestError
from holdfast.records import Ids
from holdfast.store import intake

_SIDES = {"": UNDECIDED, "train": TRAIN, "holdout": HOLDOUT}


def check_sides(connection: Connection, contents: Mapping[str, Content]) -> None:
    """Look whether a manifest puts members of known groups where the ledger has them.

    Raises
    ------
    IngestError
        If not. Asked of every piece before the first is written, it leaves the ledger as
        it was.
    """
    _decide(connection, contents, intake.known_samples(connection, list(contents)))


def choose_side(
    connection: Connection,
    data: DataConfig,
    seed: int,
    contents: Mapping[str, Content],
    known: Mapping[str, intake.KnownSample],
    given: Mapping[str, GivenLabel],
    class_ids: Mapping[str, int],
    counts: tuple[Ids, Ids],
) -> tuple[set[str], list[str]]:
    """Choose the uids that go to the holdout now, and return those it chose among.

    They are new samples, and known ones that were never labeled.
    """
    uids, decided = _decide(connection, contents, known)
    label_of = [class_ids[given[uid].label] if uid in given else -1 for uid in uids]
    held = choose_holdout(
        uids,
        [contents[uid].group for uid in uids],
        np.array(label_of, dtype=np.int64),
        np.array(decided, dtype=np.int8),
        fraction=data.holdout_fraction,
        seed=seed,
        known_train_k=counts[0],
        known_holdout_k=counts[1],
    )
    return {uids[row] for row in np.flatnonzero(held)}, uids


def _decide(
    connection: Connection,
    contents: Mapping[str, Content],
    known: Mapping[str, intake.KnownSample],
) -> tuple[list[str], list[int]]:
    """Return the uids whose side is open or new, and the side that is settled for each."""
    # INVARIANT: a sample that had a label before stays on its side, because a model may
    # have learned from it.
    uids = [
        uid
        for uid, content in contents.items()
        if content.usable
        and (uid not in known or (known[uid].untouched and known[uid].split == "train"))
    ]
    besides = {known[uid].id for uid in uids if uid in known}
    groups = [contents[uid].group for uid in uids]
    sides = intake.group_splits(connection, sorted({g for g in groups if g}), besides)
    decided = [_SIDES[contents[uid].split] for uid in uids]
    for row, group in enumerate(groups):
        # A group seen before is settled as a whole; a manifest that says otherwise
        # about one of its members is refused.
        for side in sides.get(group or "", ()):
            if decided[row] not in (UNDECIDED, _SIDES[side]):
                raise IngestError(
                    f"{contents[uids[row]].name} is to be in {contents[uids[row]].split} but its "
                    f"group {group!r} is in {side} already; give the group's side, or none"
                )
            decided[row] = _SIDES[side]
    return uids, decided
