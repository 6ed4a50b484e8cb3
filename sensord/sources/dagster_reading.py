"""Reads a history to its end, however much there is: window by window of Dagster's time, each committed by itself."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from notifiers.clock import Clock, from_us, to_us
from rules.event import rfc3339
from rules.request import Sensed
from sensord.sources.dagster_history import Happened, History, Page

log = logging.getLogger(__name__)

_AT_ONCE = 100
_STALE = 500
_FAR = 600_000
_WHILE = 60_000
_SECOND = 1000
"""Dagster tells of its clock in whole seconds."""
_BETWEEN = " since "


class Sink(Protocol):
    """What a reading is told to: of `sensord.sources.Emit` what it needs."""

    async def __call__(self, sensed: Sequence[Sensed], cursor: str | None = None) -> None:
        """See `Emit`."""

    def behind(self, since: datetime | None) -> None:
        """See `Emit`."""

    async def forget(self, marks: Iterable[int]) -> None:
        """See `Emit`."""


class Place(Struct, frozen=True):
    """Where a sensor is, in milliseconds of Dagster's clock: read up to there, of what happened after `since`."""

    upto: int
    since: int

    def written(self) -> str:
        """As the cursor holds it."""
        return _BETWEEN.join(rfc3339(from_us(moment * 1000)) for moment in (self.upto, self.since))


def read_place(cursor: str) -> Place | None:
    """The place that a cursor tells of; None if it tells of none."""
    try:
        upto, since = (to_us(datetime.fromisoformat(text)) // 1000 for text in cursor.split(_BETWEEN))
    except (ValueError, TypeError):
        return None
    return Place(upto, since)


class Reading:
    """One sensor's way through a history.

    What happened up to `overlap` before the place is listed again at each look, because Dagster may show it late; what
    was emitted of that is known by its mark, in memory and, over restarts, in the ledger. The place is the moment, by
    Dagster's own clock, at which it was asked and all it showed was emitted: hosts whose clock is ahead take nobody
    along, and where nothing happens nothing is listed again.
    """

    def __init__(
        self, history: History, place: Place, marks: Iterable[int], *, overlap: float, follows: bool, clock: Clock
    ) -> None:
        self.place = place
        self._history = history
        self._overlap = round(overlap * 1000)
        self._follows = follows
        self._clock = clock
        self._written = place
        self._emitted = 0
        self._known = dict.fromkeys(marks, place.upto)
        self._enough = len(self._known) + _STALE

    async def look(self, sink: Sink) -> int:
        """Emit everything that is there and was not emitted; how much that was.

        Where it fails, the place is where it got to.
        """
        self._emitted = 0
        something = await self._history.begin(self._after())
        if self._went_back():
            something = await self._history.begin(self._after())
        if something:
            await self._drain(sink)
        self._history.end()
        self._reach(self._history.sure)
        if self.place.upto - self._written.upto > _FAR:
            await self._emit(sink, [], self.place.upto)
        return self._emitted

    def _after(self) -> int:
        return max(self.place.upto - self._overlap, self.place.since)

    def _went_back(self) -> bool:
        """Dagster's clock says less than it did, or it is another Dagster: what happens now counts."""
        now = self._history.sure
        if not now or now + _SECOND >= self.place.upto:
            return False
        if now + self._overlap < self.place.upto:
            log.warning(
                "dagster.clock_went_back", extra={"said": self.place.written(), "says": Place(now, now).written()}
            )
        since = min(self.place.since, now) if self._follows else self.place.since
        self.place = Place(now, since)
        return True

    async def _drain(self, sink: Sink) -> None:
        """Windows are halved until one is whole, and grow again while they are; the last one is open."""
        after = top = self._after()
        width: int | None = None
        while True:
            before = None if width is None else after + width + 1
            page = await self._history.page(after, before)
            if page.whole:
                await self._take(page, sink, page.upto if width is None else after + width)
            elif width == 1 and before is not None:
                async for part in self._history.pages(after, before):
                    await self._take(part, sink, None)
            else:
                self._waits(self._fresh(page.things), sink)
                if width is None:
                    # Where not even the time of anything is told, what there is ended by now, about.
                    top = max(page.upto or max(self._history.sure, after) + _WHILE, after + 2)
                width = max(1, (top - after if width is None else width) // 2)
                continue
            if width is None:
                return
            after += width
            self._reach(after)
            # Where little happened, as at night, the next one may be much longer.
            width *= 2 if page.things else 16
            width = None if after + width >= top else width

    async def _take(self, page: Page, sink: Sink, upto: int | None) -> None:
        """Emit what is new of a page; when it is committed, so is everything up to `upto`."""
        fresh = self._fresh(page.things)
        self._waits(fresh, sink)
        for start in range(0, len(fresh), _AT_ONCE):
            end = start + _AT_ONCE
            told = await self._history.sensed(fresh[start:end])
            covered = upto if upto is None or end >= len(fresh) else fresh[end].at - 1
            await self._emit(sink, [sensed for _, sensed in told], covered)
            self._known.update((thing.mark, thing.at) for thing, _ in told)
        if upto is not None:
            self._reach(upto)
        await self._let_go(sink)

    def _fresh(self, things: Sequence[Happened]) -> list[Happened]:
        """What is not known yet, in the order in which it happened."""
        new = {one.mark: one for one in things if one.mark not in self._known and one.began > self.place.since}
        return sorted(new.values(), key=lambda one: one.at)

    def _waits(self, fresh: Sequence[Happened], sink: Sink) -> None:
        """Say since when, by our clock, the oldest of these waits."""
        if fresh:
            age = max(0, self._history.sure - fresh[0].began)
            sink.behind(self._clock.now() - timedelta(milliseconds=age))

    async def _emit(self, sink: Sink, sensed: Sequence[Sensed], upto: int | None) -> None:
        if upto is not None:
            self._reach(upto)
        moved = upto is not None and self.place != self._written
        self._emitted += len(sensed)
        if sensed or moved:
            await sink(sensed, cursor=self.place.written() if moved else None)
            self._written = self.place if moved else self._written

    def _reach(self, upto: int) -> None:
        """Everything up to there is read, as far as Dagster's clock says that it can have been."""
        self.place = replace(self.place, upto=max(self.place.upto, min(upto, self._history.sure)))

    async def _let_go(self, sink: Sink) -> None:
        """What is listed no more, from the cursor on, needs no mark; some stay so long that many go at once."""
        if len(self._known) >= self._enough:
            gone = [mark for mark, at in self._known.items() if at < self._written.upto - self._overlap]
            await sink.forget(gone)
            for mark in gone:
                del self._known[mark]
            self._enough = len(self._known) + _STALE
