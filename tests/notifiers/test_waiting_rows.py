"""What was sent lately still counts after a restart, and what somebody asked for is no news."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection

from notifiers.chat.answers import insert_answer
from notifiers.clock import new_uuid7, to_us
from notifiers.fanout import insert_deliveries, new_delivery
from notifiers.message import Message
from notifiers.store import Waiting
from notifiers.waiting_rows import recent_calls
from rules.event import Severity
from rules.noise import BUDGET
from tests.notifiers.noise_kit import group, subscribe, until_over, us
from tests.notifiers.service import START, HeldTime, Patient, Service, Watched, delivering, event, publish, select

NOW = to_us(START)


def insert(conn: Connection, batch: Sequence[dict[str, Any]]) -> list[None]:
    insert_deliveries(conn, batch)
    return [None] * len(batch)


async def kept(database: Watched, **values: Any) -> None:
    """A delivery of an event of its own, as it came to be."""
    row = new_delivery(new_uuid7(), event("x"), 1, subscription="s", destination="chat:a", now_us=NOW) | values
    await database.write(insert, row)


async def test_what_waits_for_another_try_counts_as_a_call_of_this_moment(database: Watched) -> None:
    read = partial(recent_calls, since=NOW - 1000, now=NOW)
    await kept(database)
    assert await database.read(read) == []
    await kept(database, attempts=2)
    await kept(database, attempts=1, destination="chat:b", next_attempt_at=NOW + 10**9)
    await kept(database, attempts=3, destination="chat:c", status="delivered", ended_at=NOW - 5)
    await kept(database, attempts=1, destination="chat:d", status="delivered", ended_at=NOW - 2000)
    await kept(database, attempts=0, destination="chat:e", status="suppressed", ended_at=NOW - 5)
    # When the others were tried, and how often in the time that matters, is not known: once, now.
    found = await database.read(read)
    assert found[0] == ("chat:c", NOW - 5, 3)
    assert sorted(found[1:]) == [("chat:a", NOW, 1), ("chat:b", NOW, 1)]


async def test_answers_and_tests_that_somebody_asked_for_make_no_burst_of_the_news(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time, group)
    await subscribe(database, "t.a", "chat:a")
    async with delivering(database, {"chat": chat}, time, digested=["chat"]) as delivery:
        wait.step = 0.1
        for number in range(10):
            now = us(time)
            message = Message(title=f"answer {number}")
            row = await database.write(
                lambda conn, batch: [
                    insert_answer(conn, one, "chat:a", new_id=new_uuid7, now=now)  # noqa: B023 - called at once
                    for one in batch
                ],
                message,
            )
            tested = event(f"test {number}", "chat.test")
            await publish(database, tested)
            (seq,) = [one["seq"] for one in await select(database, "SELECT max(seq) AS seq FROM events")]
            asked = new_delivery(
                new_uuid7(), tested, seq, subscription="chat.test", destination="chat:a", now_us=us(time)
            )
            await database.write(insert, asked)
            delivery.expect([Waiting(one["id"], one["destination"], one["severity"], 0) for one in (row, asked)])
        await until_over(wait)
        # So much within a minute would be too much, if it were news.
        assert len([call for call in chat.accepted if call.at > time.seconds - 55]) > BUDGET
        before = len(chat.accepted)
        await publish(database, *(event(f"failure {number}", severity=Severity.error) for number in range(3)))
        await until_over(wait)
    told = [call.text for call in chat.accepted[before:]]
    assert told == [f"failure {number}" for number in range(3)]
    assert await select(database, "SELECT id FROM digests") == []
