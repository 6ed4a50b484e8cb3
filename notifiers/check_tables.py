"""How each check of data does: one row a check. Times are whole microseconds since 1970 UTC; JSON is text."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Index, Integer, String, Table, Text

from notifiers.columns import column, metadata

checks = Table(
    "checks",
    metadata,
    column("id", String, primary_key=True),
    column("job", String),
    column("name", Text),
    column("series", Text),
    column("passed", Boolean),
    column("severity", String),
    column("in_a_row", Integer),
    column("since", BigInteger),
    column("at", BigInteger),
    column("subject", Text, nullable=True),
    column("detail", Text),
    column("failed", BigInteger, nullable=True),
    column("rows", BigInteger, nullable=True),
    column("run", String, nullable=True),
    column("event", String),
    column("also", String, nullable=True),
    column("trend", Text),
    column("found", Text, nullable=True),
    column("accepted", Text, nullable=True),
    Index("ix_checks_at", "at"),
)
"""`in_a_row` counts the results that are as the last one, the first of which was at `since`. `trend` is how many rows
failed at each of the last 30 results. `also` is the second topic of the last failure: its end is told there too.
`found` is what a check that compares with earlier files found last, `accepted` what it compares with.
"""
