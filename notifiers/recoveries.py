"""A failure whose job came through later: its message says so, once for each destination.

The rows decide: a failure that is shown, no recovery yet, and a later success of the same job in the event log. So it
does not matter in which order the failure is shown and the success told, or what happens in between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, select, update

from notifiers.bus.embedded import from_row
from notifiers.clock import Clock, to_us
from notifiers.database import Database
from notifiers.fanout import insert_deliveries, new_delivery
from notifiers.living import RECOVERY
from notifiers.living_tables import living
from notifiers.store import Waiting
from notifiers.tables import events, subscriptions


class Look(Struct, frozen=True):
    """Look whether the failures of a job were made good. `new_id` makes the deliveries' ids."""

    job: str
    now: int
    new_id: Callable[[], str]


class Recoveries:
    """Knows which jobs have failures that are shown and not made good; `expect` is given the deliveries."""

    def __init__(self, database: Database, clock: Clock, expect: Callable[[Iterable[Waiting]], None]) -> None:
        self._database = database
        self._clock = clock
        self._expect = expect
        self._topics: dict[str, str] = {}

    def wants(self, topics: Iterable[str]) -> bool:
        """Whether an event on one of these topics is a success that somebody waits for."""
        return bool(self._topics) and any(topic in self._topics for topic in topics)

    async def open(self) -> None:
        """At start: look at every job that has such failures."""
        for job in await self._database.read(open_jobs):
            await self.failed(job)

    async def failed(self, job: str) -> None:
        """A failure of the job is shown now. It may have been made good while it waited."""
        self._topics[f"runs.{job}.succeeded"] = job
        await self._look(job)

    async def routed(self, topics: Iterable[str]) -> None:
        """Events on these topics are routed."""
        for job in sorted({self._topics[topic] for topic in topics if topic in self._topics}):
            await self._look(job)

    async def _look(self, job: str) -> None:
        look = Look(job, to_us(self._clock.now()), self._clock.new_id)
        rows, left = await self._database.write(make_recoveries, look)
        if not left:
            self._topics.pop(f"runs.{job}.succeeded", None)
        self._expect([Waiting(row["id"], row["destination"], row["severity"], row["event_seq"]) for row in rows])


def open_jobs(conn: Connection) -> list[str]:
    """The jobs that have failures which are shown and not made good."""
    jobs = select(living.c.open_failure).where(living.c.open_failure.is_not(None)).distinct()
    return list(conn.scalars(jobs))


def make_recoveries(conn: Connection, batch: Sequence[Look]) -> list[tuple[list[dict[str, Any]], int]]:
    """Deliveries for what was made good, one for each destination, and how many failures are left open."""
    return [_make(conn, look) for look in batch]


def _make(conn: Connection, look: Look) -> tuple[list[dict[str, Any]], int]:
    query = select(living).where(living.c.open_failure == look.job).order_by(living.c.event_seq)
    by_destination: dict[str, list[Any]] = defaultdict(list)
    for row in conn.execute(query).mappings():
        by_destination[row["destination"]].append(row)
    made: list[dict[str, Any]] = []
    left = 0
    for failures in by_destination.values():
        rows = failures
        while rows and (success := _success(conn, look.job, rows[0]["event_seq"])) is not None:
            before = [row for row in rows if row["event_seq"] < success["seq"]]
            rows = rows[len(before) :]
            made += _made_good(conn, look, before, success)
        left += len(rows)
    insert_deliveries(conn, made)
    return made, left


def _made_good(
    conn: Connection, look: Look, failures: Sequence[Mapping[str, Any]], success: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The newest failure of a destination says so. Those before it were followed by another, which came of them."""
    ids = [row["id"] for row in failures]
    conn.execute(update(living).where(living.c.id.in_(ids)).values(open_failure=None, recovered_by=success["id"]))
    newest = failures[-1]
    if not _wanted(conn, newest["subscription"]):
        return []
    event, seq, name = from_row(success), success["seq"], f"{RECOVERY}{newest['id']}"
    to = newest["destination"]
    return [new_delivery(look.new_id(), event, seq, subscription=name, destination=to, now_us=look.now)]


def _success(conn: Connection, job: str, after: int) -> dict[str, Any] | None:
    """The first success of the job after an event."""
    here = (events.c.topic == f"runs.{job}.succeeded") & (events.c.seq > after)
    row = conn.execute(select(events).where(here).order_by(events.c.seq).limit(1)).mappings().first()
    return None if row is None else dict(row)


def _wanted(conn: Connection, subscription: str) -> bool:
    """Whether who was told of the failure still wants to be told."""
    held = subscriptions.c.id == subscription
    return conn.scalar(select(subscriptions.c.id).where(held, subscriptions.c.ended_at.is_(None))) is not None
