"""Which label held when, three tiers of versions, tags, and who released what.

Digests of versions made before are computed anew: a digest is now the sum of the sha256 of
each (uid, class name) pair (store/label_digest.py). Those that rounds wrote down as their
outcome stay as they were.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.engine import Connection

# Event, class, whether it is verified, and uid, by sample.
Held = dict[int, tuple[int, int, bool, str]]

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the tables, and replay the label log into them, version by version."""
    op.create_table(
        "label_moment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_moment")),
    )
    op.create_table(
        "label_span",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sample_id", sa.Integer(), nullable=False),
        sa.Column("event", sa.Integer(), nullable=False),
        sa.Column("class_id", sa.Integer(), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("since", sa.Integer(), nullable=False),
        sa.Column("until", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["sample_id"], ["sample.id"], name=op.f("fk_label_span_sample_id_sample")
        ),
        sa.ForeignKeyConstraint(
            ["event"], ["label_event.id"], name=op.f("fk_label_span_event_label_event")
        ),
        sa.ForeignKeyConstraint(
            ["class_id"], ["class.id"], name=op.f("fk_label_span_class_id_class")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_span")),
    )
    op.create_index("ix_label_span_sample_id", "label_span", ["sample_id"])
    op.create_index("ix_label_span_since", "label_span", ["since"])
    over = sa.text("until IS NOT NULL")
    op.create_index(
        "ix_label_span_until",
        "label_span",
        ["until"],
        sqlite_where=over,
        postgresql_where=over,
    )
    op.create_table(
        "version_tag",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("dataset_version", sa.Integer(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_version"],
            ["dataset_version.id"],
            name=op.f("fk_version_tag_dataset_version_dataset_version"),
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_version_tag")),
    )
    op.create_table(
        "quarantine_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sample_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('set_aside', 'released')", name=op.f("ck_quarantine_event_kind")
        ),
        sa.ForeignKeyConstraint(
            ["sample_id"], ["sample.id"], name=op.f("fk_quarantine_event_sample_id_sample")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quarantine_event")),
    )
    op.create_index("ix_quarantine_event_sample_id", "quarantine_event", ["sample_id"])
    op.add_column(
        "dataset_version", sa.Column("moment", sa.Integer(), nullable=False, server_default="0")
    )
    _replay()


def _replay() -> None:
    connection = op.get_bind()
    names = dict(connection.execute(sa.text('SELECT id, name FROM "class"')).tuples().all())
    last = connection.scalar(sa.text("SELECT max(id) FROM label_event"))
    rows = connection.execute(
        sa.text("SELECT id, watermark, excluded, recipe FROM dataset_version ORDER BY id")
    ).all()
    kept: Held = {}
    moment = 0
    excluded: list[list[int]] = []
    for row in rows:
        excluded = _json(row.excluded)
        kept, moment = _change(connection, names, kept, moment, row.watermark, excluded)
        # What a round made was trained on; what a rollback made is a set of labels.
        tier = "raw" if "rollback_to" in _json(row.recipe) else "training"
        connection.execute(
            sa.text(
                "UPDATE dataset_version SET moment = :moment, tier = :tier, digest = :digest "
                "WHERE id = :id"
            ),
            {"moment": moment, "tier": tier, "digest": _digest(names, kept), "id": row.id},
        )
    if last is not None:
        _change(connection, names, kept, moment, last, excluded)


def _change(
    connection: Connection,
    names: dict[int, str],
    before: Held,
    moment: int,
    watermark: int,
    excluded: list[list[int]],
) -> tuple[Held, int]:
    """Write down how what holds now differs from what held before."""
    after = _resolve(connection, watermark, excluded)
    ended = [i for i, one in before.items() if i not in after or after[i][0] != one[0]]
    begun = [i for i, one in after.items() if i not in before or before[i][0] != one[0]]
    if not ended and not begun:
        return after, moment
    moment += 1
    if ended:
        connection.execute(
            sa.text("UPDATE label_span SET until = :m WHERE sample_id = :i AND until IS NULL"),
            [{"m": moment, "i": i} for i in ended],
        )
    if begun:
        connection.execute(
            sa.text(
                "INSERT INTO label_span (sample_id, event, class_id, verified, since) "
                "VALUES (:sample_id, :event, :class_id, :verified, :since)"
            ),
            [
                {
                    "sample_id": i,
                    "event": after[i][0],
                    "class_id": after[i][1],
                    "verified": after[i][2],
                    "since": moment,
                }
                for i in begun
            ],
        )
    counts = sorted(Counter(class_id for _, class_id, _, _ in after.values()).items())
    connection.execute(
        sa.text(
            "INSERT INTO label_moment (id, digest, counts, created_at) VALUES (:id, :digest, "
            ":counts, (SELECT max(created_at) FROM label_event WHERE id <= :watermark))"
        ),
        {
            "id": moment,
            "digest": _digest(names, after),
            "counts": json.dumps({str(class_id): number for class_id, number in counts}),
            "watermark": watermark,
        },
    )
    return after, moment


def _resolve(connection: Connection, watermark: int, excluded: list[list[int]]) -> Held:
    """Return (event, class, verified, uid) of each sample with a label, as the rule says."""
    # Whole numbers of the ledger's own, which no parameter list has room for.
    out = "".join(f" AND NOT (e.id BETWEEN {int(a)} AND {int(b)})" for a, b in excluded)
    rows = connection.execute(
        sa.text(
            "WITH live AS (SELECT e.* FROM label_event e WHERE e.id <= :watermark"  # noqa: S608
            + out
            + "), "
            "gone AS (SELECT sample_id, max(id) AS id FROM live WHERE kind = 'withdrawn' "
            "GROUP BY sample_id), "
            "ranked AS (SELECT live.sample_id, live.id, live.class_id, live.kind, "
            "row_number() OVER (PARTITION BY live.sample_id ORDER BY CASE live.kind "
            "WHEN 'consensus' THEN 3 WHEN 'annotation' THEN 2 ELSE 1 END DESC, live.id DESC) "
            "AS place FROM live LEFT JOIN gone ON gone.sample_id = live.sample_id "
            "WHERE live.kind <> 'withdrawn' AND (gone.id IS NULL OR live.id > gone.id)) "
            "SELECT ranked.sample_id, ranked.id, ranked.class_id, ranked.kind, sample.uid "
            "FROM ranked JOIN sample ON sample.id = ranked.sample_id "
            "WHERE ranked.place = 1 AND sample.state = 'ok'"
        ),
        {"watermark": watermark},
    )
    return {i: (event, k, kind != "given", uid) for i, event, k, kind, uid in rows}


def _digest(names: dict[int, str], kept: Held) -> str:
    total = sum(
        int.from_bytes(hashlib.sha256(f"{uid}\t{names[k]}".encode()).digest(), "big")
        for _, k, _, uid in kept.values()
    )
    return f"{total % (1 << 256):064x}"


def _json(value: Any) -> Any:
    # SQLite gives text where PostgreSQL gives values.
    return json.loads(value) if isinstance(value, str) else value
