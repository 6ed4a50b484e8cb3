"""What listings and notices share: each version goes out once, and trouble is said once for the whole sensor."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import islice

import anyio
from anyio.lowlevel import checkpoint

from notifiers.clock import Clock
from sensord.sources import Emit
from sensord.sources.s3 import S3Config
from sensord.sources.s3_latest import Latest
from sensord.sources.s3_memory import Known
from sensord.sources.s3_objects import Version, marks_in, sensed, tag_of

_BATCH = 200


class Once:
    """Emits versions that are not known yet, one batch at a time. `known` is None where marks are not kept.

    With `latest` it is made sure, as they are committed, which of them are the newest of their objects.

    `lookers` are those who must have looked before it can be said that the sensor works. `new`: nothing was ever
    emitted, so that what is there is old and not late.
    """

    def __init__(
        self,
        config: S3Config,
        emit: Emit,
        known: Known | None,
        clock: Clock,
        *,
        lookers: Iterable[str],
        new: bool,
        latest: Latest | None = None,
    ) -> None:
        self.known = known
        self.latest = latest
        self._config = config
        self._emit = emit
        self._clock = clock
        self._marks = marks_in(config.bucket)
        self._emitting = anyio.Lock()
        self._troubles: dict[str, str] = {}
        self._unheard = set(lookers)
        self._begins = clock.now() if new else None
        self._waiting: dict[str, datetime] = {}

    async def send(self, versions: Iterable[Version], covered: Callable[[Version], str] | None = None) -> None:
        """Return when each of these is committed, now or before. `covered` makes the cursor behind a version."""
        left = iter(versions)
        while batch := list(islice(left, _BATCH)):
            # What is known is committed: whoever adds to it keeps the lock until then.
            async with self._emitting:
                fresh = await self._sure(self._fresh(batch))
                if fresh:
                    self._know(fresh)
                    now = self._clock.now()
                    things = [sensed(self._config, version, mark, now) for version, mark in fresh]
                    self.waits("found", self._oldest(version.modified for version, _ in fresh))
                    await self._emit(things, None if covered is None else covered(batch[-1]))
                    self.waits("found", None)
                    if self.latest is not None:
                        self.latest.committed(version for version, _ in fresh)
                    await self._forget_old()
            await checkpoint()

    async def move(self, cursor: str) -> None:
        """Commit a cursor alone."""
        async with self._emitting:
            await self._emit([], cursor)

    def _fresh(self, batch: Sequence[Version]) -> list[tuple[Version, int | None]]:
        if self.known is None:
            return [(version, None) for version in batch]
        fresh: dict[int | None, Version] = {}
        marks = self._marks([one.key for one in batch], [tag_of(self._config, one) for one in batch])
        for version, mark in zip(batch, marks, strict=True):
            if not self.known.has(mark):
                fresh.setdefault(mark, version)
        return [(version, mark) for mark, version in fresh.items()]

    async def _sure(self, fresh: list[tuple[Version, int | None]]) -> list[tuple[Version, int | None]]:
        if self.latest is None or not fresh:
            return fresh
        sure = await self.latest.sure(version for version, _ in fresh)
        return [(version, mark) for version, (_, mark) in zip(sure, fresh, strict=True)]

    def _know(self, fresh: Iterable[tuple[Version, int | None]]) -> None:
        for _, mark in fresh:
            if self.known is not None and mark is not None:
                self.known.add(mark)

    async def _forget_old(self) -> None:
        old = [] if self.known is None else self.known.take_old()
        if old:
            await self._emit.forget(old)

    async def forget(self, marks: Iterable[int]) -> None:
        """Let go of marks of what no longer exists."""
        await self._emit.forget(marks)

    def looked(self) -> None:
        """An evaluation ended."""
        self._emit.looked()

    def waits(self, what: str, since: datetime | None) -> None:
        """Since when this waits, or from when on it will be late; None: it does not."""
        if since is None:
            self._waiting.pop(what, None)
        else:
            self._waiting[what] = since
        self._emit.behind(min(self._waiting.values(), default=None))

    def _oldest(self, moments: Iterable[str]) -> datetime | None:
        """The first of these times, as far as they can be read."""
        found = [moment for moment in map(_moment, moments) if moment is not None]
        oldest = min(found, default=None)
        return oldest if oldest is None or self._begins is None else max(oldest, self._begins)

    async def bad(self, who: str, reason: str) -> None:
        """`who` cannot look."""
        if who not in self._troubles:
            self.waits(who, self._clock.now())
        if self._troubles.get(who) != reason:
            self._troubles[who] = reason
            await self._emit.failed(reason)

    async def good(self, who: str) -> None:
        """`who` can look again; the sensor recovers when everybody can."""
        await self._well(who, [who])

    async def all_good(self, who: str) -> None:
        """The same, of everybody whose name begins so and a space."""
        await self._well(who, [one for one in self._troubles if one.startswith(f"{who} ")])

    async def _well(self, who: str, those: Iterable[str]) -> None:
        heard = who in self._unheard
        self._unheard.discard(who)
        gone = [one for one in those if self._troubles.pop(one, None) is not None]
        for one in gone:
            self.waits(one, None)
        if self._troubles and gone:
            await self._emit.failed(next(iter(self._troubles.values())))
        elif not (self._troubles or self._unheard) and (gone or heard):
            await self._emit.recovered()


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
