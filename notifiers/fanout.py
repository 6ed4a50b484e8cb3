"""An event becomes deliveries: read in order, inserted with the cursor that covers them, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from msgspec import Struct
from sqlalchemy import Connection, bindparam, func, select, update

from notifiers.bus.embedded import from_row
from notifiers.database import AtOnce, insert_rows
from notifiers.subscriptions import VERSION, Directory, version
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


class Unrouted(Struct, frozen=True, kw_only=True):
    """The `count` events after the cursor up to `upto`; of them, in order and with their places, those of interest.

    `version` is that of the subscriptions when they were read.
    """

    cursor: int
    upto: int
    version: int
    count: int
    events: Sequence[tuple[int, Event]]


class Routed(Struct, frozen=True, kw_only=True):
    """What became of the events after `cursor` up to `upto`, by the subscriptions of `version`."""

    cursor: int
    upto: int
    version: int
    deliveries: tuple[dict[str, Any], ...]


_COUNTS = select(bus_cursors.c.name, bus_cursors.c.seq).where(bus_cursors.c.name.in_((CURSOR, VERSION)))
_NEXT = (
    select(events.c.seq, events.c.topic, events.c.also)
    .where(events.c.seq > bindparam("after"))
    .order_by(events.c.seq)
    .limit(_CHUNK)
    .subquery()
)
_TOPICS = AtOnce(
    select(_NEXT.c.topic, _NEXT.c.also, func.max(_NEXT.c.seq), func.count()).group_by(_NEXT.c.topic, _NEXT.c.also)
)
_WHOLE = (
    select(events)
    .where(
        events.c.seq > bindparam("after"),
        events.c.seq <= bindparam("upto"),
        events.c.topic.in_(bindparam("topics", expanding=True)),
    )
    .order_by(events.c.seq)
)


def read_unrouted(conn: Connection, wants: Callable[[Iterable[str]], bool]) -> Unrouted:
    """The next events to route. Only those whose topics somebody `wants` are read as a whole: most are for nobody."""
    counts = {row.name: row.seq for row in conn.execute(_COUNTS)}
    cursor, version = counts.get(CURSOR, 0), counts.get(VERSION, 0)
    upto, count, wanted = cursor, 0, set[tuple[str, str | None]]()
    for topic, also, last, here in _TOPICS.rows(conn, {"after": cursor}):
        upto, count = max(upto, last), count + here
        if wants([topic] if also is None else [topic, also]):
            wanted.add((topic, also))
    found: list[tuple[int, Event]] = []
    if wanted:
        asked = {"after": cursor, "upto": upto, "topics": sorted({topic for topic, _ in wanted})}
        rows = conn.execute(_WHOLE, asked).mappings()
        found = [(row["seq"], from_row(dict(row))) for row in rows if (row["topic"], row["also"]) in wanted]
    return Unrouted(cursor=cursor, upto=upto, version=version, count=count, events=found)


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
        "held_by": None,
        "digest": None,
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
    insert_rows(conn, deliveries, rows, conflict=("event", "subscription", "replay"))
