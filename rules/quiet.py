"""Quiet hours: a window of the wall clock in a time zone, e.g. `22:00-08:00 Europe/Lisbon`.

It is quiet whenever clocks in the zone show a time from the begin up to, but not at, the end; a window may go over
midnight. So what a change of the clocks repeats is quiet again, and what it leaves out is not there to be quiet.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final

from msgspec import Struct

from rules.phrases import phrase

_WINDOW: Final = re.compile(r"(\d{1,2}):(\d{2})\s*[-–—]\s*(\d{1,2}):(\d{2})(?:\s+(\S.*))?")  # noqa: RUF001 - phones write these
_SAID: Final = phrase("write when quiet begins, when it ends and where: 22:00-08:00 Europe/Lisbon")
_DAYS: Final = 4  # Within so many days every window ends, whatever the clocks do meanwhile.
_DAY: Final = timedelta(days=1)


class Quiet(Struct, frozen=True):
    """A window that comes every day. Made by `parse_quiet`; `text` is how it is written."""

    start: time
    end: time
    zone: tzinfo
    text: str

    def covers(self, moment: datetime) -> bool:
        """Whether it is quiet at an aware moment."""
        local = moment.astimezone(self.zone).time()
        if self.start < self.end:
            return self.start <= local < self.end
        return local >= self.start or local < self.end

    def until(self, moment: datetime) -> datetime | None:
        """The first moment from this one on at which it is not quiet, in UTC; None where it is not quiet now."""
        if not self.covers(moment):
            return None
        moment = moment.astimezone(UTC)
        since = moment
        for end in sorted({end for end in self._ends(moment) if end > moment}):
            for loud in (*_jumps(since, end, self.zone), end):
                if not self.covers(loud):
                    return loud
            since = end
        raise AssertionError(f"{self.text} does not end within {_DAYS} days of {moment}")

    def _ends(self, moment: datetime) -> Iterator[datetime]:
        day = moment.astimezone(self.zone).date()
        for later in range(_DAYS):
            for fold in (0, 1):
                local = datetime.combine(day + later * _DAY, self.end, tzinfo=self.zone).replace(fold=fold)
                yield local.astimezone(UTC)


def _jumps(since: datetime, upto: datetime, zone: tzinfo) -> Iterator[datetime]:
    from rules.schedules import change_of_clocks  # Slow to load, and few have quiet hours.

    while (jump := change_of_clocks(since, upto, zone)) is not None:
        yield jump
        since = jump


def parse_quiet(text: str, zone_of: Callable[[str], tzinfo]) -> Quiet:
    """Read `22:00-08:00 Europe/Lisbon`; without a zone it is UTC. ValueError says what to write.

    `zone_of` finds a zone by its name, and raises ValueError itself where there is none.
    """
    match = _WINDOW.fullmatch(text.strip())
    if match is None:
        raise ValueError(phrase("{text} is no quiet hours; {said}", text=repr(text[:80]), said=_SAID))
    try:
        start, end = time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4]))
    except ValueError:
        raise ValueError(
            phrase("{text} has a time that no clock shows; {said}", text=repr(text[:80]), said=_SAID)
        ) from None
    if start == end:
        raise ValueError(
            phrase("{text} begins when it ends; to hear nothing for a while, mute it: /mute 1d", text=repr(text[:80]))
        )
    name = match[5] or "UTC"
    return Quiet(start, end, zone_of(name), f"{start:%H:%M}-{end:%H:%M} {name}")
