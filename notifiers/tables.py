"""The notifiers' tables. Times are whole microseconds since 1970 UTC; JSON is text.

Rows are written and read by Core statements in batches. As objects they are in `sensord.models`, which the daemon does
not load: SQLModel and a mapped class per table were a sixth of its start.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, Integer, String, Table, Text, UniqueConstraint, text

from notifiers.columns import column, metadata

# Few events have a second topic; the others need no place in its index.
_HAS_ALSO = text("also IS NOT NULL")
_BY_ALSO = Index("events_by_also", "also", "seq", sqlite_where=_HAS_ALSO)

# So have few deliveries with a digest.
_IN_DIGEST = text("digest IS NOT NULL")
_BY_DIGEST = Index("deliveries_by_digest", "digest", sqlite_where=_IN_DIGEST)

# SQLite gives a rowid only to a column that is exactly INTEGER; PostgreSQL needs 64 bits.
Sequence64 = BigInteger().with_variant(Integer, "sqlite")

events = Table(
    "events",
    metadata,
    column("seq", Sequence64, primary_key=True, autoincrement=True),
    column("id", String, unique=True),
    column("type", String),
    column("topic", String),
    column("also", String, nullable=True),
    column("source", String),
    column("subject", String, index=True, nullable=True),
    column("severity", Integer),
    column("message", Text),
    column("run", String, nullable=True),
    column("job", String, nullable=True),
    column("sensor", String, nullable=True),
    column("time", BigInteger),
    column("data", Text),
    _BY_ALSO,
    Index("events_by_topic", "topic", "seq"),
    Index("events_by_run", "run", "seq"),
    Index("events_by_time", "time"),
    # Without it SQLite gives a pruned row's number again, and readers would pass over the new event.
    sqlite_autoincrement=True,
)
"""The event log: the embedded bus. `seq` is the order in which events became true."""

subscriptions = Table(
    "subscriptions",
    metadata,
    column("id", String, primary_key=True),
    column("topic", String),
    column("destination", String),
    column("where", Text, default="{}"),
    column("origin", String),
    column("created_at", BigInteger),
    column("since_seq", BigInteger, default=0),
    column("ended_at", BigInteger, nullable=True),
    column("options", Text, nullable=True),
)
"""Who wants what. `origin` is `config` or `user`; `since_seq` is the event after which it holds.

`options` says how it is told, where that is not at once: see `notifiers.noise.Options`.
"""

deliveries = Table(
    "deliveries",
    metadata,
    column("id", String, primary_key=True),
    column("event", String),
    column("event_seq", BigInteger),
    column("subscription", String),
    column("replay", Integer, default=0),
    column("destination", String, index=True),
    column("status", String),
    column("severity", Integer),
    column("attempts", Integer, default=0),
    column("doubtful", Integer, default=0),
    column("doubts", Text, default="[]"),
    column("parts", Integer, nullable=True),
    column("receipts", Text, default="[]"),
    column("next_attempt_at", BigInteger, nullable=True),
    column("failing_since", BigInteger, nullable=True),
    column("error", Text, nullable=True),
    column("created_at", BigInteger),
    column("ended_at", BigInteger, nullable=True),
    column("held_by", String, nullable=True),
    column("digest", String, nullable=True),
    UniqueConstraint("event", "subscription", "replay"),
    Index("deliveries_by_status", "status", "destination"),
    Index("deliveries_by_end", "ended_at"),
    _BY_DIGEST,
)
"""One event on its way to one destination.

`status`: pending, sending, held; then for ever delivered, suppressed, uncertain or dead. `attempts` counts what
was tried and is committed before each try. `doubtful` counts answers that were lost, and `doubts` is a JSON
list of the parts whose they were. `parts` is how many parts the message has, `receipts` a JSON list of those
of the parts that arrived. `failing_since` is the first of the failures that go on. `replay` tells the
deliveries apart that were asked for again: 0 is the first.

One that is held is not sent before `next_attempt_at`; `error` says why, and `held_by` what holds it: `mute:<id>`,
`quiet`, `schedule`, `burst`. One that is told as a line of a digest has that digest's id, stays held until the
digest's own delivery has ended, and then ends as that did.
"""

destinations = Table(
    "destinations",
    metadata,
    column("destination", String, primary_key=True),
    column("state", String, default="active"),
    column("reason", Text, nullable=True),
    column("since", BigInteger),
    column("moved_to", String, nullable=True),
)
"""What is known of a destination that is not plainly well: paused, or moved."""

inbox = Table(
    "inbox",
    metadata,
    column("id", String, primary_key=True),
    column("target", String, default=""),
    column("at", BigInteger, index=True),
    column("severity", Integer),
    column("title", Text),
    column("text", Text),
    column("message", Text),
)
"""Messages of the `inbox:` destination, as the web page and `sensord inbox` show them."""

backlogs = Table(
    "backlogs",
    metadata,
    column("subscription", String, primary_key=True),
    column("place", BigInteger),
    column("upto", BigInteger),
    column("at", BigInteger, nullable=True),
    column("made", BigInteger, default=0),
    column("ended_at", BigInteger, index=True, nullable=True),
)
"""The past that a new subscription is told of: the events after `place` up to `upto`, from the time `at` on.

`made` counts the deliveries that were made of them. `ended_at` is when nothing was left.
"""

bus_cursors = Table(
    "bus_cursors",
    metadata,
    column("name", String, primary_key=True),
    column("seq", BigInteger),
)
"""How far a reader of the event log has come, moved in the transaction of what it covers."""


def prepare_postgresql() -> None:
    """Complete what PostgreSQL is to be told of the tables. Said with them, its dialect would be loaded for SQLite."""
    _BY_ALSO.dialect_kwargs["postgresql_where"] = _HAS_ALSO
    _BY_DIGEST.dialect_kwargs["postgresql_where"] = _IN_DIGEST
