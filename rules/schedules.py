"""When a schedule is due: a cron expression in a time zone → instants.

The five fields are Debian's cron, as cronsim reads them, with `L`, `LW`, `5L` and `MON#1` besides; or one word of
`@hourly @daily @weekly @monthly @yearly`. Where local time jumps, what Debian's cron(8) says holds, whatever the size
of the jump:

- A schedule for certain times (neither its minutes nor its hours begin with `*`, such as `30 2 * * *`) comes once for
  each of them. A time that a jump forward leaves out comes at the end of the jump: 02:30 at 03:00, and both of
  `0,30 2 * * *` as one. A time that a jump back repeats comes the first time alone.
- Any other schedule (`*/15 * * * *`, `0 * * * *`) goes by what the clock shows: what is left out does not come, what is
  repeated comes twice.

Instants are whole seconds in UTC. They depend on the expression and the zone alone, never on where counting begins.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from hashlib import blake2b
from itertools import takewhile
from typing import Final, Literal, get_args

from cronsim import CronSim, CronSimError

CatchUp = Literal["all", "last", "none"]
CATCH_UPS: Final[tuple[CatchUp, ...]] = get_args(CatchUp)

GRACE: Final = timedelta(minutes=1)
"""An instant that is no later than this is on time, whatever the catch-up policy."""

_WORDS: Final = {
    "hourly": "0 * * * *",
    "daily": "0 0 * * *",
    "midnight": "0 0 * * *",
    "weekly": "0 0 * * 0",
    "monthly": "0 0 1 * *",
    "yearly": "0 0 1 1 *",
    "annually": "0 0 1 1 *",
}
_FIELDS: Final = ("minute", "hour", "day of month", "month", "day of week")
_RANGES: Final = (
    "minutes are 0-59, hours 0-23, days 1-31 or L, months 1-12 or JAN-DEC, days of the week 0-7 or SUN-SAT (0 and 7 "
    "are Sunday); ranges go upwards"
)
_MAX_LENGTH: Final = 1000
_ANY_YEAR: Final = datetime(2024, 1, 1)  # noqa: DTZ001 (a wall clock's time, in no zone)
_DAY: Final = timedelta(days=1)
_SECOND: Final = timedelta(seconds=1)
_MINUTE: Final = timedelta(minutes=1)


class CronError(ValueError):
    """What is no cron expression: says what is wrong with it and what to write."""


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression in a zone. Made by `parse_cron`."""

    expression: str
    zone: tzinfo
    _fields: str = field(repr=False)
    _certain: bool = field(repr=False)

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Every instant after that moment, in order; ends where none comes for 50 years."""
        return self._at_certain_times(moment) if self._certain else self._by_the_clock(moment)

    def between(self, after: datetime, upto: datetime) -> Iterator[datetime]:
        """The instants in (after, upto], in order."""
        return takewhile(lambda instant: instant <= upto, self.after(after))

    def next(self, moment: datetime) -> datetime | None:
        """The first instant after that moment."""
        return next(self.after(moment), None)

    def latest(self, after: datetime, upto: datetime) -> datetime | None:
        """The last instant in (after, upto]; found from the end, so that a long time costs little."""
        back = timedelta(hours=1)
        while True:
            since = max(after, upto - back)
            newest = None
            for newest in self.between(since, upto):  # noqa: B007 (the last one is wanted)
                pass
            if newest is not None or since == after:
                return newest
            back *= 4

    def _at_certain_times(self, moment: datetime) -> Iterator[datetime]:
        last = moment
        for local in CronSim(self._fields, moment.astimezone(self.zone).replace(tzinfo=None)):
            instant = first_instant(local, self.zone)
            # Not so for what the clock repeats, and for several times that one jump leaves out.
            if instant > last:
                yield instant
                last = instant

    def _by_the_clock(self, moment: datetime) -> Iterator[datetime]:
        begin = checked = moment.astimezone(UTC)
        while True:
            offset = _offset(checked, self.zone)
            for local in CronSim(self._fields, (begin + offset).replace(tzinfo=None)):
                instant = local.replace(tzinfo=UTC) - offset
                change = change_of_clocks(checked, instant, self.zone)
                if change is not None:
                    # From a second before, so that what is due in the very moment of the change is found too.
                    begin, checked = change - _SECOND, change
                    break
                yield instant
                checked = instant
            else:
                return


def parse_cron(expression: str, zone: tzinfo) -> Cron:
    """Read an expression; CronError says what is wrong with it, also if it can never be due."""
    fields = _fields_of(expression)
    try:
        first = next(CronSim(fields, _ANY_YEAR), None)
    except (CronSimError, ValueError) as error:
        raise CronError(f"{expression!r} is no cron expression: {str(error).lower()}; {_RANGES}") from None
    if first is None:
        raise CronError(f"{expression!r} is never due: no such day comes within 50 years")
    minute, hour = fields.split()[:2]
    return Cron(expression, zone, fields, not minute.startswith("*") and not hour.startswith("*"))


def _fields_of(expression: str) -> str:
    text = expression.strip()
    word = text.removeprefix("@").lower()
    if word in _WORDS:
        return _WORDS[word]
    if text.startswith("@"):
        raise CronError(f"there is no {text!r}; there are {', '.join(f'@{name}' for name in _WORDS)}")
    found = text.split()
    if len(found) == len(_FIELDS) + 1:
        raise CronError(f"{expression!r} has six fields; leave the one for seconds out: {' '.join(found[1:])!r}")
    if len(found) != len(_FIELDS) or len(text) > _MAX_LENGTH:
        shown = repr(text if len(text) <= 60 else f"{text[:60]}…")  # noqa: PLR2004 (what fits on a line)
        raise CronError(
            f"{shown} is no cron expression; write five fields ({', '.join(_FIELDS)}), e.g. '30 6 * * 1-5', or daily"
        )
    return text


def first_instant(local: datetime, zone: tzinfo) -> datetime:
    """When clocks in the zone first show this time (given without a zone); if they leave it out, when they jump."""
    while True:
        aware = local.replace(tzinfo=zone, fold=0)
        instant = aware.astimezone(UTC)
        if instant.astimezone(zone) == aware:
            return instant
        local += _MINUTE


def _offset(instant: datetime, zone: tzinfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


def change_of_clocks(since: datetime, upto: datetime, zone: tzinfo) -> datetime | None:
    """The first second in (since, upto] at which clocks jump. No zone's clocks jump twice within a day."""
    offset = _offset(since, zone)
    while since < upto:
        later = min(since + _DAY, upto)
        if _offset(later, zone) != offset:
            low, high = math.floor(since.timestamp()), math.ceil(later.timestamp())
            while high - low > 1:
                middle = (low + high) // 2
                if _offset(datetime.fromtimestamp(middle, UTC), zone) == offset:
                    low = middle
                else:
                    high = middle
            return datetime.fromtimestamp(high, UTC)
        since = later
    return None


def jitter(sensor: str, instant: datetime, longest: timedelta) -> timedelta:
    """How much later than the instant this sensor starts: below `longest`, the same in every process and life."""
    about = f"{sensor}\n{instant.astimezone(UTC).isoformat()}".encode()
    return longest * (int.from_bytes(blake2b(about, digest_size=6).digest()) / 2**48)


def caught_up(cron: Cron, policy: CatchUp, *, after: datetime, upto: datetime, on_time: datetime) -> Iterator[datetime]:
    """The instants in (after, upto] that run, in order; those before `on_time` were missed.

    `all`: each of them. `last`: those on time, or, where none is, the last one missed. `none`: those on time.
    """
    if policy == "all":
        return cron.between(after, upto)
    recent = max(after, on_time - timedelta(microseconds=1))
    if policy == "last":
        latest = cron.latest(after, upto)
        if latest is not None and latest <= recent:
            return iter((latest,))
    return cron.between(recent, upto)
