"""Quiet hours of destinations: set from a chat, or by the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from sqlalchemy import Connection, delete, select

from notifiers.mutes import look_again
from notifiers.noise_tables import quiet_hours
from notifiers.subscriptions import bump


class QuietWish(Struct, frozen=True, kw_only=True):
    """From now on these are a destination's quiet hours; None: it has none. Time in microseconds."""

    destination: str
    hours: str | None
    person: str
    now: int
    origin: str = "user"


def set_quiet(conn: Connection, batch: Sequence[QuietWish]) -> list[bool]:
    """Set or lift quiet hours; False for each that changes nothing. What waited for their end is judged anew."""
    changed: list[bool] = []
    for wish in batch:
        here = quiet_hours.c.destination == wish.destination
        before = conn.scalar(select(quiet_hours.c.hours).where(here))
        conn.execute(delete(quiet_hours).where(here))
        if wish.hours is not None:
            conn.execute(
                quiet_hours.insert().values(
                    destination=wish.destination,
                    hours=wish.hours,
                    origin=wish.origin,
                    person=wish.person,
                    at=wish.now,
                )
            )
        changed.append(before != wish.hours)
    look_again(conn, [wish.destination for wish in batch], max(wish.now for wish in batch))
    bump(conn)
    return changed


class ConfiguredQuiet(Struct, frozen=True, kw_only=True):
    """The quiet hours of the configuration, by destination, at the daemon's start."""

    hours: Mapping[str, str]
    now: int


def sync_quiet(conn: Connection, batch: Sequence[ConfiguredQuiet]) -> list[int]:
    """Make the quiet hours of origin `config` those of the configuration; how many changed. Others' stay."""
    return [_sync(conn, configured) for configured in batch]


def _sync(conn: Connection, configured: ConfiguredQuiet) -> int:
    held = {row["destination"]: row for row in conn.execute(select(quiet_hours)).mappings()}
    wishes = [
        QuietWish(destination=to, hours=hours, person="config", now=configured.now, origin="config")
        for to, hours in configured.hours.items()
        if to not in held or (held[to]["hours"], held[to]["origin"]) != (hours, "config")
    ]
    wishes += [
        QuietWish(destination=to, hours=None, person="config", now=configured.now)
        for to, row in held.items()
        if row["origin"] == "config" and to not in configured.hours
    ]
    if wishes:
        set_quiet(conn, wishes)
    return len(wishes)


def quiet_of(conn: Connection, destination: str) -> str | None:
    """A destination's quiet hours, as they are written."""
    return conn.scalar(select(quiet_hours.c.hours).where(quiet_hours.c.destination == destination))
