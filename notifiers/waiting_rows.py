"""What waits to be sent, and what was sent lately: what the waiting room reads of the database."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from notifiers.living_tables import living
from notifiers.store import Waiting
from notifiers.tables import deliveries, destinations

_WAITING = [deliveries.c[name] for name in ("id", "destination", "severity", "event_seq", "next_attempt_at", "error")]


def load_waiting(conn: Connection, per_lane: int) -> list[Waiting]:
    """The oldest `per_lane` pending deliveries of each severity of each destination that is not paused."""
    rank = func.row_number().over(
        partition_by=(deliveries.c.destination, deliveries.c.severity),
        order_by=(deliveries.c.event_seq, deliveries.c.id),
    )
    paused = select(destinations.c.destination).where(destinations.c.state == "paused")
    columns = _WAITING
    ranked = (
        select(*columns, rank.label("rank"))
        .where(deliveries.c.status == "pending", deliveries.c.destination.not_in(paused))
        .subquery()
    )
    query = select(*(ranked.c[column.name] for column in columns)).where(ranked.c.rank <= per_lane)
    return [Waiting(*row) for row in conn.execute(query)]


def load_destination(conn: Connection, destination: str, per_lane: int) -> list[Waiting]:
    """The oldest pending deliveries of each severity of one destination."""
    mine = (deliveries.c.status == "pending") & (deliveries.c.destination == destination)
    lanes = conn.scalars(select(deliveries.c.severity).where(mine).distinct()).all()
    return [one for severity in lanes for one in load_lane(conn, destination, severity, per_lane)]


def load_lane(conn: Connection, destination: str, severity: int, limit: int) -> list[Waiting]:
    """The oldest pending deliveries of one severity of one destination."""
    query = (
        select(*_WAITING)
        .where(
            deliveries.c.status == "pending",
            deliveries.c.destination == destination,
            deliveries.c.severity == severity,
        )
        .order_by(deliveries.c.event_seq, deliveries.c.id)
        .limit(limit)
    )
    return [Waiting(*row) for row in conn.execute(query)]


def recent_calls(conn: Connection, since: int, now: int) -> list[tuple[str, int, int]]:
    """(destination, when it ended, calls made) of what was called after `since`, oldest first: it still counts.

    When something that waits for another try was last tried is not known: that counts as now.
    """
    query = (
        select(deliveries.c.destination, deliveries.c.ended_at, deliveries.c.attempts)
        .where(deliveries.c.ended_at > since, deliveries.c.attempts > 0)
        .order_by(deliveries.c.ended_at)
    )
    calls = [(row[0], row[1], row[2]) for row in conn.execute(query)]
    # Edits that did not end their delivery.
    ended = {(destination, at) for destination, at, _ in calls}
    touched = select(living.c.destination, living.c.touched_at).where(living.c.touched_at > since)
    calls += [(row[0], row[1], 1) for row in conn.execute(touched) if (row[0], row[1]) not in ended]
    again = (deliveries.c.status == "pending") & (deliveries.c.attempts > 0)
    calls += [(row[0], now, 1) for row in conn.execute(select(deliveries.c.destination).where(again).distinct())]
    return sorted(calls, key=lambda call: call[1])
