"""The past for a new subscription: the events that the log still holds become deliveries, a little at a time.

Each event at most once for a subscription, and none for a destination that was told of it already. What is made waits
in a lane behind everything fresh, in the order of the events. A crash anywhere goes on where the last commit was.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import orjson
from msgspec import Struct
from sqlalchemy import Connection, select, update

from notifiers.bell import Bell
from notifiers.bus.embedded import append, from_row
from notifiers.clock import Clock, from_us, to_us
from notifiers.database import Database
from notifiers.fanout import insert_deliveries, new_delivery
from notifiers.routing import Routing
from notifiers.store import Waiting
from notifiers.tables import backlogs, deliveries, events, subscriptions
from rules.event import Event
from rules.living import state_of
from rules.routing import Router, Subscription, compile_where
from rules.topics import matches

log = logging.getLogger(__name__)

SOURCE = "sensord:subscriptions"
BEHIND = 0
"""The severity of such a delivery's lane: below every event's, so that what is fresh goes first."""

_CHUNK = 1000
_TOLD = 400
_PAUSE_S = 0.01


class Past(Struct, frozen=True, kw_only=True):
    """What is next for a subscription: of the events after `place` up to `upto`, those that may be for it."""

    subscription: Subscription
    place: int
    upto: int
    last: bool
    events: Sequence[tuple[int, Event]]


class Made(Struct, frozen=True, kw_only=True):
    """What becomes of it. `notice` is the id of the event that says so at the end."""

    past: Past
    rows: Sequence[dict[str, Any]]
    now: int
    notice: str


class Backlog:
    """Makes the deliveries; those that are to be sent are `expected`."""

    def __init__(
        self, database: Database, clock: Clock, routing: Routing, expect: Callable[[Sequence[Waiting]], None]
    ) -> None:
        self._database = database
        self._clock = clock
        self._routing = routing
        self._expect = expect
        self._bell = Bell(clock)

    def ring(self) -> None:
        """There may be a new subscription that has a past."""
        self._bell.ring()

    async def run(self) -> None:
        """Work until cancelled; with nothing to do, wait for the bell."""
        while True:
            open_ = await self._database.read(open_backlogs)
            for subscription in open_:
                await self._step(subscription)
            if open_:
                await self._clock.sleep(_PAUSE_S)
            else:
                await self._bell.wait()

    async def _step(self, subscription: str) -> None:
        past = await self._database.read(partial(read_past, subscription=subscription))
        if past is None:
            return
        rows = [self._row(past, seq, event) for seq, event in past.events if _concerns(past.subscription, event)]
        made = Made(past=past, rows=rows, now=to_us(self._clock.now()), notice=self._clock.new_id())
        fresh, total = await self._database.write(commit_past, made, patient=True)
        self._expect([Waiting(row["id"], row["destination"], row["severity"], row["event_seq"]) for row in fresh])
        if total is not None:
            log.info("subscription.backlog", extra={"subscription": subscription, "deliveries": total})

    def _row(self, past: Past, seq: int, event: Event) -> dict[str, Any]:
        row = new_delivery(
            self._clock.new_id(),
            event,
            seq,
            subscription=past.subscription.id,
            destination=self._routing.directory.resolve(past.subscription.destination),
            now_us=to_us(self._clock.now()),
        )
        return {**row, "severity": BEHIND}


def _concerns(subscription: Subscription, event: Event) -> bool:
    if state_of(event) == "progress":
        return False  # What has come further since is no news.
    router = Router()
    try:
        router.add(subscription)
        return any(verdict.reason is None for verdict in router.route(event))
    except ValueError as error:
        log.error("event.unroutable", extra={"event_id": event.id, "error": str(error)})  # noqa: TRY400 - no bug of ours
        return False


def open_backlogs(conn: Connection) -> list[str]:
    """The subscriptions that have a past to be told of, oldest first."""
    waiting = select(backlogs.c.subscription).where(backlogs.c.ended_at.is_(None))
    return list(conn.scalars(waiting.order_by(backlogs.c.subscription)))


def read_past(conn: Connection, subscription: str) -> Past | None:
    """The next events; whole are only those on the subscription's topic. None: there is nothing more to do."""
    query = (
        select(subscriptions, backlogs.c.place, backlogs.c.upto, backlogs.c.at)
        .join_from(backlogs, subscriptions, subscriptions.c.id == backlogs.c.subscription)
        .where(backlogs.c.subscription == subscription, backlogs.c.ended_at.is_(None))
    )
    row = conn.execute(query).mappings().first()
    if row is None:
        return None
    topic, at = row["topic"], row["at"]
    span = (events.c.seq > row["place"]) & (events.c.seq <= row["upto"])
    columns = (events.c.seq, events.c.topic, events.c.also, events.c.time)
    heads = conn.execute(select(*columns).where(span).order_by(events.c.seq).limit(_CHUNK)).all()
    wanted = [
        head.seq
        for head in heads
        if (at is None or head.time >= at) and any(one and matches(topic, one) for one in (head.topic, head.also))
    ]
    whole = select(events).where(events.c.seq.in_(wanted)).order_by(events.c.seq)
    found = conn.execute(whole).mappings() if wanted else ()
    last = len(heads) < _CHUNK
    return Past(
        subscription=Subscription(row["id"], topic, row["destination"], compile_where(orjson.loads(row["where"]))),
        place=row["place"],
        upto=row["upto"] if last else heads[-1].seq,
        last=last,
        events=[(one["seq"], from_row(dict(one))) for one in found],
    )


