"""Who had a role by the configuration and has none any more: what their own chat was told of ends.

It ends as a changed configuration is loaded, in one transaction with an audit row, an event on `chat.ended` and a word
to the owner. Groups stay as they are: others read there. So does what the configuration itself subscribes, and whoever
holds a role by an invitation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from sqlalchemy import Connection, select

from notifiers.chat import Person
from notifiers.chat.looking import held_in
from notifiers.chat.people import guest_grants
from notifiers.chat.tables import chat_acts, chat_granted
from notifiers.chat.turns import Done, record_act
from notifiers.clock import Clock, to_us
from notifiers.fanout import insert_deliveries, new_delivery
from notifiers.subscriptions import Ended, end_subscriptions
from notifiers.tables import events, subscriptions
from rules.event import Severity

_SOMEBODY = re.compile(r"telegram:[1-9][0-9]*|slack:[UW][A-Z0-9]+")
"""A person, whose own chat is called as they are; a group or a channel may hold a role as well."""


class Granted(Struct, frozen=True, kw_only=True):
    """Everybody who has a role by the configuration now. `ways` are where the owner is told: (name, destination)."""

    people: frozenset[str]
    ways: tuple[tuple[str, str], ...]
    clock: Clock


def sync_granted(conn: Connection, batch: Sequence[Granted]) -> list[list[str]]:
    """Note who has a role now; of those who have none any more, the subscriptions that ended, for each item."""
    return [_sync(conn, granted) for granted in batch]


def _sync(conn: Connection, granted: Granted) -> list[str]:
    before = set(conn.scalars(select(chat_granted.c.person)))
    now = to_us(granted.clock.now())
    ended: list[str] = []
    for person in sorted(before - granted.people):
        if _SOMEBODY.fullmatch(person) and not guest_grants(conn, person):
            ended += _end(conn, person, granted, now)
    conn.execute(chat_granted.delete())
    if granted.people:
        conn.execute(chat_granted.insert(), [{"person": person, "at": now} for person in sorted(granted.people)])
    return ended


def _end(conn: Connection, person: str, granted: Granted, now: int) -> list[str]:
    places = held_in(conn, person)
    mine = subscriptions.c.destination.in_(places) & (subscriptions.c.origin == "user")
    holding = select(subscriptions.c.id, subscriptions.c.topic).where(mine, subscriptions.c.ended_at.is_(None))
    rows = conn.execute(holding.order_by(subscriptions.c.id)).all()
    if not rows:
        return []
    end_subscriptions(conn, [Ended(id=row.id, at=now) for row in rows])
    topics = ", ".join(dict.fromkeys(row.topic for row in rows))
    text = f"{person} has no role in the configuration any more, so their own chat is told no more of {topics}"
    detail: dict[str, Any] = {"subscriptions": [row.id for row in rows], "topics": [row.topic for row in rows]}
    who = Person(person, _name(conn, person))
    done = Done(act="ended", person=who, place=person, text=text, severity=Severity.warning, detail=detail)
    event = record_act(conn, done, granted.clock.new_id(), now)
    seq = conn.scalar(select(events.c.seq).where(events.c.id == event.id)) or 0
    ways = [(name, to) for name, to in granted.ways if to != person]
    new_id = granted.clock.new_id
    insert_deliveries(
        conn, [new_delivery(new_id(), event, seq, subscription=name, destination=to, now_us=now) for name, to in ways]
    )
    return [row.id for row in rows]


def _name(conn: Connection, person: str) -> str:
    """What they called themselves when they last did something."""
    newest = select(chat_acts.c.name).where(chat_acts.c.person == person).order_by(chat_acts.c.id.desc()).limit(1)
    return conn.scalar(newest) or person
