"""What was heard from services that do not count what they tell."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010_slack"
down_revision = "0009_buttons"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "chat_heard",
        sa.Column("of", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("of", "id"),
    )
    op.create_index("ix_chat_heard_at", "chat_heard", ["at"], unique=False)
