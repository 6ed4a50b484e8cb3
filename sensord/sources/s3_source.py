"""One S3 sensor: its parts, wired together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

import anyio
from anyio.to_thread import run_sync

from notifiers.clock import Clock
from rules.printable import unprintable
from rules.request import Sensed
from sensord.looks import Looks
from sensord.sources import Emit
from sensord.sources.s3 import S3Config
from sensord.sources.s3_latest import Latest
from sensord.sources.s3_listing import Bucket
from sensord.sources.s3_memory import Known
from sensord.sources.s3_objects import Version, sensed
from sensord.sources.s3_once import Once
from sensord.sources.s3_pages import Page
from sensord.sources.s3_queue import QUEUE, Queue
from sensord.sources.s3_reconcile import LISTING, Reconcile, roots
from sensord.sources.s3_trouble import S3Trouble, first_of
from sensord.sources.s3_walk import Part, Walk

_URI = re.compile(r"s3://(?P<bucket>[^/]+)/(?P<key>.*)", re.DOTALL)
# Where no listing says what is gone. A notice comes again within minutes (at most 12 hours later, if it could not be
# deleted), and one that was forgotten by then still finds its run_key held: this spares a look at the ledger, no more.
_MOST_REMEMBERED = 100_000


class S3Source:
    """See `sensord.sources.Source` for what `run`, `look` and `why` promise."""

    def __init__(self, name: str, config: S3Config, bucket: Bucket, clock: Clock, *, latest: bool = False) -> None:
        self._name = name
        self._config = config
        self._bucket = bucket
        self._clock = clock
        self._latest = Latest(config, bucket, clock) if latest else None
        self._looks = Looks(clock)
        self._listings: Reconcile | None = None

    async def run(self, emit: Emit, cursor: str | None) -> None:
        """Emit each version of each object once, until cancelled."""
        self._looks.give_up()
        most = None if self._config.meets_all else _MOST_REMEMBERED
        known = await run_sync(partial(Known, await emit.marks(), most=most)) if self._config.remembers else None
        lookers = [LISTING] * self._config.listing + [QUEUE] * (self._config.queue_url is not None)
        once = Once(
            self._config,
            emit,
            known,
            self._clock,
            lookers=lookers,
            new=not (known or cursor),
            latest=self._latest,
        )
        async with anyio.create_task_group() as tasks:
            self._listings = Reconcile(self._config, self._bucket, once, self._clock, cursor, self._looks)
            tasks.start_soon(self._listings.run, name=f"list for {self._name}")
            if self._config.queue_url is not None:
                queue = Queue(self._config, self._bucket, once, self._clock)
                tasks.start_soon(queue.run, name=f"read the queue of {self._name}")

    async def look_now(self) -> None:
        """See `sensord.sources.Waking`: the bucket is listed, without `listing` too. Of notices it hears anyway."""
        await self._looks.now()

    async def look(self, known: set[int]) -> Sequence[Sensed]:
        """What a whole listing finds that is not known; the queue is left alone. S3Trouble if it cannot be listed."""
        found: dict[int, Version] = {}

        async def take(_: Part | None, page: Page) -> None:
            places = [at for at, mark in enumerate(page.marks) if mark not in known]
            found.update({page.marks[at]: version for at, version in zip(places, page.versions(places), strict=True)})

        async def said(_: Part, trouble: S3Trouble | None) -> None:
            if trouble is not None:
                raise trouble

        parts = roots(self._config) if self._listings is None else self._listings.fresh()
        walk = Walk(bucket=self._bucket, parts=parts, parallel=self._config.parallel, take=take, said=said)
        try:
            await walk.run()
        except BaseExceptionGroup as group:
            troubles, others = group.split(S3Trouble)
            if troubles is None or others is not None:
                raise
            raise first_of(troubles) from None
        now = self._clock.now()
        return [sensed(self._config, version, mark, now) for mark, version in found.items()]

    def why(self, subject: str) -> str | None:
        """Why this object would not be emitted; `subject` is its URI."""
        match = _URI.fullmatch(subject)
        if match is None or match["bucket"] != self._config.bucket:
            return f"it is no object of the bucket {self._config.bucket}"
        try:
            key = unprintable(match["key"]).decode()
        except ValueError:
            key = match["key"]  # Typed as it is, with a backslash of its own.
        return self._bucket.names.refuses(key)
