"""Inspected contents -> rows of the ledger, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sqlalchemy.engine import Connection

from holdfast.data.examine import Content
from holdfast.data.given import GivenLabel, settle
from holdfast.data.offers import Source
from holdfast.data.splits import HOLDOUT, TRAIN, UNDECIDED, DataConfig, choose_holdout
from holdfast.errors import IngestError
from holdfast.records import Finding, LabelEvent
from holdfast.store import intake, labels, rounds, samples
from holdfast.store.samples import NewSample

# Rows handed to the database at a time: as values they take ten times the memory of
# what they are made from.
_ROWS = 20_000
_SIDES = {"": UNDECIDED, "train": TRAIN, "holdout": HOLDOUT}


@dataclass(frozen=True, slots=True)
class SetAside:
    """A file that was not taken as offered, and why."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class IngestReport:
    """What one ingest did.

    Attributes
    ----------
    num_offered : int
        Files looked at = added + known + duplicates + quarantined.
    num_added, num_known : int
        New samples, and images that the ledger had already.
    num_duplicates : int
        Files with the same bytes as an earlier one of this ingest.
    num_labeled : int
        Label events added; several annotators may speak about one sample.
    num_holdout : int
        Samples that this ingest put into the holdout.
    classes_added : tuple of str
    quarantined : tuple of SetAside
        Files that cannot be used; one row each in the ledger.
    conflicts : tuple of SetAside
        Given labels that contradict another one of the same image in this ingest, and
        were not used. Each is a finding in the ledger.
    """

    num_offered: int
    num_added: int
    num_known: int
    num_duplicates: int
    num_labeled: int
    num_holdout: int
    classes_added: tuple[str, ...]
    quarantined: tuple[SetAside, ...]
    conflicts: tuple[SetAside, ...]


def record(
    connection: Connection,
    source: Source,
    contents: Mapping[str, Content],
    num_offered: int,
    data: DataConfig,
    seed: int,
) -> IngestReport:
    """Write samples, classes, given labels and conflicts; the caller holds the transaction.

    Parameters
    ----------
    contents : mapping of str to Content
        By uid. What the ledger has already is not written again.
    num_offered : int
        Files that the contents come from.
    data : DataConfig
    seed : int
        Decides the holdout.

    Raises
    ------
    IngestError
        If a group would lie on both sides of the split: nothing is written then.
    """
    known = intake.known_samples(connection, list(contents))
    given = {
        uid: settle(content.statements)
        for uid, content in contents.items()
        if content.usable and content.statements and (uid not in known or known[uid].usable)
    }
    named = {name for one in given.values() for name in (one.label, *one.contradicting)}
    named |= {name for one in given.values() for name, _ in one.said}
    offered_classes = (name for name in source.labels if name in named)
    classes_added = labels.add_classes(connection, [*data.classes, *offered_classes])
    class_ids = {name: index for index, name in enumerate(labels.class_names(connection))}

    held = _hold_out(connection, data, seed, contents, known, given, class_ids)
    num_added = _write_samples(connection, contents, known, held)
    intake.hold_out(connection, [known[uid].id for uid in held if uid in known])
    sample_ids = samples.ids_of(connection, list(given))
    num_labeled = _write_labels(connection, contents, given, sample_ids, class_ids)
    _write_conflicts(connection, given, sample_ids, class_ids)

    quarantined = [
        SetAside(content.name, content.found.reason)
        for content in contents.values()
        if content.found.reason is not None
    ]
    return IngestReport(
        num_offered=num_offered,
        num_added=num_added,
        num_known=len(contents) - num_added - len(quarantined),
        num_duplicates=num_offered - len(contents),
        num_labeled=num_labeled,
        num_holdout=len(held),
        classes_added=tuple(classes_added),
        quarantined=tuple(quarantined),
        conflicts=tuple(
            SetAside(contents[uid].name, _contradiction(contents[uid], one, name))
            for uid, one in given.items()
            for name in one.contradicting
        ),
    )


