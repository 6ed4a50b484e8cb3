"""Tables of what is told later: mutes, quiet hours, digests. Times are whole microseconds since 1970 UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, String, Table, Text

from notifiers.columns import column, metadata

mutes = Table(
    "mutes",
    metadata,
    column("id", String, primary_key=True),
    column("destination", String, index=True),
    column("pattern", String),
    column("job", String, nullable=True),
    column("until", BigInteger),
    column("since_seq", BigInteger),
    column("at", BigInteger),
    column("person", String),
    column("name", Text),
    column("why", Text),
    column("remind_at", BigInteger, nullable=True),
    column("ended_at", BigInteger, index=True, nullable=True),
    column("ended_by", Text, nullable=True),
)
"""Silence at a destination about what the pattern takes, or about one job until it succeeds after `since_seq`.

It ends at `until` at the latest. `person` and `name` are whose wish it is, `why` their reason, `ended_by` what
ended it. `remind_at` is when the destination is reminded of it next.
"""

quiet_hours = Table(
    "quiet_hours",
    metadata,
    column("destination", String, primary_key=True),
    column("hours", String),
    column("origin", String),
    column("person", String),
    column("at", BigInteger),
)
"""A destination's quiet hours, as `rules.quiet` reads them. `origin` is `config` or `user`."""

digests = Table(
    "digests",
    metadata,
    column("id", String, primary_key=True),
    column("at", BigInteger, index=True),
    column("severity", Integer),
    column("count", Integer),
    column("message", Text),
)
"""One message in place of `count` others. A delivery whose `event` is its id carries it; so do its members'."""
