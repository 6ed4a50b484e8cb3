"""How each check of data does: one row a check. Times are whole microseconds since 1970 UTC; JSON is text."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, String, Table, Text
from sqlmodel import SQLModel

checks = Table(
    "checks",
    SQLModel.metadata,
    Column("id", String, primary_key=True),
    Column("job", String, nullable=False),
    Column("name", Text, nullable=False),
    Column("series", Text, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("severity", String, nullable=False),
    Column("in_a_row", Integer, nullable=False),
    Column("since", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("subject", Text),
    Column("detail", Text, nullable=False),
    Column("failed", BigInteger),
    Column("rows", BigInteger),
    Column("run", String),
    Column("event", String, nullable=False),
    Column("also", String),
    Column("trend", Text, nullable=False),
    Column("found", Text),
    Column("accepted", Text),
    Index("ix_checks_at", "at"),
)
"""`in_a_row` counts the results that are as the last one, the first of which was at `since`. `trend` is how many rows
failed at each of the last 30 results. `also` is the second topic of the last failure: its end is told there too.
`found` is what a check that compares with earlier files found last, `accepted` what it compares with.
"""
