"""Everything the ledger says about one sample, table by table."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.store.schema import (
    answer,
    class_,
    dataset_version,
    finding,
    label_event,
    label_span,
    model,
    promotion,
    quarantine_event,
    query,
    query_item,
    question,
    sample,
)

Facts = dict[str, object]
UID_DIGITS = 64
# Columns that hold class ids.
_CLASSES = ("class_id", "given", "suggested", "guess")
# What the story tells in other words, or no reader needs.
_UNTOLD = ("sample_id", "lease_owner", "lease_until", "source_key")


def named(connection: Connection, text: str, limit: int) -> list[tuple[int, str, str]]:
    """Return (id, uid, source) of the samples whose uid begins with a text."""
    rows = connection.execute(
        sa.select(sample.c.id, sample.c.uid, sample.c.source)
        .where(sample.c.uid >= text, sample.c.uid < text + "g")
        .order_by(sample.c.uid)
        .limit(limit)
    )
    return list(rows.tuples())


def from_path(
    connection: Connection, paths: Sequence[str], limit: int
) -> list[tuple[int, str, str]]:
    """Return (id, uid, source) of samples that came from a path, or from one ending like it.

    Cost: one pass over the samples.
    """
    source = sample.c.source
    wanted = sa.or_(
        source.in_(paths), *(source.endswith(f"/{path}", autoescape=True) for path in paths)
    )
    rows = connection.execute(
        sa.select(sample.c.id, sample.c.uid, source)
        .where(wanted)
        .order_by(sample.c.id)
        .limit(limit)
    )
    return list(rows.tuples())


def story(connection: Connection, sample_id: int) -> dict[str, list[Facts]]:
    """Return rows as mappings, with classes named, in the order they were written.

    Returns
    -------
    dict of str to list
        `sample` (one row), `events`, `spans` (from which moment to which each label held),
        `quarantine`, `findings`, `queries`, `questions`, `answers`, and `models`: those whose
        dataset version holds the sample, with the label it had there.
    """
    held = (label_span.c.since <= dataset_version.c.moment) & sa.or_(
        label_span.c.until.is_(None), label_span.c.until > dataset_version.c.moment
    )
    taught = (
        sa.select(
            model.c.sha256,
            model.c.round,
            model.c.created_at,
            model.c.dataset_version,
            label_span.c.class_id,
        )
        .join(dataset_version, dataset_version.c.id == model.c.dataset_version)
        .join(label_span, held)
        .where(label_span.c.sample_id == sample_id)
        .order_by(model.c.round, model.c.sha256)
    )
    names = dict(connection.execute(sa.select(class_.c.id, class_.c.name)).tuples().all())
    champion = connection.scalar(
        sa.select(promotion.c.champion).order_by(promotion.c.sequence.desc()).limit(1)
    )
    statements = {
        "sample": sa.select(sample).where(sample.c.id == sample_id),
        "events": _of(label_event, sample_id).order_by(label_event.c.id),
        "spans": _of(label_span, sample_id).order_by(label_span.c.id),
        "quarantine": _of(quarantine_event, sample_id).order_by(quarantine_event.c.id),
        "findings": _of(finding, sample_id).order_by(finding.c.id),
        "queries": sa.select(query.c.round, query_item)
        .join(query, query.c.key == query_item.c.query_key)
        .where(query_item.c.sample_id == sample_id)
        .order_by(query.c.round, query.c.batch),
        "questions": _of(question, sample_id).order_by(question.c.opened_at),
        "answers": _of(answer, sample_id).order_by(answer.c.id),
        "models": taught,
    }
    told = {
        part: [_named(row, names) for row in connection.execute(statement)]
        for part, statement in statements.items()
    }
    for one in told["models"]:
        one["champion"] = one["sha256"] == champion
    return told


def _of(table: sa.Table, sample_id: int) -> sa.Select[tuple[int, ...]]:
    return sa.select(table).where(table.c.sample_id == sample_id)


def _named(row: sa.Row[tuple[int, ...]], names: dict[int, str]) -> Facts:
    """Return a row with class names in place of class ids."""
    facts: Facts = {}
    for key, value in row._mapping.items():
        if key in _UNTOLD:
            continue
        if key in _CLASSES:
            facts["class" if key == "class_id" else str(key)] = names.get(value)
        else:
            facts[str(key)] = value
    return facts