def commit_past(conn: Connection, batch: Sequence[Made]) -> list[tuple[list[dict[str, Any]], int | None]]:
    """Insert the deliveries and move the place; those that are to be sent, and at the end how many that was in all."""
    return [_commit(conn, made) for made in batch]


def _commit(conn: Connection, made: Made) -> tuple[list[dict[str, Any]], int | None]:
    past = made.past
    id_ = past.subscription.id
    holds = conn.scalar(select(subscriptions.c.id).where(subscriptions.c.id == id_, subscriptions.c.ended_at.is_(None)))
    rows = _untold(conn, made.rows) if holds is not None else []
    fresh = [row for row in rows if row["status"] == "pending"]
    over = past.last or holds is None
    here = (backlogs.c.subscription == id_) & (backlogs.c.place == past.place) & backlogs.c.ended_at.is_(None)
    values = {"place": past.upto, "made": backlogs.c.made + len(fresh), "ended_at": made.now if over else None}
    if not conn.execute(update(backlogs).where(here).values(**values)).rowcount:
        return [], None
    insert_deliveries(conn, rows)
    if not over:
        return fresh, None
    total = conn.scalar(select(backlogs.c.made).where(backlogs.c.subscription == id_)) or 0
    if total:
        append(conn, [_notice(made, total)])
    return fresh, total


def _untold(conn: Connection, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without those that the subscription has already; one whose destination was told by another is suppressed."""
    told: dict[tuple[str, str], str] = {}
    has: set[str] = set()
    by_event = {row["event"]: row for row in rows}
    ids = list(by_event)
    columns = (deliveries.c.event, deliveries.c.subscription, deliveries.c.destination, deliveries.c.status)
    for start in range(0, len(ids), _TOLD):
        query = select(*columns).where(deliveries.c.event.in_(ids[start : start + _TOLD]))
        for event, subscription, destination, status in conn.execute(query):
            if subscription == by_event[event]["subscription"]:
                has.add(event)
            elif status not in ("suppressed", "dead"):
                told[event, destination] = subscription
    result: list[dict[str, Any]] = []
    for row in rows:
        first = told.get((row["event"], row["destination"]))
        if row["event"] in has:
            continue
        if first is not None:
            reason = f"{row['destination']} was already told by subscription {first}"
            row = {**row, "status": "suppressed", "error": reason, "ended_at": row["created_at"]}  # noqa: PLW2901
        result.append(row)
    return result


def _notice(made: Made, total: int) -> Event:
    to = made.past.subscription
    words = "1 earlier event goes" if total == 1 else f"{total:,} earlier events go"
    return Event(
        id=made.notice,
        type="message",
        topic="subscriptions.backlog",
        time=from_us(made.now),
        source=SOURCE,
        message=f"{words} to {to.destination}, which is subscribed to {to.topic}",
        subject=to.destination,
        data={"subscription": to.id, "topic": to.topic, "destination": to.destination, "deliveries": total},
    )
