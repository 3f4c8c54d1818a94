"""What differs between the labels of two moments, at the price of what changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.store import held_labels
from holdfast.store.many import among, chunks
from holdfast.store.schema import label_event, label_span, quarantine_event, sample

Transitions = dict[tuple[int | None, int | None], int]
_ROWS = 5000


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelChange:
    """One sample whose label differs between two moments.

    Attributes
    ----------
    before, after : int or None
        Class ids; None: no label.
    who, when, why : str
        Of the event that the later label rests on, or that took it away; empty where none
        tells (a rollback brings back what was said before). `why` is the event's kind, or
        the reason of a quarantine.
    round_number : int or None
        In which round it was said; None: at ingest, or between rounds.
    """

    sample_id: int
    uid: str
    source: str
    before: int | None
    after: int | None
    who: str
    when: str
    why: str
    round_number: int | None


def transitions(connection: Connection, before: int, after: int) -> Transitions:
    """Count samples by the label they had at one moment and the one they had at another.

    Parameters
    ----------
    before, after : int
        Moments, in either order.

    Returns
    -------
    dict of (int or None, int or None) to int
        By class ids; None: no label. Samples with the same label at both are left out.

    Notes
    -----
    Cost: one pass over the spans that began or ended between the two.
    """
    if 0 in (before, after):
        # Before the first label there is nothing to compare with.
        counts = held_labels.at(connection, max(before, after)).counts
        return {(None, k) if before == 0 else (k, None): n for k, n in counts.items()}
    changed = _changed(before, after)
    rows = connection.execute(
        sa.select(changed.c.was, changed.c.becomes, sa.func.count()).group_by(
            changed.c.was, changed.c.becomes
        )
    )
    return {(was, becomes): number for was, becomes, number in rows.tuples()}


def changes(
    connection: Connection, before: int, after: int, limit: int | None = None
) -> Iterator[LabelChange]:
    """Yield each sample whose label differs, by sample id: `limit` of them, or all.

    Memory: that of a few thousand changes, however many there are.
    """
    changed = _changed(before, after)
    last, left = 0, limit
    while left is None or left > 0:
        rows = connection.execute(
            sa.select(changed, sample.c.uid, sample.c.source)
            .join(sample, sample.c.id == changed.c.sample_id)
            .where(changed.c.sample_id > last)
            .order_by(changed.c.sample_id)
            .limit(_ROWS if left is None else min(left, _ROWS))
        ).all()
        if not rows:
            return
        yield from _explained(connection, rows, max(before, after))
        last = rows[-1].sample_id
        left = None if left is None else left - len(rows)


def _changed(before: int, after: int) -> sa.Subquery:
    """Select `sample_id`, `was`, `becomes` and `event` where two moments differ."""
    first, last = min(before, after), max(before, after)
    span = label_span.c
    ended = sa.select(
        span.sample_id,
        span.class_id.label("early"),
        sa.null().label("late"),
        sa.null().label("event"),
    ).where(span.since <= first, span.until > first, span.until <= last)
    begun = sa.select(span.sample_id, sa.null(), span.class_id, span.event).where(
        span.since > first, span.since <= last, sa.or_(span.until.is_(None), span.until > last)
    )
    both = sa.union_all(ended, begun).subquery()
    early, late = sa.func.max(both.c.early), sa.func.max(both.c.late)
    forward = before <= after
    return (
        sa.select(
            both.c.sample_id,
            (early if forward else late).label("was"),
            (late if forward else early).label("becomes"),
            sa.func.max(both.c.event).label("event"),
        )
        .group_by(both.c.sample_id)
        .having(sa.or_(early.is_(None), late.is_(None), early != late))
        .subquery("changed")
    )


def _explained(
    connection: Connection, rows: Sequence[sa.Row[tuple[int, ...]]], moment: int
) -> Iterator[LabelChange]:
    events = {}
    for chunk in chunks([row.event for row in rows if row.event is not None]):
        found = connection.execute(sa.select(label_event).where(among(label_event.c.id, chunk)))
        events.update({event.id: event for event in found})
    gone = _taken_away(connection, [row.sample_id for row in rows if row.event is None], moment)
    for row in rows:
        who, when, why, round_number = gone.get(row.sample_id, ("", "", "", None))
        if row.event is not None:
            event = events[row.event]
            who, when, why = event.annotator, event.created_at, event.kind
            round_number = event.round
        yield LabelChange(
            sample_id=row.sample_id,
            uid=row.uid,
            source=row.source,
            before=row.was,
            after=row.becomes,
            who=who,
            when=when,
            why=why,
            round_number=round_number,
        )


def _taken_away(
    connection: Connection, sample_ids: Sequence[int], moment: int
) -> dict[int, tuple[str, str, str, int | None]]:
    """Return who took each sample's label away, when, why and in which round."""
    until = held_labels.created_at(connection, moment)
    found: dict[int, tuple[str, str, str, int | None]] = {}
    for chunk in chunks(sample_ids):
        said = connection.execute(
            sa.select(label_event)
            .where(among(label_event.c.sample_id, chunk), label_event.c.kind == "withdrawn")
            .where(label_event.c.created_at <= until)
            .order_by(label_event.c.id)
        )
        for event in said:
            found[event.sample_id] = (event.annotator, event.created_at, event.kind, event.round)
        aside = connection.execute(
            sa.select(quarantine_event)
            .where(among(quarantine_event.c.sample_id, chunk))
            .where(quarantine_event.c.kind == "set_aside")
            .where(quarantine_event.c.created_at <= until)
            .order_by(quarantine_event.c.id)
        )
        for row in aside:
            if row.sample_id not in found or found[row.sample_id][1] <= row.created_at:
                why = f"in quarantine: {row.reason}"
                found[row.sample_id] = (row.who, row.created_at, why, None)
    return found
