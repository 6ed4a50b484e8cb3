"""What sensors on events share: the log is read in its order from a cursor, which moves with what it covers.

The cursor is the place in the log up to which everything was emitted. A new sensor begins with the next event. While
events are only for others the cursor stays in memory, since reading them again after a restart finds nothing either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection, select

from notifiers.bus.embedded import from_row
from notifiers.database import Database
from notifiers.tables import events
from rules.event import Event
from rules.request import Sensed
from rules.topics import matches
from sensord.event_feed import EventFeed, News, newest, read_heads
from sensord.ledger.tables import sensors
from sensord.looks import Looks
from sensord.sources import Emit

BATCH = 500
_FAR = 50_000  # Events for others, after which the cursor is written all the same, so that a restart has few to read.

Sense = Callable[[Event], Sensed | None]
"""What an event means to a sensor; None where it is for others after all."""


async def open_event_log(
    name: str, patterns: Sequence[str], sense: Sense, *, database: Database, feed: EventFeed
) -> EventLogSource:
    """A source of what is published on these topics from this moment on, where it has no cursor yet."""
    news, begins = feed.join(patterns), await database.read(newest)
    looks = Looks(feed.clock)
    return EventLogSource(name, patterns, sense, database=database, news=news, begins=begins, looks=looks)


class EventLogSource:
    """Emits what the log holds for it, as soon as it is there."""

    def __init__(
        self,
        name: str,
        patterns: Sequence[str],
        sense: Sense,
        *,
        database: Database,
        news: News,
        begins: int,
        looks: Looks,
    ) -> None:
        self._name = name
        self._patterns = tuple(patterns)
        self._sense = sense
        self._database = database
        self._news = news
        self._begins = begins
        self._looks = looks

    async def run(self, emit: Emit, cursor: str | None) -> None:
        """Emit until cancelled."""
        place = self._begins if cursor is None else int(cursor)
        self._looks.give_up()
        if cursor is None:
            await emit([], cursor=str(place))
        while True:
            self._looks.begin()
            place = await self._catch_up(emit, place)
            emit.looked()
            # The log is the ledger's own, and what kept it from being read is over.
            await emit.recovered()
            self._looks.end()
            place = max(place, await self._news.wait() - 1)

    async def _catch_up(self, emit: Emit, place: int) -> int:
        kept = place
        while True:
            found, upto = await self._read(place)
            sensed = [one for one in map(self._sense, found) if one is not None]
            if sensed or upto - kept > _FAR:
                emit.behind(min((one.at for one in sensed), default=None))
                await emit(sensed, cursor=str(upto))
                emit.behind(None)
                kept = upto
            if upto == place:
                return place
            place = upto

    async def _read(self, after: int) -> tuple[list[Event], int]:
        return await self._database.read(lambda conn: read_events(conn, after, self._patterns))

    async def look_now(self) -> None:
        """See `sensord.sources.Waking`: the log is read to its end."""
        self._news.tell(0)
        await self._looks.now()

    async def look(self, known: set[int]) -> Sequence[Sensed]:
        """What is in the log after the cursor: the dry run."""
        del known
        place = await self._database.read(lambda conn: _cursor(conn, self._name))
        found: list[Sensed] = []
        while place is not None and len(found) < BATCH:
            events_, upto = await self._read(place)
            found += [one for one in map(self._sense, events_) if one is not None]
            if upto == place:
                break
            place = upto
        return found

    def why(self, subject: str) -> str | None:
        """Nothing is left out but by the pattern, which the ledger cannot be asked about."""
        del subject
        return None


def read_events(conn: Connection, after: int, patterns: Sequence[str]) -> tuple[list[Event], int]:
    """The next events on these topics, at most a batch of them, and the place up to which they are all there are."""
    heads = read_heads(conn, after)
    wanted = [seq for seq, *topics in heads if any(_wanted(patterns, topic) for topic in topics)]
    upto = heads[-1][0] if heads else after
    if len(wanted) > BATCH:
        wanted = wanted[:BATCH]
        upto = wanted[-1]
    if not wanted:
        return [], upto
    query = select(events).where(events.c.seq.in_(wanted)).order_by(events.c.seq)
    return [from_row(dict(row)) for row in conn.execute(query).mappings()], upto


def _wanted(patterns: Sequence[str], topic: str | None) -> bool:
    return topic is not None and any(matches(pattern, topic) for pattern in patterns)


def _cursor(conn: Connection, sensor: str) -> int | None:
    text = conn.scalar(select(sensors.c.cursor).where(sensors.c.name == sensor))
    return None if text is None else int(text)
