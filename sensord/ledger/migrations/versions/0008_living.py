"""The messages that change as their runs go on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_living"
down_revision = "0007_noise"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "living",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("run", sa.String(), nullable=False),
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("subscription", sa.String(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("event_seq", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("edits", sa.Integer(), nullable=False),
        sa.Column("touched_at", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.Text(), nullable=True),
        sa.Column("open_failure", sa.String(), nullable=True),
        sa.Column("recovered_by", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("run", "destination"),
    )
    for column in ("destination", "open_failure", "touched_at"):
        op.create_index(f"ix_living_{column}", "living", [column], unique=False)
