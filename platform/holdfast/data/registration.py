"""Inspected contents -> rows of the ledger, a piece at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy.engine import Connection

from holdfast.data import people
from holdfast.data.content import Content
from holdfast.data.given import GivenLabel, settle
from holdfast.data.report import SetAside
from holdfast.data.sides import choose_side
from holdfast.data.splits import DataConfig
from holdfast.records import Finding, Ids, LabelEvent
from holdfast.store import held_labels, intake, labels, rounds, samples
from holdfast.store.samples import NewSample


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """What one piece of an ingest added; see `IngestReport`."""

    num_contents: int
    num_added: int
    num_labeled: int
    num_answers: int
    num_holdout: int
    classes_added: tuple[str, ...]
    quarantined: tuple[SetAside, ...]
    conflicts: tuple[SetAside, ...]


class Registration:
    """Writes an ingest into the ledger, a piece at a time, each in a transaction of its own.

    What becomes of a piece follows from the piece and from what the ledger has by then, so
    an ingest that was cut off between two pieces ends as if it had not been.

    Parameters
    ----------
    classes : sequence of str
        Classes to add, in the order in which they get their ids.
    data : DataConfig
    seed : int
        Decides the holdout.
    dry : bool
        Whether every piece is taken back, so that the ledger never shows the earlier ones.
    regrouped : mapping of str to sequence of int, optional
        Ids of samples in the ledger that new ones join, by the name of the group.
    """

    def __init__(
        self,
        classes: Sequence[str],
        data: DataConfig,
        seed: int,
        *,
        dry: bool = False,
        regrouped: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self._classes, self._data, self._seed, self._dry = classes, data, seed, dry
        self._regrouped = regrouped or {}
        # Labels per class and side, and the newest event they count. Counting them anew for
        # each piece would make a large ingest quadratic.
        self._counts: tuple[Ids, Ids] = (np.zeros(0, np.int64), np.zeros(0, np.int64))
        self._counted = -1

    def record(self, connection: Connection, contents: Mapping[str, Content]) -> Recorded:
        """Write samples, classes, labels, answers and conflicts of a piece.

        The caller holds the transaction.

        Parameters
        ----------
        contents : mapping of str to Content
            By uid. What the ledger has already is not written again.

        Raises
        ------
        IngestError
            If a group would lie on both sides of the split: nothing is written then.
        """
        groups = {content.group for content in contents.values() if content.group}
        for group in sorted(groups & self._regrouped.keys()):
            intake.name_group(connection, self._regrouped[group], group)
        known = intake.known_samples(connection, list(contents))
        given = {
            uid: settle(content.statements)
            for uid, content in contents.items()
            if content.usable and content.statements and (uid not in known or known[uid].usable)
        }
        classes_added = labels.add_classes(connection, self._classes)
        class_ids = {name: index for index, name in enumerate(labels.class_names(connection))}

        counts = self._count(connection)
        held, fresh = choose_side(
            connection, self._data, self._seed, contents, known, given, class_ids, counts
        )
        num_added = _write_samples(connection, contents, known, held)
        intake.hold_out(connection, [known[uid].id for uid in held if uid in known])
        sample_ids = samples.ids_of(connection, list(given))
        num_labeled = _write_labels(connection, contents, given, sample_ids, class_ids)
        before = [sample_ids[uid] for uid in given if uid in known]
        num_answers = people.record(connection, contents, sample_ids, class_ids, before)
        _write_conflicts(connection, given, sample_ids, class_ids)

        # A label that replaces another one, or none where a label was to be, takes a new count.
        chosen_among = set(fresh)
        num_said = sum(len(one.said) for one in given.values())
        if chosen_among.issuperset(given) and num_labeled >= num_said:
            self._add_counts(given, fresh, held, class_ids)
            self._counted = labels.last_event(connection)
        return Recorded(
            num_contents=len(contents),
            num_added=num_added,
            num_labeled=num_labeled,
            num_answers=num_answers,
            num_holdout=len(held),
            classes_added=tuple(classes_added),
            quarantined=tuple(
                SetAside(content.name, content.found.reason)
                for content in contents.values()
                if content.found.reason is not None
            ),
            conflicts=tuple(
                SetAside(contents[uid].name, _contradiction(contents[uid], one, name))
                for uid, one in given.items()
                for name in one.contradicting
            ),
        )

    def _count(self, connection: Connection) -> tuple[Ids, Ids]:
        """Return labels per class in training and in the holdout."""
        shown = self._counted if self._dry else labels.last_event(connection)
        if self._counted < 0 or shown != self._counted:
            counts = held_labels.class_counts(connection, held_labels.newest(connection).id)
            self._counts = (_per_class(counts["train"]), _per_class(counts["holdout"]))
            self._counted = labels.last_event(connection)
        return self._counts

    def _add_counts(
        self,
        given: Mapping[str, GivenLabel],
        fresh: Sequence[str],
        held: set[str],
        class_ids: Mapping[str, int],
    ) -> None:
        sides = ([uid for uid in fresh if uid not in held], [uid for uid in fresh if uid in held])
        counted = []
        for uids, before in zip(sides, self._counts, strict=True):
            ids = [class_ids[given[uid].label] for uid in uids if uid in given]
            more = np.bincount(np.array(ids, dtype=np.int64), minlength=len(before))
            counted.append(more + np.pad(before, (0, len(more) - len(before))))
        self._counts = (counted[0], counted[1])


def _per_class(counts: Mapping[int, int]) -> Ids:
    found = np.zeros(max(counts, default=-1) + 1, dtype=np.int64)
    found[list(counts)] = list(counts.values())
    return found


def _write_samples(
    connection: Connection,
    contents: Mapping[str, Content],
    known: Mapping[str, intake.KnownSample],
    held: set[str],
) -> int:
    """Register what is new, quarantined files included; the number of new usable samples."""
    new = [uid for uid in contents if uid not in known]
    samples.register(connection, [_new_sample(uid, contents[uid], uid in held) for uid in new])
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
    events = [
        LabelEvent(
            sample_id=sample_ids[uid],
            kind="annotation" if annotator else "given",
            class_id=class_ids[name],
            annotator=annotator or "source",
            source_key=key,
        )
        for uid, one in given.items()
        for name, annotator in one.said
        for key in (contents[uid].keys or {}).get(
            (name, annotator), [f"given/{uid}/{annotator}/{name}"]
        )
    ]
    return labels.append(connection, events, None)


def _write_conflicts(
    connection: Connection,
    given: Mapping[str, GivenLabel],
    sample_ids: Mapping[str, int],
    class_ids: Mapping[str, int],
) -> None:
    """Record each contradiction as a finding, once, however often it is ingested."""
    recorded = intake.known_conflicts(connection, list(sample_ids.values()))
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
