"""Backfills with their partitions, and the runs of a partition found by it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004_backfills"
down_revision = "0003_versions_of_keys"


def upgrade() -> None:
    """Make both tables, and the index."""
    op.create_table(
        "backfills",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("first_key", sa.String(), nullable=False),
        sa.Column("last_key", sa.String(), nullable=False),
        sa.Column("selection", sa.String(), nullable=False),
        sa.Column("ordering", sa.String(), nullable=False),
        sa.Column("concurrency", sa.Integer(), nullable=False),
        sa.Column("run_config", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("claimed", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("counts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("backfills_by_status", "backfills", ["status", "id"], unique=False)
    op.create_index("backfills_by_job", "backfills", ["job", "id"], unique=False)
    op.create_table(
        "backfill_partitions",
        sa.Column("backfill", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("partition_key", sa.String(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=True),
        sa.Column("ends_at", sa.BigInteger(), nullable=True),
        sa.Column("run", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("backfill", "position"),
        sqlite_with_rowid=False,
    )
    there = sa.text("partition_key IS NOT NULL")
    op.create_index(
        "runs_by_partition",
        "runs",
        ["job", "partition_key", "id"],
        sqlite_where=there,
        postgresql_where=there,
    )
