"""The ledger's tables.

`label_event`, `answer`, `round_phase`, `promotion` and `quarantine_event` are append-only. Times
are UTC, ISO 8601. Times, ids that other systems gave, and `label_moment` and `label_span`, which
follow from the rest, take no part in the ledger's digest.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# One row is one image, or one file that could not be read as an image (quarantined).
sample = Table(
    "sample",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("uid", String(64), nullable=False, unique=True),
    Column("num_bytes", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("channels", Integer, nullable=False),
    Column("source", String, nullable=False),
    Column("group", String),
    Column("split", String, nullable=False),  # train | holdout
    Column("state", String, nullable=False),  # ok | quarantined
    Column("reason", String),
    Column("created_at", String, nullable=False),
    CheckConstraint("split IN ('train', 'holdout')", name="split"),
    CheckConstraint("state IN ('ok', 'quarantined')", name="state"),
    Index("ix_sample_state_split", "state", "split"),
)

# The id is the class's index in every model's head, and is never reused.
class_ = Table(
    "class",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String, nullable=False, unique=True),
    Column("created_at", String, nullable=False),
)

label_event = Table(
    "label_event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sample_id", ForeignKey("sample.id"), nullable=False),
    Column("kind", String, nullable=False),
    Column("class_id", ForeignKey("class.id")),
    Column("annotator", String, nullable=False),
    Column("round", Integer),
    Column("source_key", String, nullable=False, unique=True),
    Column("created_at", String, nullable=False),
    CheckConstraint(
        "kind IN ('given', 'annotation', 'consensus', 'withdrawn')",
        name="kind",
    ),
    CheckConstraint("(kind = 'withdrawn') = (class_id IS NULL)", name="class"),
    Index("ix_label_event_sample_id", "sample_id"),
)

# A change of the labels that hold. Ids rise in the order of the changes.
label_moment = Table(
    "label_moment",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), nullable=False),  # of all labels that hold after it
    Column("counts", JSON, nullable=False),  # {class id: samples}; no class without any
    Column("created_at", String, nullable=False),
)

# From which moment on a label held, and at which it no longer did: what the rule says of the
# events (label_rule.py), kept so that no version has to ask it again.
label_span = Table(
    "label_span",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sample_id", ForeignKey("sample.id"), nullable=False),
    Column("event", ForeignKey("label_event.id"), nullable=False),
    Column("class_id", ForeignKey("class.id"), nullable=False),
    Column("verified", Boolean, nullable=False),
    Column("since", Integer, nullable=False),
    Column("until", Integer),  # null: it holds now
    Index("ix_label_span_sample_id", "sample_id"),
    Index("ix_label_span_since", "since"),
    Index(
        "ix_label_span_until",
        "until",
        sqlite_where=text("until IS NOT NULL"),
        postgresql_where=text("until IS NOT NULL"),
    ),
)

# Sets of labels (raw), with a policy that changes images (augmented), with what learns from
# them and how it draws (training): each names the one below it, none is a copy.
dataset_version = Table(
    "dataset_version",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("round", Integer, nullable=False),
    Column("tier", String, nullable=False),  # raw | augmented | training
    Column("parent", ForeignKey("dataset_version.id")),
    Column("watermark", Integer, nullable=False),
    Column("excluded", JSON, nullable=False),  # [[first, last], ...] label event ids
    Column("moment", Integer, nullable=False, server_default="0"),  # 0: before any label
    Column("digest", String(64), nullable=False),
    Column("num_labels", Integer, nullable=False),
    Column("recipe", JSON, nullable=False),
    Column("created_at", String, nullable=False),
)

version_tag = Table(
    "version_tag",
    metadata,
    Column("name", String, primary_key=True),
    Column("dataset_version", ForeignKey("dataset_version.id"), nullable=False),
    Column("who", String, nullable=False),
    Column("created_at", String, nullable=False),
)

# Generated images an augmented version admits. They are no samples: nobody is asked about them,
# no label event names them, and no split holds them.
synthetic = Table(
    "synthetic",
    metadata,
    Column("dataset_version", ForeignKey("dataset_version.id"), primary_key=True),
    Column("uid", String(64), primary_key=True),
    Column("class_id", ForeignKey("class.id"), nullable=False),
    Column("generator", String(64), nullable=False),  # sha256 of its weights
    Index("ix_synthetic_uid", "uid"),
)

# Who put a sample into quarantine or took it out after ingest, and why.
quarantine_event = Table(
    "quarantine_event",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("sample_id", ForeignKey("sample.id"), nullable=False),
    Column("kind", String, nullable=False),
    Column("reason", String, nullable=False),  # for which it lies, or lay, in quarantine
    Column("who", String, nullable=False),
    Column("created_at", String, nullable=False),
    CheckConstraint("kind IN ('set_aside', 'released')", name="kind"),
    Index("ix_quarantine_event_sample_id", "sample_id"),
)

round_ = Table(
    "round",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("state", String, nullable=False),  # open | finished
    Column("config_digest", String(64), nullable=False),
    Column("started_at", String, nullable=False),
    Column("finished_at", String),
    CheckConstraint("state IN ('open', 'finished')", name="state"),
)

# A row is written in the same transaction as everything its phase changed.
round_phase = Table(
    "round_phase",
    metadata,
    Column("round", ForeignKey("round.number"), primary_key=True),
    Column("step", Integer, primary_key=True),
    Column("phase", String, nullable=False),
    Column("next_phase", String),  # null: the round is finished
    Column("outcome", JSON, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("finished_at", String, nullable=False),
)

query = Table(
    "query",
    metadata,
    Column("key", String, primary_key=True),
    Column("round", ForeignKey("round.number"), nullable=False),
    Column("batch", Integer, nullable=False),
    UniqueConstraint("round", "batch"),
)

query_item = Table(
    "query_item",
    metadata,
    Column("query_key", ForeignKey("query.key"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("sample_id", ForeignKey("sample.id"), nullable=False),
    Column("reason", String, nullable=False),
    Column("score", Float, nullable=False),
    Column("parts", JSON, nullable=False),
    Column("guess", ForeignKey("class.id")),
    Column("confidence", Float, nullable=False),
    UniqueConstraint("query_key", "sample_id"),
    Index("ix_query_item_sample_id", "sample_id"),
)

# Where the question of a query item stands. What was asked, and why, never changes.
question = Table(
    "question",
    metadata,
    Column("query_key", ForeignKey("query.key"), primary_key=True),
    Column("sample_id", ForeignKey("sample.id"), primary_key=True),
    Column("state", String, nullable=False),
    Column("priority", Float, nullable=False),  # higher: sent first
    Column("reason", String),  # why it was withdrawn, or is disputed
    Column("external_id", String),  # the oracle's own id
    Column("lease_owner", String),
    Column("lease_until", String),
    Column("opened_at", String, nullable=False),
    Column("sent_at", String),
    Column("answered_at", String),
    Column("closed_at", String),
    CheckConstraint(
        "state IN ('open', 'sent', 'answered', 'disputed', 'settled', 'withdrawn')",
        name="state",
    ),
    Index("ix_question_state", "state"),
    Index("ix_question_sample_id", "sample_id"),
)

# What an oracle is to remember: its project, its watermark.
oracle_state = Table(
    "oracle_state",
    metadata,
    Column("oracle", String, primary_key=True),
    Column("state", JSON, nullable=False),
)

# Of rows with one external id the newest holds.
answer = Table(
    "answer",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("query_key", ForeignKey("query.key")),  # null: nobody asked, it came with the data
    Column("sample_id", ForeignKey("sample.id"), nullable=False),
    Column("oracle", String, nullable=False),
    Column("external_id", String, nullable=False),
    Column("updated_at", String, nullable=False),
    Column("annotator", String, nullable=False),
    Column("label", String),
    Column("class_id", ForeignKey("class.id")),
    Column("state", String, nullable=False),
    Column("reason", String),  # why it is in quarantine
    Column("remark", String, nullable=False, server_default=""),
    Column("comment", String, nullable=False, server_default=""),
    Column("seconds", Float),
    Column("answered_at", String),
    Column("created_at", String, nullable=False),
    CheckConstraint("state IN ('ok', 'unknown', 'quarantined', 'withdrawn')", name="state"),
    UniqueConstraint("oracle", "external_id", "updated_at", name="uq_answer_identity"),
    Index("ix_answer_query_key", "query_key"),
    Index("ix_answer_sample_id", "sample_id"),
)

finding = Table(
    "finding",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("round", ForeignKey("round.number")),  # null: found at ingest
    Column("sample_id", ForeignKey("sample.id"), nullable=False),
    Column("kind", String, nullable=False),
    Column("score", Float, nullable=False),  # in [0, 1]; low = suspect
    Column("given", ForeignKey("class.id")),
    Column("suggested", ForeignKey("class.id")),
    Column("outcome", String),  # corrected | confirmed | unresolved
    UniqueConstraint("round", "sample_id", "kind"),
    Index("ix_finding_sample_id", "sample_id"),
)

model = Table(
    "model",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("round", ForeignKey("round.number"), nullable=False),
    Column("parent", ForeignKey("model.sha256")),
    Column("dataset_version", ForeignKey("dataset_version.id"), nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("created_at", String, nullable=False),
)

# The champion is the newest row's. The primary key is the compare-and-swap: two
# writers that saw the same champion offer the same sequence number, and one fails.
promotion = Table(
    "promotion",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("round", Integer, nullable=False),
    Column("previous", ForeignKey("model.sha256")),
    Column("champion", ForeignKey("model.sha256"), nullable=False),
    Column("dataset_version", ForeignKey("dataset_version.id"), nullable=False),
    Column("kind", String, nullable=False),  # promote | rollback
    Column("verdict", JSON, nullable=False),
    Column("who", String, nullable=False),
    Column("created_at", String, nullable=False),
    CheckConstraint("kind IN ('promote', 'rollback')", name="kind"),
)
