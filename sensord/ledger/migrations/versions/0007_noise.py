"""What is told later: mutes, quiet hours, digests."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007_noise"
down_revision = "0006_tokens_and_backlogs"


def upgrade() -> None:
    """Make the tables, and let deliveries be held."""
    op.create_table(
        "mutes",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("pattern", sa.String(), nullable=False),
        sa.Column("job", sa.String(), nullable=True),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("since_seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("remind_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_mutes_destination", "mutes", ["destination"], unique=False)
    op.create_index("ix_mutes_ended_at", "mutes", ["ended_at"], unique=False)
    op.create_table(
        "quiet_hours",
        sa.Column("destination", sa.String(), nullable=False),
        sa.Column("hours", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("destination"),
    )
    op.create_table(
        "digests",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_digests_at", "digests", ["at"], unique=False)
    op.add_column("subscriptions", sa.Column("options", sa.Text(), nullable=True))
    op.add_column("deliveries", sa.Column("held_by", sa.String(), nullable=True))
    op.add_column("deliveries", sa.Column("digest", sa.String(), nullable=True))
    there = sa.text("digest IS NOT NULL")
    op.create_index("deliveries_by_digest", "deliveries", ["digest"], sqlite_where=there, postgresql_where=there)
