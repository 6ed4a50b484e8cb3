"""Tables of what is told later: mutes, quiet hours, digests. Times are whole microseconds since 1970 UTC.

They are Core tables, as nobody maps their rows to objects: a mapped class costs each start of the daemon 5 ms.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, String, Table, Text
from sqlmodel import SQLModel

mutes = Table(
    "mutes",
    SQLModel.metadata,
    Column("id", String, primary_key=True),
    Column("destination", String, nullable=False, index=True),
    Column("pattern", String, nullable=False),
    Column("job", String),
    Column("until", BigInteger, nullable=False),
    Column("since_seq", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("person", String, nullable=False),
    Column("name", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("remind_at", BigInteger),
    Column("ended_at", BigInteger, index=True),
    Column("ended_by", Text),
)
"""Silence at a destination about what the pattern takes, or about one job until it succeeds after `since_seq`.

It ends at `until` at the latest. `person` and `name` are whose wish it is, `why` their reason, `ended_by` what
ended it. `remind_at` is when the destination is reminded of it next.
"""

quiet_hours = Table(
    "quiet_hours",
    SQLModel.metadata,
    Column("destination", String, primary_key=True),
    Column("hours", String, nullable=False),
    Column("origin", String, nullable=False),
    Column("person", String, nullable=False),
    Column("at", BigInteger, nullable=False),
)
"""A destination's quiet hours, as `rules.quiet` reads them. `origin` is `config` or `user`."""

digests = Table(
    "digests",
    SQLModel.metadata,
    Column("id", String, primary_key=True),
    Column("at", BigInteger, nullable=False, index=True),
    Column("severity", Integer, nullable=False),
    Column("count", Integer, nullable=False),
    Column("message", Text, nullable=False),
)
"""One message in place of `count` others. A delivery whose `event` is its id carries it; so do its members'."""
