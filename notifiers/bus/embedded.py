"""The embedded bus is the event log in SQL: an event is published by the transaction that makes it true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, select

from notifiers.clock import from_us, to_us
from notifiers.database import Database, insert_rows
from notifiers.tables import events
from rules.event import Event, Severity


def to_row(event: Event) -> dict[str, Any]:
    """An event as a row of the log, without its place in it."""
    return {
        "id": event.id,
        "type": event.type,
        "topic": event.topic,
        "also": event.also,
        "source": event.source,
        "subject": event.subject,
        "severity": int(event.severity),
        "message": event.message,
        "run": event.run,
        "job": event.job,
        "sensor": event.sensor,
        "time": to_us(event.time),
        "data": orjson.dumps(event.data, default=dict).decode(),
    }


def from_row(row: Mapping[str, Any]) -> Event:
    """The event that `to_row` made a row of."""
    return Event(
        id=row["id"],
        type=row["type"],
        topic=row["topic"],
        also=row["also"],
        source=row["source"],
        subject=row["subject"],
        severity=Severity(row["severity"]),
        message=row["message"],
        run=row["run"],
        job=row["job"],
        sensor=row["sensor"],
        time=from_us(row["time"]),
        data=orjson.loads(row["data"]),
    )


def append(conn: Connection, batch: Sequence[Event]) -> None:
    """Publish events as part of the caller's transaction; one whose id is there already stays as it was."""
    insert_rows(conn, events, [to_row(event) for event in batch], conflict=("id",))


def append_once(conn: Connection, batch: Sequence[Event]) -> list[bool]:
    """Publish events whose ids come from outside: True for each that was not there yet."""
    ids = list({event.id for event in batch})
    known: set[str] = set()
    for start in range(0, len(ids), 900):  # SQLite takes at most 999 values in a statement by default.
        known.update(conn.scalars(select(events.c.id).where(events.c.id.in_(ids[start : start + 900]))))
    fresh: dict[str, Event] = {}
    result: list[bool] = []
    for event in batch:
        new = event.id not in known and event.id not in fresh
        if new:
            fresh[event.id] = event
        result.append(new)
    append(conn, list(fresh.values()))
    return result


class EmbeddedBus:
    """The bus for events that come from outside of a transaction of ours."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(self, batch: Sequence[Event]) -> Sequence[bool]:
        """Return once the events are durable; False for each whose id was published before."""
        return await self._database.write_many(append_once, batch)
