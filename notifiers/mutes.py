"""Mutes: set, ended, listed; each with who wanted it and why. One ends by itself, and says what came meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, func, or_, select, update

from notifiers.bus.embedded import append
from notifiers.clock import from_us, to_us
from notifiers.noise import EVERYTHING, Noise, to_mute
from notifiers.noise_tables import mutes
from notifiers.outcomes import storable
from notifiers.subscriptions import bump
from notifiers.tables import deliveries, events
from rules.event import Event, rfc3339
from rules.noise import Mute

DAY_US = 86_400_000_000
LONGEST_S = 30 * 86_400.0
"""Nobody remembers a mute that is longer."""
SHORTEST_S = 60.0
UNTIL_FIXED_S = 7 * 86_400.0
"""A mute that ends with a job's success ends after so long at the latest: the job may never run again."""

SOURCE = "sensord:mutes"

_HELD = (deliveries.c.status == "held") & deliveries.c.digest.is_(None)


def look_again(conn: Connection, destinations: Iterable[str], now: int) -> None:
    """What holds something there changed: let what a mute or quiet hours held be judged anew."""
    by = or_(deliveries.c.held_by == "quiet", deliveries.c.held_by.startswith("mute:"))
    here = deliveries.c.destination.in_(list(destinations))
    conn.execute(update(deliveries).where(_HELD, here, by).values(next_attempt_at=now))


class NewMute(Struct, frozen=True, kw_only=True):
    """A wish for silence. `until` in microseconds; `job`: until it succeeds, whatever the pattern."""

    id: str
    destination: str
    until: int
    person: str
    name: str
    now: int
    pattern: str = EVERYTHING
    job: str | None = None
    why: str = ""


def add_mutes(conn: Connection, batch: Sequence[NewMute]) -> list[None]:
    """Set mutes, each in place of one that holds for the same thing there."""
    for new in batch:
        same = (mutes.c.destination == new.destination) & (mutes.c.pattern == new.pattern)
        same &= mutes.c.job.is_(None) if new.job is None else mutes.c.job == new.job
        conn.execute(
            update(mutes)
            .where(same, mutes.c.ended_at.is_(None))
            .values(ended_at=new.now, ended_by=f"{storable(new.name)} set another")
        )
        conn.execute(
            mutes.insert().values(
                id=new.id,
                destination=new.destination,
                pattern=new.pattern,
                job=new.job,
                until=new.until,
                since_seq=conn.scalar(select(func.max(events.c.seq))) or 0,
                at=new.now,
                person=new.person,
                name=storable(new.name),
                why=storable(new.why),
                remind_at=new.now + DAY_US if new.until - new.now > DAY_US else None,
                ended_at=None,
                ended_by=None,
            )
        )
        look_again(conn, [new.destination], new.now)
    bump(conn)
    return [None] * len(batch)


def mute_until_fixed(
    conn: Connection, destination: str, job: str, *, person: str, name: str, id_: str, now: int, why: str = ""
) -> NewMute:
    """Silence at a destination about one job until it succeeds, as part of the caller's transaction.

    Whoever calls it makes the audit row and the event, and lets the delivery refresh afterwards.
    """
    until = now + round(UNTIL_FIXED_S * 1e6)
    new = NewMute(id=id_, destination=destination, until=until, person=person, name=name, now=now, job=job, why=why)
    add_mutes(conn, [new])
    return new


class Unmuted(Struct, frozen=True, kw_only=True):
    """Somebody wants mutes to end: the one of that `id`, or at a destination those of a pattern, or all of them."""

    now: int
    by: str
    id: str | None = None
    destinations: Sequence[str] = ()
    pattern: str | None = None


def end_mutes(conn: Connection, batch: Sequence[Unmuted]) -> list[list[Mute]]:
    """Let mutes end at once; those that do. What they held is let out as if their time had come."""
    found: list[list[Mute]] = []
    for one in batch:
        mine: ColumnElement[bool] = mutes.c.ended_at.is_(None)
        if one.id is not None:
            mine &= mutes.c.id == one.id
        else:
            mine &= mutes.c.destination.in_(one.destinations)
        if one.pattern is not None:
            mine &= or_(mutes.c.job == one.pattern, mutes.c.job.is_(None) & (mutes.c.pattern == one.pattern))
        rows = conn.execute(select(mutes).where(mine).order_by(mutes.c.id)).mappings().all()
        conn.execute(update(mutes).where(mine).values(until=one.now, ended_by=storable(one.by)))
        found.append([to_mute(row) for row in rows])
    bump(conn)
    return found


