"""A key knows the version of what it was claimed for, where its policy asks for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_versions_of_keys"
down_revision = "0002_few_second_topics"


def upgrade() -> None:
    """Add the column."""
    op.add_column("run_keys", sa.Column("version", sa.Text(), nullable=True))
