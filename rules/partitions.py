"""Partitions: the slices that a job's data comes in, by time or by a list of names. A key names one slice.

Keys are written as Dagster writes them: a daily one by its day (`2026-11-21`), a weekly one by its first day, a monthly
one by its first day, an hourly one by its first minute (`2026-11-21-05:00`). Of an hour that the clock shows twice the
second has the offset from UTC behind it (`2026-11-01-01:00-0500`).

The windows of one definition follow each other without a gap and without overlap, whatever the clocks of its zone do: a
day has 23, 24 or 25 hours, and begins when its first minute does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from difflib import get_close_matches
from typing import Final, Literal, get_args

from msgspec import Struct

from rules.schedules import Cron, first_instant, parse_cron

Every = Literal["hourly", "daily", "weekly", "monthly"]
EVERY: Final[tuple[Every, ...]] = get_args(Every)
Weekday = Literal["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]
WEEKDAYS: Final[tuple[Weekday, ...]] = get_args(Weekday)

_HOUR_KEY: Final = "%Y-%m-%d-%H:%M"
_HOUR_LENGTH: Final = len("2026-11-21-05:00")
_YEARS: Final = range(1900, 2200)
_LONGEST: Final = timedelta(days=40)
_BEFORE: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1)
_HOUR: Final = timedelta(hours=1)
_FOREVER: Final = datetime(1900, 1, 1, tzinfo=UTC)
_MAX_KEY: Final = 200
_SHOWN: Final = 20


class PartitionError(ValueError):
    """A key that names no partition, or a definition that makes none: says what to write."""


class Partition(Struct, frozen=True):
    """One slice of time: [start, end), in UTC."""

    key: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class TimePartitions:
    """Slices of equal kind, one after the other. Made by `time_partitions`.

    `first` is when the first may begin; without one there is no first.
    """

    every: Every
    zone: tzinfo
    first: datetime | None
    week_start: Weekday
    _starts: Cron = field(repr=False)

    def of(self, key: str) -> Partition:
        """The partition of that key; PartitionError if there is none."""
        found = self.at(self._moment(key))
        if found is None:
            raise PartitionError(f"{key!r} is before the first {self.every} partition, {self._first_key()!r}")
        if found.key != key:
            raise PartitionError(f"{key!r} begins no {self.every} partition; it lies in {found.key!r}")
        return found

    def at(self, moment: datetime) -> Partition | None:
        """The partition that holds that moment; None before the first."""
        start = self._starts.latest(_floor(moment), moment)
        return None if start is None else self._from(start)

    def ended(self, moment: datetime) -> Partition | None:
        """The partition that ended last, at that moment or before; None if none did."""
        end = self._starts.latest(_floor(moment), moment)
        return None if end is None else self._until(end)

    def next(self, partition: Partition) -> Partition:
        """The one that begins where this one ends."""
        return Partition(self._key(partition.end), partition.end, self._end(partition.end))

    def previous(self, partition: Partition) -> Partition | None:
        """The one that ends where this one begins; None before the first."""
        return self._until(partition.start)

    def between(self, since: datetime, until: datetime) -> Iterator[Partition]:
        """Those that begin at `since` or later and have ended by `until`, the oldest first."""
        if self.first is not None:
            since = max(since, self.first)
        start: datetime | None = None
        for end in self._beginnings(since - _BEFORE, until):
            if start is not None:
                yield Partition(self._key(start), start, end)
            start = end

    def _beginnings(self, after: datetime, upto: datetime) -> Iterator[datetime]:
        """What the cron expression has in (after, upto], found by counting: ten times as quick, and many are asked for.

        Of days, weeks and months by their dates. Of hours a day at a time; where clocks jump within one, by the
        expression itself: no zone's clocks jump twice within a day.
        """
        after = after.astimezone(UTC)
        if self.every != "hourly":
            for day in self._days(after.astimezone(self.zone).date()):
                begin = first_instant(datetime(day.year, day.month, day.day), self.zone)  # noqa: DTZ001 (no zone yet)
                if begin > upto:
                    return
                if begin > after:
                    yield begin
                    after = begin
            return
        while after < upto:
            later = min(after + _DAY, upto)
            offset = after.astimezone(self.zone).utcoffset() or timedelta()
            if offset != (later.astimezone(self.zone).utcoffset() or timedelta()):
                yield from self._starts.between(after, later)
            else:
                begin = (after + offset).replace(minute=0, second=0, microsecond=0) - offset + _HOUR
                while begin <= later:
                    yield begin
                    begin += _HOUR
            after = later

    def _days(self, since: date) -> Iterator[date]:
        """The first days of partitions, from the one that holds that day on."""
        if self.every == "monthly":
            day = since.replace(day=1)
            while True:
                yield day
                day = (day + _LONGEST).replace(day=1)
        step = timedelta(days=1 if self.every == "daily" else 7)
        back = 0 if self.every == "daily" else (since.isoweekday() - WEEKDAYS.index(self.week_start)) % 7
        day = since - timedelta(days=back)
        while True:
            yield day
            day += step

    def _from(self, start: datetime) -> Partition | None:
        if self.first is not None and start < self.first:
            return None
        return Partition(self._key(start), start, self._end(start))

    def _until(self, end: datetime) -> Partition | None:
        start = self._starts.latest(_floor(end), end - _BEFORE)
        if start is None or (self.first is not None and start < self.first):
            return None
        return Partition(self._key(start), start, end)

    def _end(self, start: datetime) -> datetime:
        end = self._starts.next(start)
        if end is None:
            raise PartitionError(f"the {self.every} partition that begins at {start.isoformat()} has no end")
        return end

    def _key(self, start: datetime) -> str:
        local = start.astimezone(self.zone)
        if self.every != "hourly":
            return local.date().isoformat()
        return local.strftime(f"{_HOUR_KEY}%z") if local.fold else local.isoformat("-", "minutes")[:_HOUR_LENGTH]

    def _first_key(self) -> str:
        """The key of the first partition, where there is a first."""
        start = None if self.first is None else self._starts.next(self.first - _BEFORE)
        return "" if start is None else self._key(start)

    def _moment(self, key: str) -> datetime:
        """The moment that a key names, whether or not a partition begins then."""
        try:
            if self.every != "hourly":
                day = date.fromisoformat(key)
                local = datetime(day.year, day.month, day.day)  # noqa: DTZ001 (a wall clock's time)
            elif len(key) > _HOUR_LENGTH:
                return _in_range(datetime.strptime(key, f"{_HOUR_KEY}%z")).astimezone(UTC)
            else:
                local = datetime.strptime(key, _HOUR_KEY)  # noqa: DTZ007 (a wall clock's time)
            return first_instant(_in_range(local), self.zone)
        except ValueError:
            raise PartitionError(f"{key!r} is no {self.every} partition; write for example {self._example()}") from None

    def _example(self) -> str:
        return {
            "hourly": "2026-11-21-05:00",
            "daily": "2026-11-21",
            "weekly": f"2026-11-21 (the week's first day, a {self.week_start.capitalize()})",
            "monthly": "2026-11-01 (the month's first day)",
        }[self.every]


def time_partitions(
    every: Every, zone: tzinfo, *, start: date | None = None, week_start: Weekday = "sunday"
) -> TimePartitions:
    """Slices of time. `start` is the day, in the zone, before which none begins; weeks begin on Sunday as Dagster's do.

    PartitionError for a start that is no day of our time.
    """
    starts = {
        "hourly": "0 * * * *",
        "daily": "0 0 * * *",
        "weekly": f"0 0 * * {WEEKDAYS.index(week_start)}",
        "monthly": "0 0 1 * *",
    }[every]
    first = None
    if start is not None:
        if start.year not in _YEARS:
            raise PartitionError(f"a start in the year {start.year}; write one from {_YEARS[0]} to {_YEARS[-1]}")
        first = first_instant(datetime(start.year, start.month, start.day), zone)  # noqa: DTZ001 (a wall clock's time)
    return TimePartitions(every, zone, first, week_start, parse_cron(starts, zone))


class StaticPartitions(Struct, frozen=True):
    """Slices by name, in the order in which they are listed. Made by `static_partitions`."""

    keys: tuple[str, ...]

    def of(self, key: str) -> str:
        """That key; PartitionError if it is not listed."""
        if key not in self.keys:
            near = get_close_matches(key[:_MAX_KEY], self.keys, n=1)
            more = ", …" if len(self.keys) > _SHOWN else ""
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self.keys[:_SHOWN])}{more}"
            raise PartitionError(f"{key!r} is no partition; {hint}")
        return key


def static_partitions(keys: Sequence[str]) -> StaticPartitions:
    """Slices of these names; PartitionError for none at all, a name twice, or one that cannot be shown on a line."""
    if not keys:
        raise PartitionError("name at least one partition")
    seen: set[str] = set()
    for key in keys:
        if not key.isprintable() or not key.strip() or len(key) > _MAX_KEY:
            raise PartitionError(f"partition {key[:60]!r}: write 1 to {_MAX_KEY} characters that can be printed")
        if key in seen:
            raise PartitionError(f"partition {key!r} is listed twice; leave one out")
        seen.add(key)
    return StaticPartitions(tuple(keys))


Partitions = TimePartitions | StaticPartitions


def _floor(moment: datetime) -> datetime:
    """Far enough back for the start of any partition that holds the moment."""
    return max(moment - _LONGEST, _FOREVER) if moment > _FOREVER else moment


def _in_range(moment: datetime) -> datetime:
    if moment.year not in _YEARS:
        raise ValueError(f"year {moment.year}")
    return moment
