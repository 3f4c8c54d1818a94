"""What the next query would be; nobody is asked and nothing is recorded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy.engine import Connection

from holdfast.annotation.contact_sheet import render_preview
from holdfast.annotation.oracle import Card
from holdfast.phases.audit import LABEL_ERROR, as_found, examine, worth_asking
from holdfast.phases.choosing import Choice, choose
from holdfast.phases.found import as_findings
from holdfast.phases.oracles import cards_of
from holdfast.phases.pool import check_ready
from holdfast.phases.turn import Progress, Turn
from holdfast.project import Project
from holdfast.records import Finding, Query
from holdfast.store import labels, queries, rounds, samples
from holdfast.store.checkpoints import write_whole


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """A query that was not made.

    Attributes
    ----------
    query : Query
        Of the round that would make it.
    cards : tuple of Card
        What a person would see of each item, in its order.
    page : Path
        The contact sheet.
    """

    query: Query
    cards: tuple[Card, ...]
    choice: Choice
    page: Path


def preview(project: Project, progress: Progress | None = None) -> Preview:
    """Audit and choose as the next round would, and write the contact sheet.

    The draws are those of that round, so that it asks the same unless something changes
    before, or it finds copies of held-out samples in training, which leave it. Cost: that of
    the audit and query phases.

    Raises
    ------
    ConfigError, PoolExhaustedError, DayLimitError
        Where the round could not ask.
    """
    with project.ledger.read() as connection:
        check_ready(connection, project.config)
        number = _next_query(connection)
        names = labels.class_names(connection)
    turn = Turn(project=project, round_number=number, done=(), progress=progress)
    choice = choose(turn, _doubts(turn))
    query = Query(round_number=number, batch=1, items=choice.items)
    cards = cards_of(project, query)
    with project.ledger.read() as connection:
        ids = np.array([item.sample_id for item in query.items], np.int64)
        uids = samples.uids_of(connection, ids)
    page = project.queries / f"preview-{query.key}.html"
    project.queries.mkdir(exist_ok=True)
    text = render_preview(
        query, cards, project.images.read(uids), names, formula=project.config.query.strategy
    )
    write_whole(page, text.encode())
    return Preview(query=query, cards=cards, choice=choice, page=page)


def _doubts(turn: Turn) -> list[Finding]:
    """Return the doubts about labels that the round's query would see."""
    with turn.project.ledger.read() as connection:
        at_ingest = [row.finding for row in rounds.open_findings(connection, turn.round_number)]
    audited = examine(turn, images=False).labels
    if audited is None:
        return at_ingest
    return [*as_findings({LABEL_ERROR: as_found(worth_asking(turn, audited))}, {}), *at_ingest]


def _next_query(connection: Connection) -> int:
    """Return the number of the round that makes the next query: the open one if it has none."""
    newest = rounds.newest(connection)
    if newest is None:
        return 1
    asked = queries.queries_of(connection, newest.number)
    return newest.number + (newest.state != "open" or bool(asked))
