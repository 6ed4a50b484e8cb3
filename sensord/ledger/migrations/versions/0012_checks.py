"""How each check of data does."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012_checks"
down_revision = "0011_reading"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "checks",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("job", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("series", sa.Text(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("severity", sa.String(), nullable=False),
        sa.Column("in_a_row", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("failed", sa.BigInteger(), nullable=True),
        sa.Column("rows", sa.BigInteger(), nullable=True),
        sa.Column("run", sa.String(), nullable=True),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("also", sa.String(), nullable=True),
        sa.Column("trend", sa.Text(), nullable=False),
        sa.Column("found", sa.Text(), nullable=True),
        sa.Column("accepted", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_checks_at", "checks", ["at"], unique=False)
