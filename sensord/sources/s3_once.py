"""What listings and notices share: each version goes out once, and trouble is said once for the whole sensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import anyio
from anyio.lowlevel import checkpoint

from notifiers.clock import Clock
from sensord.sources import Emit
from sensord.sources.s3 import S3Config
from sensord.sources.s3_memory import Known
from sensord.sources.s3_objects import Version, marks_in, sensed

_BATCH = 200


class Once:
    """Emits versions that are not known yet, one batch at a time. `known` is None where marks are not kept."""

    def __init__(self, config: S3Config, emit: Emit, known: Known | None, clock: Clock) -> None:
        self.known = known
        self._config = config
        self._emit = emit
        self._clock = clock
        self._marks = marks_in(config.bucket)
        self._emitting = anyio.Lock()
        self._troubles: dict[str, str] = {}

    async def send(self, versions: Iterable[Version], covered: Callable[[Version], str] | None = None) -> None:
        """Return when each of these is committed, now or before. `covered` makes the cursor behind a version."""
        left = iter(versions)
        while batch := list(islice(left, _BATCH)):
            # What is known is committed: whoever adds to it keeps the lock until then.
            async with self._emitting:
                fresh = self._fresh(batch)
                if fresh:
                    now = self._clock.now()
                    things = [sensed(self._config, version, mark, now) for version, mark in fresh]
                    await self._emit(things, None if covered is None else covered(batch[-1]))
            await checkpoint()

    async def move(self, cursor: str) -> None:
        """Commit a cursor alone."""
        async with self._emitting:
            await self._emit([], cursor)

    def _fresh(self, batch: Sequence[Version]) -> list[tuple[Version, int | None]]:
        if self.known is None:
            return [(version, None) for version in batch]
        fresh: list[tuple[Version, int | None]] = []
        marks = self._marks([one.key for one in batch], [one.etag for one in batch], [one.size for one in batch])
        for version, mark in zip(batch, marks, strict=True):
            if not self.known.has(mark):
                self.known.add(mark)
                fresh.append((version, mark))
        return fresh

    async def forget(self, marks: Iterable[int]) -> None:
        """Let go of marks of what no longer exists."""
        await self._emit.forget(marks)

    def looked(self) -> None:
        """An evaluation ended."""
        self._emit.looked()

    async def bad(self, who: str, reason: str) -> None:
        """`who` cannot look."""
        if self._troubles.get(who) != reason:
            self._troubles[who] = reason
            await self._emit.failed(reason)

    async def good(self, who: str) -> None:
        """`who` can look again; the sensor recovers when everybody can."""
        if self._troubles.pop(who, None) is not None:
            await self._tell()

    async def all_good(self, whose: str) -> None:
        """Everybody whose name begins so can look again."""
        gone = [who for who in self._troubles if who.startswith(whose)]
        for who in gone:
            del self._troubles[who]
        if gone:
            await self._tell()

    async def _tell(self) -> None:
        if self._troubles:
            await self._emit.failed(next(iter(self._troubles.values())))
        else:
            await self._emit.recovered()
