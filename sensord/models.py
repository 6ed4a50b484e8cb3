"""The ledger as SQLModel classes: for notebooks, reports, and questions that no command answers. To read, not to write.

Each class maps a table of `sensord.ledger.tables` or `notifiers.tables`, where its columns are described: an attribute
is the column of that name, JSON is its text, and times are whole microseconds since 1970 UTC (`utc` makes a datetime of
one). The daemon writes by Core statements and does not load this module.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from sqlalchemy import Column, Engine, Table, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError
from sqlmodel import Field, Session, SQLModel

from notifiers import tables as telling
from notifiers.clock import from_us as utc
from sensord.config import load
from sensord.ledger import tables as running
from sensord.ledger.engine import DatabaseUnusable, advice, open_engine
from sensord.ledger.schema import SchemaError, revisions, state_of

__all__ = [
    "Backfill",
    "BackfillPartition",
    "Delivery",
    "Destination",
    "Event",
    "InboxMessage",
    "Run",
    "RunKey",
    "Sensor",
    "Subscription",
    "Tick",
    "open_ledger",
    "utc",
]


@contextmanager
def open_ledger(config: Path | str | None = None) -> Iterator[Session]:
    """A session that reads the ledger of that sensord.yaml (by default as `-c` has it), also while a daemon runs.

    Nothing can be written by it. DatabaseUnusable where there is no database yet or it cannot be reached, SchemaError
    where it is another version's, ConfigError where the file is wrong. Close it soon: while a statement's rows are
    being read, SQLite's log grows.
    """
    url = make_url(load(None if config is None else Path(config)).database)
    engine = _reading(url)
    try:
        _expect_newest(engine, url)
        with Session(engine) as session:
            yield session
    finally:
        engine.dispose()


def _reading(url: URL) -> Engine:
    """An engine whose database refuses whatever would change it."""
    if url.get_backend_name() != "sqlite":
        return open_engine(url).execution_options(postgresql_readonly=True)
    path = Path(str(url.database))
    if not path.exists():
        raise DatabaseUnusable(f"there is no database {path} yet: `sensord run` makes it")
    place = f"file:{quote(str(path))}?mode=ro"
    return create_engine("sqlite://", creator=lambda: sqlite3.connect(place, uri=True))


def _expect_newest(engine: Engine, url: URL) -> None:
    newest = revisions()[-1]
    try:
        found = state_of(engine)
    except DBAPIError as error:
        raise DatabaseUnusable(advice(url, error)) from error
    if found != newest:
        raise SchemaError(
            f"the database's tables are of revision {found}, this program's of {newest}: `sensord run` upgrades them"
        )


def _of(column: Column[Any]) -> Any:
    """The attribute that is this column of the table."""
    return Field(sa_column=column)


_RUNS = running.runs.c


class Run(SQLModel, table=True):
    """One execution of a job. `metadata` of the outcome is the attribute `result`."""

    __table__: ClassVar[Table] = running.runs

    id: str = _of(_RUNS.id)
    job: str = _of(_RUNS.job)
    sensor: str | None = _of(_RUNS.sensor)
    run_key: str | None = _of(_RUNS.run_key)
    subject: str | None = _of(_RUNS.subject)
    status: str = _of(_RUNS.status)
    attempt: int = _of(_RUNS.attempt)
    priority: int = _of(_RUNS.priority)
    tags: str = _of(_RUNS.tags)
    run_config: str = _of(_RUNS.run_config)
    partition_key: str | None = _of(_RUNS.partition_key)
    requested_at: int = _of(_RUNS.requested_at)
    started_at: int | None = _of(_RUNS.started_at)
    ended_at: int | None = _of(_RUNS.ended_at)
    next_attempt_at: int | None = _of(_RUNS.next_attempt_at)
    cancel_requested: bool = _of(_RUNS.cancel_requested)
    error: str | None = _of(_RUNS.error)
    result: str = _of(_RUNS.metadata)


_RUN_KEYS = running.run_keys.c


class RunKey(SQLModel, table=True):
    """Who holds a run_key: the run that was made for it."""

    __table__: ClassVar[Table] = running.run_keys

    sensor: str = _of(_RUN_KEYS.sensor)
    job: str = _of(_RUN_KEYS.job)
    run_key: str = _of(_RUN_KEYS.run_key)
    run: str = _of(_RUN_KEYS.run)
    claimed_at: int = _of(_RUN_KEYS.claimed_at)
    version: str | None = _of(_RUN_KEYS.version)


_TICKS = running.ticks.c


class Tick(SQLModel, table=True):
    """What was made of one sensed thing, and why."""

    __table__: ClassVar[Table] = running.ticks

    seq: int = _of(_TICKS.seq)
    sensor: str = _of(_TICKS.sensor)
    subject: str = _of(_TICKS.subject)
    at: int = _of(_TICKS.at)
    outcome: str = _of(_TICKS.outcome)
    reason: str | None = _of(_TICKS.reason)
    job: str | None = _of(_TICKS.job)
    run_key: str | None = _of(_TICKS.run_key)
    run: str | None = _of(_TICKS.run)


_SENSORS = running.sensors.c


class Sensor(SQLModel, table=True):
    """How far a sensor has read, and how it does."""

    __table__: ClassVar[Table] = running.sensors

    name: str = _of(_SENSORS.name)
    cursor: str | None = _of(_SENSORS.cursor)
    state: str = _of(_SENSORS.state)
    reason: str | None = _of(_SENSORS.reason)
    since: int = _of(_SENSORS.since)
    last_sensed_at: int | None = _of(_SENSORS.last_sensed_at)


_BACKFILLS = running.backfills.c


class Backfill(SQLModel, table=True):
    """A wish that a job run for many partitions."""

    __table__: ClassVar[Table] = running.backfills

    id: str = _of(_BACKFILLS.id)
    job: str = _of(_BACKFILLS.job)
    first_key: str = _of(_BACKFILLS.first_key)
    last_key: str = _of(_BACKFILLS.last_key)
    selection: str = _of(_BACKFILLS.selection)
    ordering: str = _of(_BACKFILLS.ordering)
    concurrency: int = _of(_BACKFILLS.concurrency)
    run_config: str = _of(_BACKFILLS.run_config)
    status: str = _of(_BACKFILLS.status)
    total: int = _of(_BACKFILLS.total)
    claimed: int = _of(_BACKFILLS.claimed)
    created_at: int = _of(_BACKFILLS.created_at)
    ended_at: int | None = _of(_BACKFILLS.ended_at)
    counts: str = _of(_BACKFILLS.counts)


_BACKFILL_PARTITIONS = running.backfill_partitions.c


class BackfillPartition(SQLModel, table=True):
    """One partition of a backfill, and its run once it has one."""

    __table__: ClassVar[Table] = running.backfill_partitions

    backfill: str = _of(_BACKFILL_PARTITIONS.backfill)
    position: int = _of(_BACKFILL_PARTITIONS.position)
    partition_key: str = _of(_BACKFILL_PARTITIONS.partition_key)
    starts_at: int | None = _of(_BACKFILL_PARTITIONS.starts_at)
    ends_at: int | None = _of(_BACKFILL_PARTITIONS.ends_at)
    run: str | None = _of(_BACKFILL_PARTITIONS.run)


_EVENTS = telling.events.c


class Event(SQLModel, table=True):
    """One event of the log; `seq` is the order in which they became true."""

    __table__: ClassVar[Table] = telling.events

    seq: int = _of(_EVENTS.seq)
    id: str = _of(_EVENTS.id)
    type: str = _of(_EVENTS.type)
    topic: str = _of(_EVENTS.topic)
    also: str | None = _of(_EVENTS.also)
    source: str = _of(_EVENTS.source)
    subject: str | None = _of(_EVENTS.subject)
    severity: int = _of(_EVENTS.severity)
    message: str = _of(_EVENTS.message)
    run: str | None = _of(_EVENTS.run)
    job: str | None = _of(_EVENTS.job)
    sensor: str | None = _of(_EVENTS.sensor)
    time: int = _of(_EVENTS.time)
    data: str = _of(_EVENTS.data)


_SUBSCRIPTIONS = telling.subscriptions.c


class Subscription(SQLModel, table=True):
    """Who wants what."""

    __table__: ClassVar[Table] = telling.subscriptions

    id: str = _of(_SUBSCRIPTIONS.id)
    topic: str = _of(_SUBSCRIPTIONS.topic)
    destination: str = _of(_SUBSCRIPTIONS.destination)
    where: str = _of(_SUBSCRIPTIONS.where)
    origin: str = _of(_SUBSCRIPTIONS.origin)
    created_at: int = _of(_SUBSCRIPTIONS.created_at)
    since_seq: int = _of(_SUBSCRIPTIONS.since_seq)
    ended_at: int | None = _of(_SUBSCRIPTIONS.ended_at)
    options: str | None = _of(_SUBSCRIPTIONS.options)


_DELIVERIES = telling.deliveries.c


class Delivery(SQLModel, table=True):
    """One event on its way to one destination."""

    __table__: ClassVar[Table] = telling.deliveries

    id: str = _of(_DELIVERIES.id)
    event: str = _of(_DELIVERIES.event)
    event_seq: int = _of(_DELIVERIES.event_seq)
    subscription: str = _of(_DELIVERIES.subscription)
    replay: int = _of(_DELIVERIES.replay)
    destination: str = _of(_DELIVERIES.destination)
    status: str = _of(_DELIVERIES.status)
    severity: int = _of(_DELIVERIES.severity)
    attempts: int = _of(_DELIVERIES.attempts)
    doubtful: int = _of(_DELIVERIES.doubtful)
    doubts: str = _of(_DELIVERIES.doubts)
    parts: int | None = _of(_DELIVERIES.parts)
    receipts: str = _of(_DELIVERIES.receipts)
    next_attempt_at: int | None = _of(_DELIVERIES.next_attempt_at)
    failing_since: int | None = _of(_DELIVERIES.failing_since)
    error: str | None = _of(_DELIVERIES.error)
    created_at: int = _of(_DELIVERIES.created_at)
    ended_at: int | None = _of(_DELIVERIES.ended_at)
    held_by: str | None = _of(_DELIVERIES.held_by)
    digest: str | None = _of(_DELIVERIES.digest)


_DESTINATIONS = telling.destinations.c


class Destination(SQLModel, table=True):
    """What is known of a destination that is not plainly well: paused, or moved."""

    __table__: ClassVar[Table] = telling.destinations

    destination: str = _of(_DESTINATIONS.destination)
    state: str = _of(_DESTINATIONS.state)
    reason: str | None = _of(_DESTINATIONS.reason)
    since: int = _of(_DESTINATIONS.since)
    moved_to: str | None = _of(_DESTINATIONS.moved_to)


_INBOX = telling.inbox.c


class InboxMessage(SQLModel, table=True):
    """A message of the `inbox:` destination."""

    __table__: ClassVar[Table] = telling.inbox

    id: str = _of(_INBOX.id)
    target: str = _of(_INBOX.target)
    at: int = _of(_INBOX.at)
    severity: int = _of(_INBOX.severity)
    title: str = _of(_INBOX.title)
    text: str = _of(_INBOX.text)
    message: str = _of(_INBOX.message)
