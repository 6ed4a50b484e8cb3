"""What is read to answer: a place's subscriptions, the last message there, what was last said on each topic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, func, or_, select

from notifiers.bus.embedded import from_row
from notifiers.chat.answers import SUBSCRIPTION
from notifiers.reading import Reading, reading_of
from notifiers.tables import deliveries, destinations, events, subscriptions
from rules.event import Event

MOST_TOPICS = 2000
"""So many topics are looked through; who has more narrows the question."""


class Held(Struct, frozen=True):
    """A subscription of a place, under whichever of the place's names it was made."""

    id: str
    topic: str
    where: Mapping[str, Any]
    origin: str
    reading: Reading = (None, None)


def names_of(conn: Connection, destination: str) -> list[str]:
    """The place's name, and every name it had before it moved."""
    names = [destination]
    for name in names:
        before = conn.scalars(select(destinations.c.destination).where(destinations.c.moved_to == name))
        names += [one for one in before if one not in names]
    return names


def held_by(conn: Connection, destination: str) -> list[Held]:
    """The subscriptions that a place has."""
    here = subscriptions.c.destination.in_(names_of(conn, destination)) & subscriptions.c.ended_at.is_(None)
    rows = conn.execute(select(subscriptions).where(here).order_by(subscriptions.c.id)).mappings()
    return [
        Held(
            row["id"],
            row["topic"],
            orjson.loads(row["where"]),
            row["origin"],
            reading_of(orjson.loads(row["options"] or "{}")),
        )
        for row in rows
    ]


def held_in(conn: Connection, chat: str) -> list[str]:
    """The destinations with subscriptions in a chat: the chat itself, and each of its threads."""
    inside = _inside(subscriptions.c.destination, chat)
    query = select(subscriptions.c.destination).where(inside, subscriptions.c.ended_at.is_(None)).distinct()
    return sorted(conn.scalars(query))


def paused_in(conn: Connection, chat: str) -> list[str]:
    """The paused destinations in a chat."""
    inside = _inside(destinations.c.destination, chat)
    return sorted(conn.scalars(select(destinations.c.destination).where(inside, destinations.c.state == "paused")))


def _inside(destination: ColumnElement[str], chat: str) -> ColumnElement[bool]:
    """Whether a destination is in a chat; `slack:` is all of a service's."""
    within = chat if chat.endswith(":") else f"{chat}/"
    return or_(destination == chat, destination.startswith(within, autoescape=True))


def last_told(conn: Connection, destination: str) -> tuple[str, str | None] | None:
    """The event of the newest message to a place that was no answer, and its run."""
    here = (deliveries.c.destination == destination) & (deliveries.c.subscription != SUBSCRIPTION)
    told = here & deliveries.c.status.in_(["delivered", "uncertain"])
    query = (
        select(events.c.id, events.c.run)
        .join(deliveries, deliveries.c.event == events.c.id)
        .where(told)
        .order_by(deliveries.c.id.desc())
        .limit(1)
    )
    row = conn.execute(query).first()
    return None if row is None else (row[0], row[1])


def get_event(conn: Connection, id_: str) -> Event | None:
    """One event."""
    row = conn.execute(select(events).where(events.c.id == id_)).mappings().first()
    return None if row is None else from_row(dict(row))


def last_said(
    conn: Connection, sees: Callable[[Sequence[str]], bool], asked: Callable[[str], bool]
) -> dict[str, Event]:
    """The newest event on each topic that is asked for and has one that may be seen."""
    found: dict[str, Event] = {}
    for column in (events.c.topic, events.c.also):
        for topic in _distinct(conn, column):
            if not asked(topic) or not sees([topic]):
                continue
            row = conn.execute(select(events).where(column == topic).order_by(events.c.seq.desc()).limit(1))
            event = from_row(dict(row.mappings().one()))
            if topic not in found or found[topic].time < event.time:
                found[topic] = event
    return found


def _distinct(conn: Connection, column: ColumnElement[Any]) -> list[str]:
    """Every value of an indexed column, one look into the index for each, however many rows there are."""
    first = select(func.min(column).label("value")).cte("found", recursive=True)
    following = select(func.min(column)).where(column > first.c.value).scalar_subquery()
    found = first.union_all(select(following).where(first.c.value.is_not(None)))
    return list(conn.scalars(select(found.c.value).where(found.c.value.is_not(None)).limit(MOST_TOPICS)))
