"""Which generated images an augmented version admits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the table; versions made before admit none."""
    op.create_table(
        "synthetic",
        sa.Column("dataset_version", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(length=64), nullable=False),
        sa.Column("class_id", sa.Integer(), nullable=False),
        sa.Column("generator", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_version"],
            ["dataset_version.id"],
            name=op.f("fk_synthetic_dataset_version_dataset_version"),
        ),
        sa.ForeignKeyConstraint(
            ["class_id"], ["class.id"], name=op.f("fk_synthetic_class_id_class")
        ),
        sa.PrimaryKeyConstraint("dataset_version", "uid", name=op.f("pk_synthetic")),
    )
    op.create_index("ix_synthetic_uid", "synthetic", ["uid"])
