"""News for sensors that look at events: one reading of the log tells each where the next one for it may be.

The log is the truth, and every sensor has a cursor of its own in it. What is told here only saves looking: a burst of
events that are for nobody costs one reading, however many sensors there are.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import anyio
from anyio.abc import TaskStatus
from sqlalchemy import Connection, bindparam, func, select

from notifiers.bell import Bell
from notifiers.clock import Clock
from notifiers.database import AtOnce, Database
from notifiers.tables import events
from rules.topics import Trie

_CHUNK = 1000
# Events that follow close upon others are read together, so that a burst is few readings.
_GATHER_S, _MANY, _GATHER_MANY_S = 0.01, 10, 0.03


class News:
    """What one reader is told. `first` is the place of the oldest event for it that it has not taken, or None."""

    def __init__(self, clock: Clock) -> None:
        self.first: int | None = None
        self._bell = Bell(clock)

    def tell(self, seq: int) -> None:
        """There is one at this place."""
        if self.first is None:
            self.first = seq
            self._bell.ring()

    async def wait(self) -> int:
        """The place of the next one; what comes from here on is news again."""
        while self.first is None:
            await self._bell.wait()
        first, self.first = self.first, None
        return first


class EventFeed:
    """Reads the log as it grows, while anybody has joined."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self.clock = clock
        self._bell = Bell(clock)
        self._readers: list[News] = []
        self._patterns: Trie[int] = Trie()

    def ring(self) -> None:
        """There may be new events."""
        self._bell.ring()

    def join(self, patterns: Iterable[str]) -> News:
        """Be told of events on these topics once `run` has started. ValueError: one is no pattern."""
        news = News(self.clock)
        for pattern in patterns:
            self._patterns.add(pattern, len(self._readers))
        self._readers.append(news)
        return news

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Read until cancelled. Without readers there is nothing to do.

        Once it has started, every event that is published is told of. Who reads the log up to its end by itself must
        not do so before: an event between the two would be for nobody, until the next one came.
        """
        if not self._readers:
            task_status.started()
            return
        place = await self._database.read(newest)
        task_status.started()
        while True:
            count = 0
            for first, last, here, *topics in await self._database.read(partial(read_topics, after=place)):
                place, count = max(place, last), count + here
                for reader in {one for topic in topics if topic is not None for one in self._patterns.match(topic)}:
                    self._readers[reader].tell(first)
            if count < _CHUNK:
                await self._bell.wait()
                await self.clock.sleep(_GATHER_S if count < _MANY else _GATHER_MANY_S)


def newest(conn: Connection) -> int:
    """The place of the last event; 0 in an empty log."""
    return conn.scalar(select(func.max(events.c.seq))) or 0


_HEADS = (
    select(events.c.seq, events.c.topic, events.c.also)
    .where(events.c.seq > bindparam("after"))
    .order_by(events.c.seq)
    .limit(_CHUNK)
)
_NEXT = _HEADS.subquery()
_TOPICS = AtOnce(
    select(func.min(_NEXT.c.seq), func.max(_NEXT.c.seq), func.count(), _NEXT.c.topic, _NEXT.c.also).group_by(
        _NEXT.c.topic, _NEXT.c.also
    )
)


def read_topics(conn: Connection, after: int) -> list[tuple[int, int, int, str, str | None]]:
    """The topics of the next thousand events after that place: where the first and the last is, how many, the topics.

    In the order of the first. One row for each pair of topics is far fewer than one for each event of a burst.
    """
    return sorted((row[0], row[1], row[2], row[3], row[4]) for row in _TOPICS.rows(conn, {"after": after}))


def read_heads(conn: Connection, after: int) -> list[tuple[int, str, str | None]]:
    """The next thousand events after that place: where each is, and its topics."""
    return [(row[0], row[1], row[2]) for row in conn.execute(_HEADS, {"after": after})]
