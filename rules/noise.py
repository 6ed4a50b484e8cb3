"""What is told at once, later, or counted: mutes, repeated failures, bursts, digests at set times. Pure.

Whatever is asked for here, what is critical is told at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import tzinfo
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from rules.event import Event, Severity
from rules.topics import matches

if TYPE_CHECKING:
    from rules.schedules import Cron

FAILURES: Final = {"run.failed": "run.succeeded", "run.lost": "run.succeeded", "quality.failed": "quality.passed"}
"""The kinds of events that are failures, and what ends a row of them."""

BUDGET: Final = 5
"""A chat that is told so much within MINUTE_S, counting what waits for it, is told the rest in digests."""
SINGLES: Final = 3
"""In a burst, so many messages within MINUTE_S go out by themselves: the first of each topic, the most severe first."""
MINUTE_S: Final = 60.0
FIRST_S: Final = 5.0
"""A burst is gathered for so long before its first digest; after that there is one each MINUTE_S."""

_DIGEST = re.compile(r"(hourly|daily|weekly)(?:\s+([A-Za-z]{3}))?(?:\s+(\d{1,2}):(\d{2}))?(?:\s+(\S.*))?")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_SAID: Final = "write hourly, daily 09:00 Europe/Lisbon, or weekly MON 09:00 Europe/Lisbon"


def passes(severity: Severity) -> bool:
    """Whether nothing holds such an event back."""
    return severity >= Severity.critical


class Mute(Struct, frozen=True, kw_only=True):
    """Somebody wants silence until then (microseconds): about a topic pattern, or about one job until it succeeds."""

    id: str
    pattern: str
    until: int
    job: str | None = None
    who: str = ""
    why: str = ""

    def takes(self, event: Event) -> bool:
        """Whether the event is to be held back, as far as its topic says; time is not looked at.

        The success that a job's mute waits for is told at once.
        """
        if passes(event.severity):
            return False
        if self.job is not None:
            return event.job == self.job and event.topic != f"runs.{self.job}.succeeded"
        return any(matches(self.pattern, topic) for topic in event.topics)

    @property
    def about(self) -> str:
        """What it silences, as a person reads it."""
        if self.job is not None:
            return f"job {self.job}"
        return "everything" if self.pattern == ">" else self.pattern


def in_a_row(newest_first: Iterable[bool], most: int) -> int:
    """How many failures (True) there are before the newest success, counted up to `most`."""
    count = 0
    for failed in newest_first:
        if not failed or count == most:
            break
        count += 1
    return count


def over_budget(waiting: int, sent: int) -> bool:
    """Whether a chat for which so many messages wait, and to which so many went in the last minute, is told too much.

    One that waits alone goes next whatever was before it: who is told something every few seconds, is.
    """
    return waiting > 1 and waiting + sent > BUDGET


class Queued(Struct, frozen=True):
    """One message of a burst, as little of it as choosing takes."""

    id: str
    severity: int
    seq: int
    topic: str


def singles(queued: Sequence[Queued], most: int) -> set[str]:
    """Which go out by themselves: the oldest of each topic, the most severe first, at most `most`."""
    chosen: dict[str, str] = {}
    for one in sorted(queued, key=lambda one: (-one.severity, one.seq)):
        if len(chosen) < most:
            chosen.setdefault(one.topic, one.id)
    return set(chosen.values())


def parse_digest(text: str, zone_of: Callable[[str], tzinfo]) -> Cron:
    """Read when digests are told: `hourly`, `daily 09:00 Europe/Lisbon`, `weekly MON 09:00 Europe/Lisbon`.

    Without a time it is 09:00, without a day Monday, without a zone UTC. ValueError says what to write. Where clocks
    change, `rules.schedules` says what holds: each day has one digest.
    """
    from rules.schedules import parse_cron  # Slow to load, and few have such digests.

    match = _DIGEST.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text[:80]!r} is no time of a digest; {_SAID}")
    every, day, hour, minute, zone = match.groups()
    day = day.lower() if day else None
    if (day is not None and every != "weekly") or (hour is not None and every == "hourly"):
        raise ValueError(f"{text[:80]!r} says more than {every} takes; {_SAID}")
    if day is not None and day not in _DAYS:
        raise ValueError(f"{day!r} is no day of the week; {_SAID}")
    if hour is not None and (int(hour) > 23 or int(minute) > 59):  # noqa: PLR2004 - a clock's
        raise ValueError(f"{text[:80]!r} has a time that no clock shows; {_SAID}")
    at = f"{int(minute or 0)} {int(hour or 9)}"
    fields = {"hourly": "0 * * * *", "daily": f"{at} * * *", "weekly": f"{at} * * {_DAYS.index(day or 'mon')}"}
    return parse_cron(fields[every], zone_of(zone or "UTC"))
