"""Listings, one after another: each finds what is new, and what no notice told of."""

from __future__ import annotations

import json
import logging
from datetime import timedelta

from notifiers.clock import Clock
from sensord.looks import Looks
from sensord.sources.s3 import S3Config
from sensord.sources.s3_listing import Bucket
from sensord.sources.s3_objects import Version
from sensord.sources.s3_once import Once
from sensord.sources.s3_pages import Page
from sensord.sources.s3_trouble import S3Trouble
from sensord.sources.s3_walk import Part, Walk

log = logging.getLogger(__name__)

LISTING = "listing"
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


def roots(config: S3Config) -> list[Part]:
    """Where a listing begins: at each prefix."""
    return [Part(prefix, after=config.start_after, whole=config.ordered) for prefix in config.prefixes]


class Reconcile:
    """Lists the bucket, again and again.

    The cursor says which parts of a pass are left, and from where: a pass that was interrupted is first brought to its
    end, and a whole one follows at once. Where keys are ordered there is but one endless pass.
    """

    def __init__(
        self, config: S3Config, bucket: Bucket, once: Once, clock: Clock, cursor: str | None, looks: Looks
    ) -> None:
        self._config = config
        self._bucket = bucket
        self._once = once
        self._clock = clock
        self._looks = looks
        self._parts = self._resumed(cursor)
        self._committed = cursor
        self._pause = _FIRST_PAUSE

    async def run(self) -> None:
        """List until cancelled; without `listing`, only when somebody asks."""
        if self._config.listing:
            self._once.waits(LISTING, self._clock.now())
        while True:
            if not self._config.listing:
                await self._looks.pause()
            began = self._clock.monotonic()
            whole = self._config.ordered or not self._parts
            if whole:
                self._looks.begin()
            if self._config.ordered:
                complete = await self._ordered(began)
            else:
                complete = await self._pass(began, whole=whole)
            self._once.looked()
            if whole and complete:
                self._looks.end()
            if not self._config.listing:
                await self._once.all_good(LISTING)  # Nobody asks for another one because this one failed.
            elif whole and complete:
                pause = max(0.0, self._config.interval - (self._clock.monotonic() - began))
                self._once.waits(LISTING, self._clock.now() + timedelta(seconds=pause))
                await self._looks.pause(pause)

    async def _pass(self, began: float, *, whole: bool) -> bool:
        known = self._once.known
        if whole:
            self._parts = self.fresh()
            if known is not None:
                await known.expect()
        complete = await self._list(self._parts, began)
        self._parts = []
        if whole and known is not None:
            if complete:
                for gone in known.take_gone():
                    await self._once.forget(gone)
            else:
                await known.excuse()
        if complete and self._committed is not None:
            await self._move()
        return complete

    def fresh(self) -> list[Part]:
        """Where the next whole listing begins: where keys are ordered, after those that were listed."""
        parts = roots(self._config)
        if self._config.ordered:
            left = {part.prefix: part.after for part in self._parts}
            for part in parts:
                part.after = left.get(part.prefix) or part.after
        return parts

    async def _ordered(self, began: float) -> bool:
        self._parts = self.fresh()
        complete = await self._list(list(self._parts), began)
        await self._move()
        return complete

    async def _list(self, parts: list[Part], began: float) -> bool:
        """Whether all was listed. What is in trouble is tried again; after an interval without progress, all is."""
        while True:
            walk = Walk(
                bucket=self._bucket, parts=parts, parallel=self._config.parallel, take=self._take, said=self._said
            )
            troubles = await walk.run()
            if not troubles:
                self._pause = _FIRST_PAUSE
                await self._once.all_good(LISTING)
                return True
            if walk.pages:
                self._pause = _FIRST_PAUSE
            # Whoever asked has been told of the trouble.
            self._looks.begin()
            self._looks.end()
            await self._looks.pause(self._pause)
            self._pause = min(2 * self._pause, _LONGEST_PAUSE, max(self._config.interval, _FIRST_PAUSE))
            if not walk.pages and self._clock.monotonic() - began >= self._config.interval:
                return False

    async def _take(self, part: Part | None, page: Page) -> None:
        known = self._once.known
        places = range(len(page.keys)) if known is None else known.unknown(page.marks)

        def covered(last: Version) -> str:
            if part is not None:
                part.after = last.key
            self._committed = self._cursor()
            return self._committed

        if places:
            await self._once.send(page.versions(places), covered)
        if part is not None and page.last is not None:
            part.after = page.last

    async def _said(self, part: Part, trouble: S3Trouble | None) -> None:
        if trouble is None:
            await self._once.good(f"{LISTING} {part.prefix}")
        else:
            log.warning("s3.not_listed", extra={"bucket": self._config.bucket, "reason": str(trouble)})
            await self._once.bad(f"{LISTING} {part.prefix}", str(trouble))

    async def _move(self) -> None:
        """Commit where the listing is, unless that is committed already."""
        cursor = self._cursor()
        if cursor != self._committed:
            self._committed = cursor
            await self._once.move(cursor)

    def _cursor(self) -> str:
        left = [[part.prefix, part.after, part.last] for part in self._parts]
        of = {"bucket": self._config.bucket, "ordered": self._config.ordered}
        return json.dumps(of | {"left": left}, separators=(",", ":"))

    def _resumed(self, cursor: str | None) -> list[Part]:
        """The parts that the cursor says are left, unless it is of something else."""
        if cursor is None:
            return []
        try:
            held = json.loads(cursor)
            if (held["bucket"], held["ordered"]) != (self._config.bucket, self._config.ordered):
                return []
            parts = [Part(prefix, after, last, last is not None) for prefix, after, last in held["left"]]
            return [part for part in parts if part.prefix.startswith(tuple(self._config.prefixes))]
        except (ValueError, KeyError, TypeError, AttributeError):
            log.warning("s3.cursor_unreadable", extra={"bucket": self._config.bucket})
            return []
