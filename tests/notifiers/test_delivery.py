"""What is subscribed is told: to whom, in which order, how fast, and how it stops."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import anyio

from notifiers.database import Database
from rules.event import Severity
from rules.pacing import Window
from tests.notifiers.service import (
    Call,
    HeldTime,
    Patient,
    Service,
    by_target,
    delivering,
    event,
    publish,
    select,
    subscribe,
)


async def test_everyone_subscribed_is_told_and_nobody_else(database: Database, time: HeldTime, wait: Patient) -> None:
    chat = Service(time)
    await subscribe(database, "runs.*.failed", "chat:a")
    await subscribe(database, "runs.>", "chat:b", severity=">=error")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("one", "runs.x.failed"), event("two", "runs.x.failed", Severity.error))
        await publish(database, event("three", "runs.x.succeeded", Severity.error), event("four", "other"))
        rows = await wait.until_all_ended()

    assert by_target(chat.accepted) == {"a": ["two", "one"], "b": ["two", "three"]}  # The loudest first.
    suppressed = [row for row in rows if row["status"] == "suppressed"]
    assert [(row["message"], row["destination"]) for row in suppressed] == [("one", "chat:b")]
    assert "severity" in suppressed[0]["error"]
    assert all(row["attempts"] == 1 and row["receipts"] != "[]" for row in rows if row["status"] == "delivered")


async def test_an_event_is_told_without_anybody_waking_the_delivery(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    await subscribe(database, ">", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await wait.until_time(5)
        await publish(database, event("late"))
        published = time.seconds
        await wait.until(lambda: bool(chat.accepted))

    assert chat.accepted[0].at - published <= 2.5


async def test_one_destination_gets_its_messages_in_order_and_one_at_a_time(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)

    async def take_a_while(call: Call) -> None:
        await time.clock.sleep(len(call.text) % 3 * 0.05)

    chat.script = take_a_while
    for destination in ("chat:a", "chat:b", "chat:c"):
        await subscribe(database, ">", destination)
    messages = [f"message {number}" for number in range(40)]
    async with delivering(database, {"chat": chat}, time):
        await publish(database, *(event(message) for message in messages))
        await wait.until_all_ended()

    assert by_target(chat.accepted) == {"a": messages, "b": messages, "c": messages}
    assert chat.most_in_the_air == 1


async def test_the_limits_that_a_channel_declares_are_kept(database: Database, time: HeldTime, wait: Patient) -> None:
    chat = Service(time, lambda target: [Window("all", 5, 1.0), Window(target, 1, 1.0)])
    for destination in ("chat:a", "chat:b"):
        await subscribe(database, ">", destination)
    async with delivering(database, {"chat": chat}, time):
        await publish(database, *(event(f"{number}") for number in range(6)))
        await wait.until_all_ended()
    for target in ("a", "b"):
        times = [call.at for call in chat.calls if call.target == target]

        assert all(later - earlier >= 1.0 for earlier, later in pairwise(times))


async def test_a_hanging_destination_and_a_hanging_channel_hold_back_nobody_else(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat, other = Service(time), Service(time)

    async def hang(call: Call) -> None:
        if call.target != "well":
            await time.clock.sleep(inf)

    chat.script = other.script = hang
    await subscribe(database, ">", "chat:well")
    await subscribe(database, ">", "chat:dead")
    for number in range(80):
        await subscribe(database, ">", f"other:{number}")
    async with delivering(database, {"chat": chat, "other": other}, time):
        await publish(database, *(event(f"{number}") for number in range(10)))
        await wait.until(lambda: len(chat.texts("well")) == 10)

    assert len(other.calls) == 64


async def test_a_critical_overtakes_what_waits_for_the_same_chat(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time, lambda target: [Window(target, 1, 1.0)])
    await subscribe(database, ">", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, *(event(f"{number}") for number in range(10)))
        await wait.until(lambda: len(chat.accepted) == 2)
        await publish(database, event("critical", severity=Severity.critical))
        await wait.until_all_ended()

    assert "critical" in chat.texts()[2:5]
    assert [text for text in chat.texts() if text != "critical"] == [f"{number}" for number in range(10)]


async def test_who_subscribes_gets_what_comes_after_and_not_what_was_before(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    await publish(database, event("before"))
    await subscribe(database, "t.*", "chat:a")
    await publish(database, event("after"))
    async with delivering(database, {"chat": chat}, time):
        await wait.until(lambda: bool(chat.accepted))
        await subscribe(database, ">", "chat:b")
        await publish(database, event("last"))
        await wait.until_all_ended()

    assert by_target(chat.accepted) == {"a": ["after", "last"], "b": ["last"]}


async def test_a_replayed_event_is_told_to_all_who_are_subscribed_now(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    await subscribe(database, ">", "chat:a")
    again = event("again")
    async with delivering(database, {"chat": chat}, time) as delivery:
        await publish(database, again)
        await wait.until_all_ended()
        await subscribe(database, ">", "chat:b")
        made = await delivery.replay_event(again.id)
        await wait.until_all_ended()

    assert len(made) == 2
    assert by_target(chat.accepted) == {"a": ["again", "again"], "b": ["again"]}


async def test_a_backlog_longer_than_memory_is_sent_in_order(database: Database, time: HeldTime, wait: Patient) -> None:
    chat = Service(time)
    await subscribe(database, ">", "chat:a")
    messages = [f"{number}" for number in range(130)]
    await publish(database, *(event(message) for message in messages))
    async with delivering(database, {"chat": chat}, time, front=20) as delivery:
        most = 0

        async def watch(_: Call) -> None:
            nonlocal most
            most = max(most, len(delivery._waiting))

        chat.script = watch
        await wait.until(lambda: len(chat.accepted) > 10)
        await publish(database, event("130"))
        await wait.until(lambda: len(chat.accepted) == 131)

    assert chat.texts() == [*messages, "130"]
    assert most <= 40


async def test_when_asked_the_calls_in_the_air_may_end_before_the_delivery_stops(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    answered = anyio.Event()

    async def hang(_: Call) -> None:
        await answered.wait()

    chat.script = hang
    await subscribe(database, ">", "chat:a")
    with anyio.fail_after(20):
        async with delivering(database, {"chat": chat}, time, drain=10.0):
            await publish(database, event("one"), event("two"))
            await wait.until(lambda: bool(chat.calls))
            answered.set()
    rows = await select(database, "SELECT status FROM deliveries ORDER BY event_seq")

    assert [row["status"] for row in rows] == ["delivered", "pending"]
