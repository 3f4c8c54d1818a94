"""Answers that nobody asked for: they came with the data, so no query is behind them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Let `answer.query_key` be null."""
    with op.batch_alter_table("answer") as answer:
        answer.alter_column("query_key", existing_type=sa.String(), nullable=True)
