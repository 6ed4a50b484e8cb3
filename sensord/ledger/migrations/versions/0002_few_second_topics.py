"""Only events that have a second topic are in the index of second topics."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_few_second_topics"
down_revision = "0001_first"


def upgrade() -> None:
    """Make the index anew, smaller."""
    there = sa.text("also IS NOT NULL")
    op.drop_index("events_by_also", table_name="events")
    op.create_index("events_by_also", "events", ["also", "seq"], sqlite_where=there, postgresql_where=there)
