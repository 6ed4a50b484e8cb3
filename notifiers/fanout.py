"""An event becomes deliveries: read in order, inserted with the cursor that covers them, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from notifiers.bus.embedded import from_row
from notifiers.subscriptions import Directory, version
from notifiers.tables import bus_cursors, deliveries, events
from rules.event import Event

CURSOR = "deliveries"
"""The name under which `bus_cursors` keeps how far events were routed."""

_CHUNK = 500


class Verdict(Protocol):
    """What routing says of one subscription: `reason` is why not, or None."""

    @property
    def subscription(self) -> Any:
        """The one that it is about."""
        ...

    @property
    def reason(self) -> str | None:
        """Why not, or None."""
        ...


@dataclass(frozen=True, slots=True)
class Unrouted:
    """The events after the cursor, in order, with their places."""

    cursor: int
    events: Sequence[tuple[int, Event]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """What became of the events after `cursor` up to `upto`, by the subscriptions of `version`."""

    cursor: int
    upto: int
    version: int
    deliveries: tuple[dict[str, Any], ...]


def read_unrouted(conn: Connection, limit: int = _CHUNK) -> Unrouted:
    """The next events to route."""
    cursor = conn.scalar(select(bus_cursors.c.seq).where(bus_cursors.c.name == CURSOR)) or 0
    after = select(events).where(events.c.seq > cursor).order_by(events.c.seq).limit(limit)
    return Unrouted(cursor, [(row["seq"], from_row(dict(row))) for row in conn.execute(after).mappings()])


def new_deliveries(
    event: Event,
    seq: int,
    verdicts: Iterable[Verdict],
    *,
    directory: Directory,
    new_id: Callable[[], str],
    now_us: int,
) -> list[dict[str, Any]]:
    """The rows of one event: pending, or suppressed with the reason."""
    return [
        new_delivery(
            new_id(),
            event,
            seq,
            subscription=verdict.subscription.id,
            destination=directory.resolve(verdict.subscription.destination),
            reason=verdict.reason,
            now_us=now_us,
        )
        for verdict in verdicts
    ]


def new_delivery(
    new: str, event: Event, seq: int, *, subscription: str, destination: str, now_us: int, reason: str | None = None
) -> dict[str, Any]:
    """One new row."""
    return {
        "id": new,
        "event": event.id,
        "event_seq": seq,
        "subscription": subscription,
        "replay": 0,
        "destination": destination,
        "status": "pending" if reason is None else "suppressed",
        "severity": int(event.severity),
        "attempts": 0,
        "doubtful": 0,
        "doubts": "[]",
        "parts": None,
        "receipts": "[]",
        "next_attempt_at": None,
        "failing_since": None,
        "error": reason,
        "created_at": now_us,
        "ended_at": None if reason is None else now_us,
    }


def commit_routed(conn: Connection, batch: Sequence[Routed]) -> list[bool]:
    """Insert the deliveries and move the cursor. False: others moved it, or the subscriptions changed; route anew."""
    return [_commit(conn, routed) for routed in batch]


def _commit(conn: Connection, routed: Routed) -> bool:
    if version(conn) != routed.version:
        return False
    here = (bus_cursors.c.name == CURSOR) & (bus_cursors.c.seq == routed.cursor)
    if not conn.execute(update(bus_cursors).where(here).values(seq=routed.upto)).rowcount:
        if routed.cursor or conn.scalar(select(bus_cursors.c.seq).where(bus_cursors.c.name == CURSOR)) is not None:
            return False
        conn.execute(bus_cursors.insert().values(name=CURSOR, seq=routed.upto))
    insert_deliveries(conn, routed.deliveries)
    return True


def insert_deliveries(conn: Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows; one for an event, subscription and replay that has one already is left out."""
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    insert = dialect.insert(deliveries).on_conflict_do_nothing(index_elements=["event", "subscription", "replay"])
    for start in range(0, len(rows), _CHUNK):
        conn.execute(insert, list(rows[start : start + _CHUNK]))
