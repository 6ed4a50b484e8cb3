"""The notifiers' tables. Times are whole microseconds since 1970 UTC; JSON is text."""

from __future__ import annotations

from typing import cast

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel

# Few events have a second topic; the others need no place in its index.
_HAS_ALSO = text("also IS NOT NULL")
_BY_ALSO = Index("events_by_also", "also", "seq", sqlite_where=_HAS_ALSO)

# So have few deliveries with a digest.
_IN_DIGEST = text("digest IS NOT NULL")
_BY_DIGEST = Index("deliveries_by_digest", "digest", sqlite_where=_IN_DIGEST)

# SQLite gives a rowid only to a column that is exactly INTEGER; PostgreSQL needs 64 bits.
Sequence64 = BigInteger().with_variant(Integer, "sqlite")


class Row(SQLModel):
    """What every table's model is made of. Rows are written by Core statements: no validator is built for them."""

    model_config = {"defer_build": True}


class EventRow(Row, table=True):
    """The event log: the embedded bus. `seq` is the order in which events became true."""

    __tablename__ = "events"
    __table_args__ = (
        _BY_ALSO,
        Index("events_by_topic", "topic", "seq"),
        Index("events_by_run", "run", "seq"),
        Index("events_by_time", "time"),
        # Without it SQLite gives a pruned row's number again, and readers would pass over the new event.
        {"sqlite_autoincrement": True},
    )

    seq: int | None = Field(default=None, sa_column=Column(Sequence64, primary_key=True, autoincrement=True))
    id: str = Field(unique=True)
    type: str
    topic: str
    also: str | None = None
    source: str
    subject: str | None = Field(default=None, index=True)
    severity: int
    message: str = Field(sa_type=Text)
    run: str | None = None
    job: str | None = None
    sensor: str | None = None
    time: int = Field(sa_type=BigInteger)
    data: str = Field(sa_type=Text)


class SubscriptionRow(Row, table=True):
    """Who wants what. `origin` is `config` or `user`; `since_seq` is the event after which it holds.

    `options` says how it is told, where that is not at once: see `notifiers.noise.Options`.
    """

    __tablename__ = "subscriptions"

    id: str = Field(primary_key=True)
    topic: str
    destination: str
    where: str = Field(default="{}", sa_type=Text)
    origin: str
    created_at: int = Field(sa_type=BigInteger)
    since_seq: int = Field(default=0, sa_type=BigInteger)
    ended_at: int | None = Field(default=None, sa_type=BigInteger)
    options: str | None = Field(default=None, sa_type=Text)


class DeliveryRow(Row, table=True):
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

    __tablename__ = "deliveries"
    __table_args__ = (
        UniqueConstraint("event", "subscription", "replay"),
        Index("deliveries_by_status", "status", "destination"),
        Index("deliveries_by_end", "ended_at"),
        _BY_DIGEST,
    )

    id: str = Field(primary_key=True)
    event: str
    event_seq: int = Field(sa_type=BigInteger)
    subscription: str
    replay: int = 0
    destination: str = Field(index=True)
    status: str
    severity: int
    attempts: int = 0
    doubtful: int = 0
    doubts: str = Field(default="[]", sa_type=Text)
    parts: int | None = None
    receipts: str = Field(default="[]", sa_type=Text)
    next_attempt_at: int | None = Field(default=None, sa_type=BigInteger)
    failing_since: int | None = Field(default=None, sa_type=BigInteger)
    error: str | None = Field(default=None, sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    ended_at: int | None = Field(default=None, sa_type=BigInteger)
    held_by: str | None = None
    digest: str | None = None


class DestinationRow(Row, table=True):
    """What is known of a destination that is not plainly well: paused, or moved."""

    __tablename__ = "destinations"

    destination: str = Field(primary_key=True)
    state: str = "active"
    reason: str | None = Field(default=None, sa_type=Text)
    since: int = Field(sa_type=BigInteger)
    moved_to: str | None = None


class InboxRow(Row, table=True):
    """Messages of the `inbox:` destination, as the web page and `sensord inbox` show them."""

    __tablename__ = "inbox"

    id: str = Field(primary_key=True)
    target: str = ""
    at: int = Field(sa_type=BigInteger, index=True)
    severity: int
    title: str = Field(sa_type=Text)
    text: str = Field(sa_type=Text)
    message: str = Field(sa_type=Text)


class BacklogRow(Row, table=True):
    """The past that a new subscription is told of: the events after `place` up to `upto`, from the time `at` on.

    `made` counts the deliveries that were made of them. `ended_at` is when nothing was left.
    """

    __tablename__ = "backlogs"

    subscription: str = Field(primary_key=True)
    place: int = Field(sa_type=BigInteger)
    upto: int = Field(sa_type=BigInteger)
    at: int | None = Field(default=None, sa_type=BigInteger)
    made: int = Field(default=0, sa_type=BigInteger)
    ended_at: int | None = Field(default=None, sa_type=BigInteger, index=True)


class BusCursorRow(Row, table=True):
    """How far a reader of the event log has come, moved in the transaction of what it covers."""

    __tablename__ = "bus_cursors"

    name: str = Field(primary_key=True)
    seq: int = Field(sa_type=BigInteger)


def table(model: type[SQLModel]) -> Table:
    """The Core table behind a model: hot paths use Core statements in batches."""
    return cast("Table", model.__table__)  # type: ignore[attr-defined]


events = table(EventRow)
subscriptions = table(SubscriptionRow)
deliveries = table(DeliveryRow)
destinations = table(DestinationRow)
inbox = table(InboxRow)
bus_cursors = table(BusCursorRow)
backlogs = table(BacklogRow)


def prepare_postgresql() -> None:
    """Complete what PostgreSQL is to be told of the tables. Said with them, its dialect would be loaded for SQLite."""
    _BY_ALSO.dialect_kwargs["postgresql_where"] = _HAS_ALSO
    _BY_DIGEST.dialect_kwargs["postgresql_where"] = _IN_DIGEST