def _write_samples(
    connection: Connection,
    contents: Mapping[str, Content],
    known: Mapping[str, intake.KnownSample],
    held: set[str],
) -> int:
    """Register what is new, quarantined files included; the number of new usable samples."""
    new = [uid for uid in contents if uid not in known]
    for start in range(0, len(new), _ROWS):
        chunk = new[start : start + _ROWS]
        samples.register(
            connection, [_new_sample(uid, contents[uid], uid in held) for uid in chunk]
        )
    return sum(contents[uid].usable for uid in new)


def _new_sample(uid: str, content: Content, is_held: bool) -> NewSample:
    return NewSample(
        uid=uid,
        num_bytes=content.num_bytes,
        width=content.found.width,
        height=content.found.height,
        channels=content.found.channels,
        source=content.name,
        group=content.group,
        split="holdout" if is_held else "train",
        reason=content.found.reason,
    )


def _write_labels(
    connection: Connection,
    contents: Mapping[str, Content],
    given: Mapping[str, GivenLabel],
    sample_ids: Mapping[str, int],
    class_ids: Mapping[str, int],
) -> int:
    """Append what was said to the label log; the number of events that are new."""
    uids, num_labeled = list(given), 0
    for start in range(0, len(uids), _ROWS):
        events = [
            LabelEvent(
                sample_id=sample_ids[uid],
                kind="given",
                class_id=class_ids[name],
                annotator=annotator or "source",
                source_key=key,
            )
            for uid in uids[start : start + _ROWS]
            for name, annotator in given[uid].said
            for key in (contents[uid].keys or {}).get(
                (name, annotator), [f"given/{uid}/{annotator}/{name}"]
            )
        ]
        num_labeled += labels.append(connection, events, None)
    return num_labeled


def _write_conflicts(
    connection: Connection,
    given: Mapping[str, GivenLabel],
    sample_ids: Mapping[str, int],
    class_ids: Mapping[str, int],
) -> None:
    """Record each contradiction as a finding, once, however often it is ingested."""
    recorded = intake.known_conflicts(connection)
    conflicts = [
        Finding(
            sample_id=sample_ids[uid],
            kind=intake.CONFLICT,
            score=0.0,
            given=class_ids[one.label],
            suggested=class_ids[name],
        )
        for uid, one in given.items()
        for name in one.contradicting
        if (sample_ids[uid], class_ids[name]) not in recorded
    ]
    rounds.add_findings(connection, conflicts, None)


def _contradiction(content: Content, given: GivenLabel, name: str) -> str:
    where = (content.others or {}).get(name)
    by = f" as {where}" if where else ""
    return f"also labeled {name}{by}; {given.label} was kept, so look which of them is right"


def _hold_out(
    connection: Connection,
    data: DataConfig,
    seed: int,
    contents: Mapping[str, Content],
    known: Mapping[str, intake.KnownSample],
    given: Mapping[str, GivenLabel],
    class_ids: Mapping[str, int],
) -> set[str]:
    """Choose the uids that go to the holdout now: new ones, and known ones never labeled."""
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
        # about one of its members is refused by choose_holdout.
        for side in sides.get(group or "", ()):
            if decided[row] not in (UNDECIDED, _SIDES[side]):
                raise IngestError(
                    f"{contents[uids[row]].name} is to be in {contents[uids[row]].split} but its "
                    f"group {group!r} is in {side} already; give the group's side, or none"
                )
            decided[row] = _SIDES[side]
    label_of = [class_ids[given[uid].label] if uid in given else -1 for uid in uids]
    everything = labels.open_scope(connection)
    known_counts = [
        np.bincount(labels.resolve(connection, everything, side).class_ids_n)
        for side in ("train", "holdout")
    ]
    held = choose_holdout(
        uids,
        groups,
        np.array(label_of, dtype=np.int64),
        np.array(decided, dtype=np.int8),
        fraction=data.holdout_fraction,
        seed=seed,
        known_train_k=known_counts[0],
        known_holdout_k=known_counts[1],
    )
    return {uids[row] for row in np.flatnonzero(held)}
