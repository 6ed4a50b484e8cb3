"""Deliveries that ended without having arrived for certain: found, and counted."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, func, select

from notifiers.tables import deliveries, destinations

STATUSES = ("dead", "uncertain")
MOST = 500
"""How many are found at a time."""


class Ended(Struct, frozen=True, kw_only=True):
    """Which of them: of these statuses; of one destination, of one subscription, where it is named."""

    statuses: tuple[str, ...]
    destination: str | None = None
    subscription: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """The same for the database."""
        found: list[ColumnElement[bool]] = [deliveries.c.status.in_(self.statuses)]
        if self.destination is not None:
            found.append(deliveries.c.destination == self.destination)
        if self.subscription is not None:
            found.append(deliveries.c.subscription == self.subscription)
        return found


def count_ended(conn: Connection, which: Ended) -> list[dict[str, Any]]:
    """How many there are of each destination and status, and whether the destination gets anything now."""
    paused = set(conn.scalars(select(destinations.c.destination).where(destinations.c.state == "paused")))
    columns = (deliveries.c.destination, deliveries.c.status)
    query = select(*columns, func.count()).where(*which.conditions()).group_by(*columns).order_by(*columns)
    return [
        {"destination": destination, "status": status, "count": number, "paused": destination in paused}
        for destination, status, number in conn.execute(query)
    ]


def find_ended(conn: Connection, which: Ended, after: str | None = None) -> list[str]:
    """The oldest of them behind `after`, at most MOST: their ids in order."""
    query = select(deliveries.c.id).where(*which.conditions()).order_by(deliveries.c.id).limit(MOST)
    return list(conn.scalars(query if after is None else query.where(deliveries.c.id > after)))
