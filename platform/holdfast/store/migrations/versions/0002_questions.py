"""Where each question stands, what oracles remember, and more about each answer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add `question` and `oracle_state`, and widen `answer`."""
    op.create_table(
        "oracle_state",
        sa.Column("oracle", sa.String(), nullable=False),
        sa.Column("state", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("oracle", name=op.f("pk_oracle_state")),
    )
    op.create_table(
        "question",
        sa.Column("query_key", sa.String(), nullable=False),
        sa.Column("sample_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("priority", sa.Float(), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("external_id", sa.String(), nullable=True),
        sa.Column("lease_owner", sa.String(), nullable=True),
        sa.Column("lease_until", sa.String(), nullable=True),
        sa.Column("opened_at", sa.String(), nullable=False),
        sa.Column("sent_at", sa.String(), nullable=True),
        sa.Column("answered_at", sa.String(), nullable=True),
        sa.Column("closed_at", sa.String(), nullable=True),
        sa.CheckConstraint(
            "state IN ('open', 'sent', 'answered', 'disputed', 'settled', 'withdrawn')",
            name=op.f("ck_question_state"),
        ),
        sa.ForeignKeyConstraint(
            ["query_key"], ["query.key"], name=op.f("fk_question_query_key_query")
        ),
        sa.ForeignKeyConstraint(
            ["sample_id"], ["sample.id"], name=op.f("fk_question_sample_id_sample")
        ),
        sa.PrimaryKeyConstraint("query_key", "sample_id", name=op.f("pk_question")),
    )
    op.create_index("ix_question_state", "question", ["state"])
    op.create_index("ix_question_sample_id", "question", ["sample_id"])
    with op.batch_alter_table("answer") as answer:
        answer.add_column(sa.Column("remark", sa.String(), nullable=False, server_default=""))
        answer.add_column(sa.Column("comment", sa.String(), nullable=False, server_default=""))
        answer.add_column(sa.Column("seconds", sa.Float(), nullable=True))
        answer.add_column(sa.Column("answered_at", sa.String(), nullable=True))
        answer.drop_constraint(op.f("ck_answer_state"), type_="check")
        answer.create_check_constraint(
            op.f("ck_answer_state"), "state IN ('ok', 'unknown', 'quarantined', 'withdrawn')"
        )
    _place_questions()


def _place_questions() -> None:
    """Say of questions asked before this revision where they stand."""
    # What is still open of them is sent once more, which an oracle takes for a repetition.
    op.execute(
        "INSERT INTO question (query_key, sample_id, state, priority, opened_at) "
        "SELECT i.query_key, i.sample_id, "
        "CASE WHEN r.state = 'finished' THEN 'settled' "
        "WHEN EXISTS (SELECT 1 FROM answer a WHERE a.query_key = i.query_key "
        "AND a.sample_id = i.sample_id) THEN 'answered' ELSE 'open' END, "
        "0, r.started_at "
        "FROM query_item i JOIN query q ON q.key = i.query_key JOIN round r ON r.number = q.round"
    )
