"""What the ledger already has of another system's project, by the names it gave."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from holdfast.store.many import among, chunks
from holdfast.store.schema import query_item, sample


def sources_below(connection: Connection, prefix: str) -> dict[str, str]:
    """Return the uids of usable samples whose source begins with a text, by source."""
    rows = connection.execute(
        sa.select(sample.c.source, sample.c.uid).where(
            sample.c.state == "ok", sample.c.source.startswith(prefix, autoescape=True)
        )
    )
    return dict(rows.tuples().all())


def asked_uids(connection: Connection, uids: Sequence[str]) -> set[str]:
    """Return those of the uids whose samples people were ever asked about."""
    found: set[str] = set()
    for chunk in chunks(uids):
        rows = connection.execute(
            sa.select(sample.c.uid)
            .where(among(sample.c.uid, chunk))
            .where(sa.exists().where(query_item.c.sample_id == sample.c.id))
        )
        found |= set(rows.scalars())
    return found
