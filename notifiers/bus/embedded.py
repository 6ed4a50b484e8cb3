"""The embedded bus is the event log in SQL: an event is published by the transaction that makes it true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import nlargest
from typing import Any, Final

import orjson
from sqlalchemy import Connection, select

from notifiers.check_history import of_checks, with_history
from notifiers.clock import from_us, to_us
from notifiers.database import Database, insert_rows
from notifiers.tables import events
from rules.event import Event, Severity

_CHUNK: Final = 500


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
    told = with_history(conn, batch) if of_checks(batch) else batch
    insert_rows(conn, events, [to_row(event) for event in told], conflict=("id",))


def append_once(conn: Connection, batch: Sequence[Event]) -> list[bool]:
    """Publish events whose ids come from outside: True for each that was not there yet."""
    told = with_history(conn, batch) if of_checks(batch) else batch
    inserted = insert_rows(conn, events, [to_row(event) for event in told], conflict=("id",))
    if inserted == len(batch):
        return [True] * inserted
    new = _newest(conn, batch, inserted)
    result = []
    for event in batch:
        result.append(event.id in new)
        new.discard(event.id)  # One that is in the batch twice is new once.
    return result


def _newest(conn: Connection, batch: Sequence[Event], count: int) -> set[str]:
    """The ids of those that were inserted just now: their places are behind all others'.

    To have each INSERT say so would take a step of SQLite's for each row, nearly always to hear that all are new.
    """
    found: set[tuple[int, str]] = set()
    for start in range(0, len(batch), _CHUNK):
        ids = [event.id for event in batch[start : start + _CHUNK]]
        rows = conn.execute(select(events.c.seq, events.c.id).where(events.c.id.in_(ids)))
        found |= {(seq, id_) for seq, id_ in rows}
    return {id_ for _, id_ in nlargest(count, found)}


class EmbeddedBus:
    """The bus for events that come from outside of a transaction of ours."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def publish(self, batch: Sequence[Event]) -> Sequence[bool]:
        """Return once the events are durable; False for each whose id was published before."""
        return await self._database.write_many(append_once, batch)
