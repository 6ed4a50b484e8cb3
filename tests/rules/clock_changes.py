"""Every zone whose clocks change from 2024 to 2030, one for each set of changes, found by asking the zones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
END = datetime(2031, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Change:
    """The second at which clocks begin to show another time: by how much they jump."""

    at: datetime
    by: timedelta


@dataclass(frozen=True)
class Changing:
    """A zone, the changes of its clocks, and how many zones have the same."""

    zone: ZoneInfo
    changes: tuple[Change, ...]
    alike: int


def offset(at: datetime, zone: ZoneInfo) -> timedelta:
    found = at.astimezone(zone).utcoffset()
    assert found is not None
    return found


def changes_of(zone: ZoneInfo) -> tuple[Change, ...]:
    found: list[Change] = []
    at, now = BEGIN, offset(BEGIN, zone)
    while at < END:
        later = at + DAY
        if (new := offset(later, zone)) != now:
            low, high = at, later
            while high - low > SECOND:
                middle = low + (high - low) // SECOND // 2 * SECOND
                low, high = (middle, high) if offset(middle, zone) == now else (low, middle)
            found.append(Change(high, new - now))
            now = new
        at = later
    return tuple(found)


@cache
def changing_zones(*, every: bool = False) -> tuple[Changing, ...]:
    """One zone for each set of changes; `every`: all of them."""
    alike: dict[tuple[timedelta, tuple[Change, ...]], list[ZoneInfo]] = {}
    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        if changes := changes_of(zone):
            alike.setdefault((offset(BEGIN, zone), changes), []).append(zone)
    return tuple(
        Changing(zone, changes, len(zones))
        for (_, changes), zones in alike.items()
        for zone in (zones if every else zones[:1])
    )
