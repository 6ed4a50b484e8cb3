"""From when on: a time, so long ago, or an event, as a place in the log."""

from __future__ import annotations

import re
from datetime import datetime

from msgspec import Struct
from sqlalchemy import Connection, func, select

from notifiers.clock import to_us
from notifiers.settings import parse_duration
from notifiers.tables import events

NEAR = 1000
"""Events come nearly in the order of their times: one recorded earlier is looked for among so many of the first."""

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SPOILT = re.compile(r"(.*T.*) (\d\d:\d\d)")  # The + of an offset is a space in a query that is not encoded.
_OLDEST = -(2**53)


class Since(Struct, frozen=True):
    """From the time `at` (microseconds) on, that included, or from what follows the event of that id."""

    at: int | None = None
    event: str | None = None


class Begin(Struct, frozen=True):
    """The place in the log after which it begins, and the time (microseconds) that what is taken must have."""

    after: int
    at: int | None = None


def parse_since(text: str, now: datetime) -> Since:
    """`2026-11-21T01:02:03Z`, `2h` (so long before now) or the id of an event. ValueError says so."""
    if _ID.fullmatch(text):
        return Since(event=text)
    try:
        return Since(at=max(_OLDEST, to_us(now) - round(parse_duration(text) * 1e6)))
    except (ValueError, OverflowError):
        pass
    try:
        moment = datetime.fromisoformat(_SPOILT.sub(r"\1+\2", text))
        return Since(at=to_us(moment))
    except (ValueError, TypeError, OverflowError):
        raise ValueError(
            f"since is {text[:40]!r}; give a time (2026-11-21T01:02:03Z), so long ago (2h) or the id of an event"
        ) from None


def begin_of(conn: Connection, since: Since) -> Begin:
    """Where that is in the log. ValueError: there is no such event.

    Of the events at or after a time those are found that were recorded no earlier than the first NEAR of them: one
    whose sender's clock was further ahead than that is not.
    """
    if since.event is not None:
        place = conn.scalar(select(events.c.seq).where(events.c.id == since.event))
        if place is None:
            raise ValueError(f"since is {since.event!r}, and there is no such event; it may have been deleted as old")
        return Begin(place)
    first = select(events.c.seq).where(events.c.time >= since.at).order_by(events.c.time).limit(NEAR).subquery()
    found = conn.scalar(select(func.min(first.c.seq)))
    if found is None:
        found = (conn.scalar(select(func.max(events.c.seq))) or 0) + 1
    return Begin(found - 1, since.at)
