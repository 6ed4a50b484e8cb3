"""The event log as those see it who write to it and who read it in bursts: what is new, and on which topics."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import anyio
from sqlalchemy import Connection

from notifiers.bus.embedded import EmbeddedBus
from notifiers.clock import SYSTEM
from notifiers.fanout import read_unrouted
from rules.event import Event
from sensord.event_feed import EventFeed, newest, read_topics
from sensord.ledger.database import LedgerDatabase
from tests.conftest import rows
from tests.notifiers.service import R, Watched


def event(id_: str, topic: str = "a.b", also: str | None = None) -> Event:
    return Event(id=id_, type="message", topic=topic, also=also, time=SYSTEM.now())


async def test_of_events_that_come_again_and_again_each_is_new_once(database: LedgerDatabase) -> None:
    bus, chance = EmbeddedBus(database), Random(7)
    known: set[str] = set()
    for size in (1, 2, 31, 32, 33, 700, 5, 1):
        batch = [str(chance.randrange(900)) for _ in range(size)]
        expected = []
        for one in batch:
            expected.append(one not in known)
            known.add(one)
        assert await bus.publish([event(one) for one in batch]) == expected
    assert {row["id"] for row in rows(database, "SELECT id FROM events")} == known
    assert rows(database, "SELECT count(*) AS n FROM events") == [{"n": len(known)}]


async def test_a_batch_that_is_all_new_among_old_events_is_all_new(database: LedgerDatabase) -> None:
    bus = EmbeddedBus(database)
    assert await bus.publish([event("z")]) == [True]
    assert await bus.publish([event("z"), event("a"), event("z"), event("a")]) == [False, True, False, False]
    assert await bus.publish([event("z"), event("a")]) == [False, False]


async def test_the_next_events_are_told_by_topic_with_the_place_of_the_first_of_each(database: LedgerDatabase) -> None:
    topics = [("x", None), ("y", "x"), ("x", None), ("y", None), ("y", "x")]
    await EmbeddedBus(database).publish([event(str(at), topic, also) for at, (topic, also) in enumerate(topics)])
    (start,) = (row["seq"] for row in rows(database, "SELECT min(seq) AS seq FROM events"))
    assert await database.read(lambda conn: read_topics(conn, 0)) == [
        (start, start + 2, 2, "x", None),
        (start + 1, start + 4, 2, "y", "x"),
        (start + 3, start + 3, 1, "y", None),
    ]
    assert await database.read(lambda conn: read_topics(conn, start + 4)) == []


async def test_only_events_on_wanted_topics_are_read_whole_and_all_are_counted(database: LedgerDatabase) -> None:
    topics = [("x", None), ("y", "x"), ("y", "z"), ("w", None), ("y", "x")] * 120
    await EmbeddedBus(database).publish([event(f"{at:03}", *pair) for at, pair in enumerate(topics)])
    found = await database.read(lambda conn: read_unrouted(conn, lambda names: "x" in names))
    assert (found.count, found.upto - found.cursor) == (500, found.events[-1][0])
    assert [one.id for _, one in found.events] == [f"{at:03}" for at in range(500) if at % 5 in (0, 1, 4)]
    nobody = await database.read(lambda conn: read_unrouted(conn, lambda _: False))
    assert (nobody.count, nobody.upto, list(nobody.events)) == (500, found.upto, [])


async def test_the_feed_has_started_when_no_event_can_come_before_its_place_any_more(database: LedgerDatabase) -> None:
    read, go_on = anyio.Event(), anyio.Event()

    class Slow(Watched):
        async def read(self, query: Callable[[Connection], R]) -> R:
            if query is newest:
                read.set()
                await go_on.wait()
            return await super().read(query)

    feed = EventFeed(Slow(database), SYSTEM)
    news, started = feed.join(["x"]), anyio.Event()
    bus = EmbeddedBus(database)

    async def begin() -> None:
        await group.start(feed.run)
        started.set()

    async with anyio.create_task_group() as group:
        group.start_soon(begin)
        await read.wait()
        await bus.publish([event("before", "x")])
        assert not started.is_set()
        go_on.set()
        with anyio.fail_after(20):
            await started.wait()
            await bus.publish([event("after", "x")])
            feed.ring()
            place = await news.wait()
        (after,) = (row["seq"] for row in rows(database, "SELECT seq FROM events WHERE id = 'after'"))
        assert place == after
        group.cancel_scope.cancel()
