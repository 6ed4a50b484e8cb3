"""In which language a chat is answered, and who had a role by the configuration."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018_words"
down_revision = "0012_checks"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "chat_readings",
        sa.Column("place", sa.String(), nullable=False),
        sa.Column("lang", sa.String(), nullable=True),
        sa.Column("zone", sa.String(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("place"),
    )
    op.create_table(
        "chat_granted",
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("person"),
    )
