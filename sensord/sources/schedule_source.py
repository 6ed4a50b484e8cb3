"""One schedule sensor: looks at the clock, and emits what is due."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from notifiers.clock import Clock
from rules.event import rfc3339
from rules.partitions import StaticPartitions
from rules.request import PARTITION_END, PARTITION_START, Sensed
from rules.schedules import GRACE, caught_up, jitter
from sensord.sources import Emit
from sensord.sources.schedule import ScheduleConfig, second

log = logging.getLogger(__name__)

# The wall clock may be set, and a machine may sleep, without anybody being told: it is read at least so often.
_SLEEP = (0.001, 30.0)
_BATCH = 100
_SET_BACK = timedelta(hours=1)
_BEFORE = timedelta(microseconds=1)
# A machine that does not keep the time while it is off begins in 1970 or when it was built, until its clock is set.
_NOT_SET = datetime(2024, 1, 1, tzinfo=UTC)


class ScheduleSource:
    """See `sensord.sources.Source` for what `run`, `look` and `why` promise.

    The cursor is the moment up to which every instant was emitted or left out, and behind it the expression and the
    zone that it speaks of: of others it says nothing.
    """

    def __init__(self, name: str, config: ScheduleConfig, clock: Clock) -> None:
        self._name = name
        self._config = config
        self._clock = clock
        self._cron = config.schedule()
        self._partitions = config.slices()
        self._jitter = timedelta(seconds=config.jitter)
        self._upto: datetime | None = None
        self._due: datetime | None = None

    async def run(self, emit: Emit, cursor: str | None) -> None:
        """Emit each instant once, when it is due, until cancelled."""
        upto = await self._begin(emit, cursor)
        while True:
            now = self._clock.now()
            if self._due is not None and self._due <= now:
                upto = await self._emit_due(emit, upto, now)
            await self._tell(emit, upto, now)
            emit.looked()
            await self._clock.sleep(self._pause())

    async def _begin(self, emit: Emit, cursor: str | None) -> datetime:
        while (now := self._clock.now()) < _NOT_SET:
            await emit.failed(f"the clock says {rfc3339(now)}: it is not set yet; nothing is due until it is")
            await self._clock.sleep(_SLEEP[1])
        upto = self._read(cursor)
        if upto is None:
            if cursor is not None:
                log.warning("schedule.begins_anew", extra={"sensor": self._name, "cursor": cursor})
            upto = now
            await emit([], cursor=self._written(upto))
        self._covered(emit, upto)
        return upto

    def _covered(self, emit: Emit, upto: datetime) -> None:
        """Everything up to this moment is done with; what is due next."""
        self._upto = upto
        instant = self._cron.next(upto)
        self._due = None if instant is None else self._due_at(instant)
        emit.behind(self._due)

    def _due_at(self, instant: datetime) -> datetime:
        return instant + jitter(self._name, instant, self._jitter)

    def _pause(self) -> float:
        """Until something is due, or the clock is to be read again."""
        shortest, longest = _SLEEP
        if self._due is None:
            return longest
        return min(max((self._due - self._clock.now()).total_seconds(), shortest), longest)

    async def _emit_due(self, emit: Emit, after: datetime, now: datetime) -> datetime:
        """Emit what is due by now and not covered; what is covered then."""
        upto = self._due_upto(after, now)
        on_time = now - GRACE - self._jitter
        if (first := self._cron.next(after)) is not None and first < on_time:
            about = {"sensor": self._name, "since": rfc3339(first), "catch_up": self._config.catch_up}
            log.warning("schedule.missed", extra=about)
        batch: list[Sensed] = []
        for instant in caught_up(self._cron, self._config.catch_up, after=after, upto=upto, on_time=on_time):
            batch += self._sensed(instant, now)
            if len(batch) >= _BATCH:
                await emit(batch, cursor=self._written(instant))
                batch = []
        await emit(batch, cursor=self._written(upto))
        self._covered(emit, upto)
        return upto

    def _due_upto(self, after: datetime, now: datetime) -> datetime:
        """Instants stay in order: one that its jitter makes later holds up those behind it."""
        sure = max(after, now - self._jitter)
        waiting = (instant for instant in self._cron.between(sure, now) if self._due_at(instant) > now)
        first = next(waiting, None)
        return now if first is None else first - _BEFORE

    async def _tell(self, emit: Emit, upto: datetime, now: datetime) -> None:
        """Say that the clock was set back, where it comes to what was run already, and somebody may wait for that."""
        repeated = self._cron.next(now) if upto - now > _SET_BACK else None
        if repeated is not None and repeated <= upto:
            await emit.failed(
                f"the clock was set back: it says {rfc3339(now)}, and all that is due until {rfc3339(upto)} was run "
                "already, so nothing is until then; if it was wrong before, give the sensor another name: it then "
                "begins now"
            )
        else:
            await emit.recovered()

    def _sensed(self, instant: datetime, now: datetime) -> list[Sensed]:
        """One thing for an instant; with static partitions, one for each of them; none where no partition has ended."""
        at, schedule = second(instant), self._config.context(instant)
        return [
            Sensed(
                subject=f"{self._name} {key}",
                key=key,
                at=now,
                context={"schedule": schedule} | ({} if partition is None else {"partition": partition}),
                partition_key=None if partition is None else partition["key"],
                tags=_tags(partition),
            )
            for key, partition in self._slices(instant, at)
        ]

    def _slices(self, instant: datetime, at: str) -> Iterator[tuple[str, dict[str, str] | None]]:
        if self._partitions is None:
            yield at, None
        elif isinstance(self._partitions, StaticPartitions):
            yield from ((f"{at} {key}", {"key": key}) for key in self._partitions.keys)
        elif (ended := self._partitions.ended(instant)) is not None:
            yield at, {"key": ended.key, "start": second(ended.start), "end": second(ended.end)}

    async def look(self, known: set[int]) -> Sequence[Sensed]:
        """The next instant, which is not due yet: the dry run."""
        del known
        now = self._clock.now()
        instant = self._cron.next(self._upto or now)
        return [] if instant is None else self._sensed(instant, now)

    def why(self, subject: str) -> str | None:
        """Why this instant (what was emitted as such, or any RFC 3339 text) would not be emitted."""
        upcoming = self._cron.next(self._clock.now())
        coming = "it is never due again" if upcoming is None else f"the next is {second(upcoming)}"
        try:
            instant = datetime.fromisoformat((subject.removeprefix(f"{self._name} ").split() or [""])[0])
            instant = (instant if instant.tzinfo else instant.replace(tzinfo=self._cron.zone)).astimezone(UTC)
            is_one = self._cron.next(instant - _BEFORE) == instant
        except (ValueError, OverflowError):
            return f"it is a schedule, which looks at the clock alone; {coming}"
        if not is_one:
            return f"{self._config.cron!r} in {self._config.timezone} is not due then; {coming}"
        if not self._sensed(instant, instant):
            return "no partition has ended by then"
        if self._upto is not None and instant <= self._upto:
            return f"it passed before the sensor began, or was missed (catch_up: {self._config.catch_up})"
        return None

    def _written(self, upto: datetime) -> str:
        return f"{rfc3339(upto)} {self._config.timezone} {self._config.cron}"

    def _read(self, cursor: str | None) -> datetime | None:
        """The moment that a cursor holds; None for one that speaks of another schedule."""
        moment, _, covers = (cursor or "").partition(" ")
        if covers != f"{self._config.timezone} {self._config.cron}":
            return None
        return datetime.fromisoformat(moment)


def _tags(partition: Mapping[str, str] | None) -> dict[str, str]:
    if partition is None or "start" not in partition:
        return {}
    return {PARTITION_START: partition["start"], PARTITION_END: partition["end"]}
