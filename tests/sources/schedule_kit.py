"""What the schedule sensor's tests share: a clock that a test moves and sets, and a source that runs on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio

from notifiers.clock import Clock
from sensord.sources import Emit, Source
from sensord.sources.schedule import ScheduleConfig, open_schedule
from tests.sources.directory_kit import LONG, Recorder


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@dataclass
class Time:
    """One sleeper's time: passes when told to, from wake-up to wake-up; the wall clock can be set apart from it."""

    wall: datetime
    elapsed: float = 0.0
    sleeps: list[float] = field(default_factory=list)
    _due: float = 0.0
    _asleep: anyio.Event = field(default_factory=anyio.Event)
    _wake: anyio.Event = field(default_factory=anyio.Event)

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: self.wall, monotonic=lambda: self.elapsed, sleep=self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self._due = self.elapsed + seconds
        self._wake = anyio.Event()
        self._asleep.set()
        await self._wake.wait()

    async def asleep(self) -> None:
        """Return when the sleeper has done all that it has to do now."""
        with anyio.fail_after(LONG):
            await self._asleep.wait()

    async def pass_(self, seconds: float = 0.0, **longer: float) -> None:
        """Let so much time pass; the sleeper wakes up whenever it wanted to."""
        target = self.elapsed + seconds + timedelta(**longer).total_seconds()
        await self.asleep()
        while self._due <= target:
            self._go(self._due)
            self._asleep = anyio.Event()
            self._wake.set()
            await self.asleep()
        self._go(target)

    def down(self, **long: float) -> None:
        """Let time pass while nothing runs, or while the machine sleeps: nobody's monotonic clock moves."""
        self.wall += timedelta(**long)
        self._asleep = self._asleep if self._asleep.is_set() else anyio.Event()

    def _go(self, elapsed: float) -> None:
        self.wall += timedelta(seconds=elapsed - self.elapsed)
        self.elapsed = elapsed


@asynccontextmanager
async def sensing(time: Time, emit: Emit, cursor: str | None = None, **keys: Any) -> AsyncIterator[Source]:
    """Run a source of these keys until the block ends; the block begins when it waits for what is next."""
    time._asleep = anyio.Event()
    config = ScheduleConfig.model_validate(keys)
    async with open_schedule("nightly", config, clock=time.clock) as source, anyio.create_task_group() as tasks:
        tasks.start_soon(source.run, emit, cursor)
        await time.asleep()
        yield source
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def recording(time: Time, emit: Recorder, **keys: Any) -> AsyncIterator[Source]:
    """The same, on a recorder and from its cursor."""
    async with sensing(time, emit, emit.cursor, **keys) as source:
        yield source


def keys_of(emit: Recorder) -> list[str]:
    return [one.key for one in emit.sensed]
