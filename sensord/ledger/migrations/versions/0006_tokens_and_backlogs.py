"""Tokens for programs, and the past that new subscriptions are told of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006_tokens_and_backlogs"
down_revision = "0005_chats"


def upgrade() -> None:
    """Make both tables."""
    op.create_table(
        "backlogs",
        sa.Column("subscription", sa.String(), nullable=False),
        sa.Column("place", sa.BigInteger(), nullable=False),
        sa.Column("upto", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=True),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("subscription"),
    )
    op.create_index("ix_backlogs_ended_at", "backlogs", ["ended_at"], unique=False)
    op.create_table(
        "tokens",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("publish", sa.Text(), nullable=False),
        sa.Column("read", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