class Over(Struct, frozen=True):
    """A mute that ended: where it was, under the name that holds now, and what ended it."""

    mute: Mute
    to: str
    by: str


def end_due(
    conn: Connection, now: datetime, noise: Noise, resolve: Callable[[str], str], new_id: Callable[[], str]
) -> list[Over]:
    """End the mutes whose time has come, or whose job has succeeded, and publish that they ended.

    Where the hours are quiet, a mute lasts until they are over: it would end in silence.
    """
    now_us = to_us(now)
    over: list[Over] = []
    for row in _open(conn):
        fixed = row["job"] is not None and _succeeded(conn, row["job"], row["since_seq"])
        if not fixed and row["until"] > now_us:
            continue
        to = resolve(row["destination"])
        quiet = noise.quiet.get(to)
        loud = None if quiet is None else quiet.until(now)
        here = mutes.c.id == row["id"]
        if loud is not None:
            conn.execute(update(mutes).where(here).values(until=to_us(loud)))
            continue
        by = "it succeeded" if fixed else row["ended_by"] or "its time is over"
        conn.execute(update(mutes).where(here).values(ended_at=now_us, ended_by=by))
        mine = (deliveries.c.status == "held") & (deliveries.c.held_by == f"mute:{row['id']}")
        conn.execute(update(deliveries).where(mine, deliveries.c.digest.is_(None)).values(next_attempt_at=now_us))
        over.append(Over(to_mute(row), to, by))
    if over:
        bump(conn)
        append(conn, [_ended(one, new_id(), now) for one in over])
    return over


def _open(conn: Connection) -> Sequence[Mapping[Any, Any]]:
    return conn.execute(select(mutes).where(mutes.c.ended_at.is_(None)).order_by(mutes.c.id)).mappings().all()


def _succeeded(conn: Connection, job: str, since: int) -> bool:
    here = (events.c.topic == f"runs.{job}.succeeded") & (events.c.seq > since)
    return conn.scalar(select(events.c.seq).where(here).limit(1)) is not None


def _ended(over: Over, id_: str, now: datetime) -> Event:
    mute = over.mute
    return Event(
        id=id_,
        type="chat.mute_ended",
        topic="chat.mute_ended",
        time=now,
        source=SOURCE,
        message=f"The mute of {mute.about} at {over.to} ended: {over.by}",
        subject=over.to,
        data={"mute": mute.id, "pattern": mute.pattern, "job": mute.job, "place": over.to, "by": over.by},
    )


def remind_due(
    conn: Connection, now: datetime, noise: Noise, resolve: Callable[[str], str]
) -> Iterator[tuple[Mute, str, int, datetime]]:
    """Each mute of which its place is to be reminded, where that is, how many messages wait, and when it ends."""
    now_us = to_us(now)
    for row in _open(conn):
        if row["remind_at"] is None or row["remind_at"] > now_us:
            continue
        to = resolve(row["destination"])
        quiet = noise.quiet.get(to)
        loud = None if quiet is None else quiet.until(now)
        following = to_us(loud) if loud is not None else row["remind_at"] + DAY_US
        while following <= now_us:  # The program was down for days.
            following += DAY_US
        conn.execute(update(mutes).where(mutes.c.id == row["id"]).values(remind_at=following))
        if loud is None:
            mine = (deliveries.c.status == "held") & (deliveries.c.held_by == f"mute:{row['id']}")
            held = conn.scalar(select(func.count()).select_from(deliveries).where(mine)) or 0
            yield to_mute(row), to, held, from_us(row["until"])


def first_due(conn: Connection) -> int | None:
    """When a mute ends or reminds next; now and then a job's success ends one earlier."""
    query = select(func.min(mutes.c.until), func.min(mutes.c.remind_at)).where(mutes.c.ended_at.is_(None))
    return min((due for due in conn.execute(query).one() if due is not None), default=None)


def list_mutes(conn: Connection, destinations: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Mutes that hold, as the API shows them."""
    query = select(mutes).where(mutes.c.ended_at.is_(None)).order_by(mutes.c.id)
    if destinations is not None:
        query = query.where(mutes.c.destination.in_(destinations))
    found = []
    for row in conn.execute(query).mappings():
        mine = (deliveries.c.status == "held") & (deliveries.c.held_by == f"mute:{row['id']}")
        held = conn.scalar(select(func.count()).select_from(deliveries).where(mine))
        times = {name: rfc3339(from_us(row[name])) for name in ("at", "until")}
        shown = {name: row[name] for name in ("id", "destination", "pattern", "job", "person", "name", "why")}
        found.append({**shown, **times, "held": held})
    return found
