"""Which label of a sample holds: the one rule, as a query over the label log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from holdfast.store.many import among
from holdfast.store.schema import label_event, sample


@dataclass(frozen=True, slots=True)
class Scope:
    """Which label events count: those up to a watermark, less the excluded ranges.

    Attributes
    ----------
    watermark : int
        Id of the last event that may count.
    excluded : tuple of (int, int)
        Ranges of event ids, both ends included, that a rollback took out.
    moment : int or None
        Where the ledger keeps what held then (`held_labels`); 0 is before the first label.
        None: nobody kept it, so the rule goes over the events.
    """

    watermark: int
    excluded: tuple[tuple[int, int], ...] = ()
    moment: int | None = None


def confirming(event: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition of events by which people confirm a label.

    A consensus does, and an annotation that a round asked for. One that came with the data is
    a person's word, but nobody has looked at it since.
    """
    asked_for = (event.c.kind == "annotation") & event.c.round.is_not(None)
    return sa.or_(event.c.kind == "consensus", asked_for)


def winners(scope: Scope, sample_ids: Sequence[int] | None = None) -> sa.Subquery:
    """Return one row per sample with a label: `sample_id`, `event`, `class_id`, `verified`.

    Consensus counts before annotation, annotation before given; of annotations those that a
    round asked for count before those that came with the data; among equals the newest counts.
    `withdrawn` takes away everything said before it. A sample in quarantine has no label.

    Parameters
    ----------
    sample_ids : sequence of int, optional
        Go over the events of these alone.

    Notes
    -----
    Cost: one pass over the events in scope, inside the database.
    """
    event = label_event
    live_events = (
        sa.select(event)
        .where(event.c.id <= scope.watermark)
        .where(*(sa.not_(event.c.id.between(first, last)) for first, last in scope.excluded))
    )
    if sample_ids is not None:
        live_events = live_events.where(among(event.c.sample_id, sample_ids))
    withdrawn = sa.case((event.c.kind == "withdrawn", event.c.id))
    # A window, not a join: without statistics databases join this by going over it for each row.
    live = live_events.add_columns(
        sa.func.max(withdrawn).over(partition_by=event.c.sample_id).label("gone")
    ).cte("live")
    rank = sa.case(
        (live.c.kind == "consensus", 4),
        (confirming(live), 3),
        (live.c.kind == "annotation", 2),
        else_=1,
    )
    ranked = (
        sa.select(
            live.c.sample_id,
            live.c.id.label("event"),
            live.c.class_id,
            confirming(live).label("verified"),
            sa.func.row_number()
            .over(partition_by=live.c.sample_id, order_by=(rank.desc(), live.c.id.desc()))
            .label("place"),
        )
        .where(live.c.kind != "withdrawn")
        .where(sa.or_(live.c.gone.is_(None), live.c.id > live.c.gone))
        .cte("ranked")
    )
    return (
        sa.select(ranked.c.sample_id, ranked.c.event, ranked.c.class_id, ranked.c.verified)
        .join(sample, sample.c.id == ranked.c.sample_id)
        .where(ranked.c.place == 1, sample.c.state == "ok")
        .subquery("winners")
    )
