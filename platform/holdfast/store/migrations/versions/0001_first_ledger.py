"""The first ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create every table."""
    op.create_table(
        "class",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_class")),
        sa.UniqueConstraint("name", name=op.f("uq_class_name")),
    )
    op.create_table(
        "dataset_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("tier", sa.String(), nullable=False),
        sa.Column("parent", sa.Integer(), nullable=True),
        sa.Column("watermark", sa.Integer(), nullable=False),
        sa.Column("excluded", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("num_labels", sa.Integer(), nullable=False),
        sa.Column("recipe", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["parent"],
            ["dataset_version.id"],
            name=op.f("fk_dataset_version_parent_dataset_version"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset_version")),
    )
    op.create_table(
        "round",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("config_digest", sa.String(length=64), nullable=False),
        sa.Column("started_at", sa.String(), nullable=False),
        sa.Column("finished_at", sa.String(), nullable=True),
        sa.CheckConstraint("state IN ('open', 'finished')", name=op.f("ck_round_state")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_round")),
    )
    op.create_table(
        "sample",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("num_bytes", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("channels", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("group", sa.String(), nullable=True),
        sa.Column("split", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.CheckConstraint("split IN ('train', 'holdout')", name=op.f("ck_sample_split")),
        sa.CheckConstraint("state IN ('ok', 'quarantined')", name=op.f("ck_sample_state")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sample")),
        sa.UniqueConstraint("uid", name=op.f("uq_sample_uid")),
    )
    op.create_index("ix_sample_state_split", "sample", ["state", "split"], unique=False)
    op.create_table(
        "finding",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=True),
        sa.Column("sample_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("given", sa.Integer(), nullable=True),
        sa.Column("suggested", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["given"], ["class.id"], name=op.f("fk_finding_given_class")),
        sa.ForeignKeyConstraint(["round"], ["round.number"], name=op.f("fk_finding_round_round")),
        sa.ForeignKeyConstraint(
            ["sample_id"], ["sample.id"], name=op.f("fk_finding_sample_id_sample")
        ),
        sa.ForeignKeyConstraint(
            ["suggested"], ["class.id"], name=op.f("fk_finding_suggested_class")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_finding")),
        sa.UniqueConstraint("round", "sample_id", "kind", name=op.f("uq_finding_round")),
    )
    op.create_index("ix_finding_sample_id", "finding", ["sample_id"], unique=False)
    op.create_table(
        "label_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sample_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("class_id", sa.Integer(), nullable=True),
        sa.Column("annotator", sa.String(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=True),
        sa.Column("source_key", sa.String(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.CheckConstraint(
            "(kind = 'withdrawn') = (class_id IS NULL)", name=op.f("ck_label_event_class")
        ),
        sa.CheckConstraint(
            "kind IN ('given', 'annotation', 'consensus', 'withdrawn')",
            name=op.f("ck_label_event_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["class_id"], ["class.id"], name=op.f("fk_label_event_class_id_class")
        ),
        sa.ForeignKeyConstraint(
            ["sample_id"], ["sample.id"], name=op.f("fk_label_event_sample_id_sample")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_label_event")),
        sa.UniqueConstraint("source_key", name=op.f("uq_label_event_source_key")),
    )
    op.create_index("ix_label_event_sample_id", "label_event", ["sample_id"], unique=False)
    op.create_table(
        "model",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("parent", sa.String(length=64), nullable=True),
        sa.Column("dataset_version", sa.Integer(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_version"],
            ["dataset_version.id"],
            name=op.f("fk_model_dataset_version_dataset_version"),
        ),
        sa.ForeignKeyConstraint(["parent"], ["model.sha256"], name=op.f("fk_model_parent_model")),
        sa.ForeignKeyConstraint(["round"], ["round.number"], name=op.f("fk_model_round_round")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_model")),
    )
    op.create_table(
        "query",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("batch", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["round"], ["round.number"], name=op.f("fk_query_round_round")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_query")),
        sa.UniqueConstraint("round", "batch", name=op.f("uq_query_round")),
    )
    op.create_table(
        "round_phase",
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("next_phase", sa.String(), nullable=True),
        sa.Column("outcome", sa.JSON(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("finished_at", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["round"], ["round.number"], name=op.f("fk_round_phase_round_round")
        ),
        sa.PrimaryKeyConstraint("round", "step", name=op.f("pk_round_phase")),
    )
    op.create_table(
        "answer",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("query_key", sa.String(), nullable=False),
        sa.Column("sample_id", sa.Integer(), nullable=False),
        sa.Column("oracle", sa.String(), nullable=False),
        sa.Column("external_id", sa.String(), nullable=False),
        sa.Column("updated_at", sa.String(), nullable=False),
        sa.Column("annotator", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=True),
        sa.Column("class_id", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.CheckConstraint(
            "state IN ('ok', 'unknown', 'quarantined')", name=op.f("ck_answer_state")
        ),
        sa.ForeignKeyConstraint(["class_id"], ["class.id"], name=op.f("fk_answer_class_id_class")),
        sa.ForeignKeyConstraint(
            ["query_key"], ["query.key"], name=op.f("fk_answer_query_key_query")
        ),
        sa.ForeignKeyConstraint(
            ["sample_id"], ["sample.id"], name=op.f("fk_answer_sample_id_sample")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_answer")),
        sa.UniqueConstraint("oracle", "external_id", "updated_at", name="uq_answer_identity"),
    )
    op.create_index("ix_answer_query_key", "answer", ["query_key"], unique=False)
    op.create_index("ix_answer_sample_id", "answer", ["sample_id"], unique=False)
    op.create_table(
        "promotion",
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("round", sa.Integer(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=True),
        sa.Column("champion", sa.String(length=64), nullable=False),
        sa.Column("dataset_version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("verdict", sa.JSON(), nullable=False),
        sa.Column("who", sa.String(), nullable=False),
        sa.Column("created_at", sa.String(), nullable=False),
        sa.CheckConstraint("kind IN ('promote', 'rollback')", name=op.f("ck_promotion_kind")),
        sa.ForeignKeyConstraint(
            ["champion"], ["model.sha256"], name=op.f("fk_promotion_champion_model")
        ),
        sa.ForeignKeyConstraint(
            ["dataset_version"],
            ["dataset_version.id"],
            name=op.f("fk_promotion_dataset_version_dataset_version"),
        ),
        sa.ForeignKeyConstraint(
            ["previous"], ["model.sha256"], name=op.f("fk_promotion_previous_model")
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_promotion")),
    )
    op.create_table(
        "query_item",
        sa.Column("query_key", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sample_id", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("parts", sa.JSON(), nullable=False),
        sa.Column("guess", sa.Integer(), nullable=True),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["guess"], ["class.id"], name=op.f("fk_query_item_guess_class")),
        sa.ForeignKeyConstraint(
            ["query_key"], ["query.key"], name=op.f("fk_query_item_query_key_query")
        ),
        sa.ForeignKeyConstraint(
            ["sample_id"], ["sample.id"], name=op.f("fk_query_item_sample_id_sample")
        ),
        sa.PrimaryKeyConstraint("query_key", "position", name=op.f("pk_query_item")),
        sa.UniqueConstraint("query_key", "sample_id", name=op.f("uq_query_item_query_key")),
    )
    op.create_index("ix_query_item_sample_id", "query_item", ["sample_id"], unique=False)


def downgrade() -> None:
    """Drop every table."""
    op.drop_index("ix_query_item_sample_id", table_name="query_item")
    op.drop_table("query_item")
    op.drop_table("promotion")
    op.drop_index("ix_answer_sample_id", table_name="answer")
    op.drop_index("ix_answer_query_key", table_name="answer")
    op.drop_table("answer")
    op.drop_table("round_phase")
    op.drop_table("query")
    op.drop_table("model")
    op.drop_index("ix_label_event_sample_id", table_name="label_event")
    op.drop_table("label_event")
    op.drop_index("ix_finding_sample_id", table_name="finding")
    op.drop_table("finding")
    op.drop_index("ix_sample_state_split", table_name="sample")
    op.drop_table("sample")
    op.drop_table("round")
    op.drop_table("dataset_version")
    op.drop_table("class")
