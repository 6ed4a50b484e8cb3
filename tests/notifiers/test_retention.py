from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection

from notifiers.channels.inbox import open_inbox
from notifiers.clock import to_us
from notifiers.retention import Chunk, prune_deliveries, prune_events, prune_inbox
from tests.notifiers.service import (
    START,
    HeldTime,
    Patient,
    Service,
    Watched,
    delivering,
    event,
    publish,
    select,
    subscribe,
)

LATER = to_us(START + timedelta(days=100))


def unend_the_first(conn: Connection, batch: Sequence[None]) -> Sequence[None]:
    first = "event_seq = (SELECT min(event_seq) FROM deliveries)"
    conn.exec_driver_sql(f"UPDATE deliveries SET status = 'pending', ended_at = NULL WHERE {first}")
    return batch


async def messages(database: Watched) -> list[str]:
    return [row["message"] for row in await select(database, "SELECT message FROM events ORDER BY seq")]


async def test_old_events_go_a_chunk_at_a_time_but_the_newest_stays(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    await subscribe(database, ">", "chat:a")
    async with delivering(database, {"chat": Service(time)}, time):
        await publish(database, *(event(f"{number}") for number in range(5)))
        await wait.until_all_ended()

    assert await database.write(prune_events, Chunk(to_us(START), 3)) == 0
    assert await database.write(prune_events, Chunk(LATER, 3)) == 3
    assert await database.write(prune_events, Chunk(LATER, 3)) == 1
    assert await messages(database) == ["4"]


async def test_an_event_that_is_not_routed_or_not_delivered_yet_stays(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    await subscribe(database, "t.>", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("one"))
        await wait.until(lambda: bool(chat.accepted))
        await wait.until_all_ended()
    await database.write(unend_the_first, None)
    await publish(database, event("two"), event("three"))

    assert await database.write(prune_events, Chunk(LATER)) == 0
    assert await messages(database) == ["one", "two", "three"]


async def test_ended_deliveries_and_old_messages_go(database: Watched, time: HeldTime, wait: Patient) -> None:
    await subscribe(database, ">", "inbox:")
    async with open_inbox(database, time.clock) as inbox, delivering(database, {"inbox": inbox}, time):
        await publish(database, event("one"), event("two"))
        await wait.until_all_ended()
    await database.write(unend_the_first, None)

    assert await database.write(prune_deliveries, Chunk(LATER)) == 1
    assert await database.write(prune_inbox, Chunk(LATER, 1)) == 1
    assert await database.write(prune_inbox, Chunk(LATER)) == 1
    assert [row["status"] for row in await select(database, "SELECT status FROM deliveries")] == ["pending"]


async def test_numbers_go_on_after_everything_old_was_deleted(database: Watched, time: HeldTime, wait: Patient) -> None:
    chat = Service(time)
    await subscribe(database, ">", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("one"), event("two"))
        await wait.until_all_ended()
        await database.write(prune_events, Chunk(LATER))
        await publish(database, event("three"))
        await wait.until(lambda: "three" in chat.texts())
