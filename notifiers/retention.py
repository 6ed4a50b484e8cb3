"""Old events, deliveries and messages are deleted a few at a time, so that no transaction is long."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from sqlalchemy import Connection, delete, func, or_, select

from notifiers.check_tables import checks
from notifiers.fanout import CURSOR
from notifiers.living_tables import living
from notifiers.noise_tables import digests, mutes
from notifiers.store import TERMINAL
from notifiers.tables import bus_cursors, deliveries, events, inbox


class Chunk(Struct, frozen=True):
    """Delete what is older than `before` (microseconds), at most `limit` rows. Repeat while `limit` were deleted."""

    before: int
    limit: int = 1000


def prune_events(conn: Connection, batch: Sequence[Chunk]) -> list[int]:
    """Delete old events; how many, for each.

    Kept are those that are not routed yet, those with a delivery that has not ended, and the newest of all: its
    number is what the next one counts on from.
    """
    return [_prune_events(conn, chunk) for chunk in batch]


def _prune_events(conn: Connection, chunk: Chunk) -> int:
    routed = conn.scalar(select(bus_cursors.c.seq).where(bus_cursors.c.name == CURSOR)) or 0
    newest = conn.scalar(select(func.max(events.c.seq))) or 0
    unfinished = select(deliveries.c.event).where(
        deliveries.c.event == events.c.id, deliveries.c.status.not_in(TERMINAL)
    )
    old = (
        select(events.c.seq)
        .where(events.c.time < chunk.before, events.c.seq <= routed, events.c.seq < newest, ~unfinished.exists())
        .order_by(events.c.time)
        .limit(chunk.limit)
    )
    return conn.execute(delete(events).where(events.c.seq.in_(old.scalar_subquery()))).rowcount


def prune_deliveries(conn: Connection, batch: Sequence[Chunk]) -> list[int]:
    """Delete deliveries that ended long ago; how many, for each."""
    return [_prune_deliveries(conn, chunk) for chunk in batch]


def _prune_deliveries(conn: Connection, chunk: Chunk) -> int:
    old = (
        select(deliveries.c.id)
        .where(deliveries.c.ended_at < chunk.before)
        .order_by(deliveries.c.ended_at)
        .limit(chunk.limit)
    )
    return conn.execute(delete(deliveries).where(deliveries.c.id.in_(old.scalar_subquery()))).rowcount


def prune_digests(conn: Connection, batch: Sequence[Chunk]) -> list[int]:
    """Delete old digests, and mutes that ended long ago; how many, for each. A digest stays while a delivery does."""
    gone: list[int] = []
    for chunk in batch:
        carried = select(deliveries.c.id).where(
            or_(deliveries.c.event == digests.c.id, deliveries.c.digest == digests.c.id)
        )
        old = select(digests.c.id).where(digests.c.at < chunk.before, ~carried.exists()).limit(chunk.limit)
        number = conn.execute(delete(digests).where(digests.c.id.in_(old.scalar_subquery()))).rowcount
        gone.append(number + conn.execute(delete(mutes).where(mutes.c.ended_at < chunk.before)).rowcount)
    return gone


def prune_living(conn: Connection, batch: Sequence[Chunk]) -> list[int]:
    """Forget messages that nobody touched for long; how many, for each. They stay where they are, as they are."""
    gone: list[int] = []
    for chunk in batch:
        touched = living.c.touched_at
        old = select(living.c.id).where(touched < chunk.before).order_by(touched).limit(chunk.limit)
        gone.append(conn.execute(delete(living).where(living.c.id.in_(old.scalar_subquery()))).rowcount)
    return gone


def prune_checks(conn: Connection, batch: Sequence[Chunk]) -> list[int]:
    """Forget checks that had no result for long; how many, for each."""
    gone: list[int] = []
    for chunk in batch:
        old = select(checks.c.id).where(checks.c.at < chunk.before).order_by(checks.c.at).limit(chunk.limit)
        gone.append(conn.execute(delete(checks).where(checks.c.id.in_(old.scalar_subquery()))).rowcount)
    return gone


def prune_inbox(conn: Connection, batch: Sequence[Chunk]) -> list[int]:
    """Delete old messages of the inbox; how many, for each."""
    return [_prune_inbox(conn, chunk) for chunk in batch]


def _prune_inbox(conn: Connection, chunk: Chunk) -> int:
    old = select(inbox.c.id).where(inbox.c.at < chunk.before).order_by(inbox.c.at).limit(chunk.limit)
    return conn.execute(delete(inbox).where(inbox.c.id.in_(old.scalar_subquery()))).rowcount
