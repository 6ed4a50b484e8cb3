"""Whom the message of a run was written for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011_reading"
down_revision = "0010_slack"


def upgrade() -> None:
    """Add the column."""
    op.add_column("living", sa.Column("reader", sa.String(), nullable=True))
