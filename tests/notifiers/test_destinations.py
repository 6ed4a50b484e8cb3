"""A destination that is dead, moved, unsubscribed or not there."""

from __future__ import annotations

from notifiers.channels import DeliveryError, Reason
from notifiers.channels.inbox import open_inbox
from notifiers.database import Database
from notifiers.subscriptions import Ended, end_subscriptions
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


async def test_a_dead_destination_is_paused_its_messages_wait_and_the_owner_is_told_once(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    blocked = True

    async def block(call: Call) -> None:
        if call.target == "a" and blocked:
            raise DeliveryError("bot was blocked by the user", Reason.gone, pause=True)

    chat.script = block
    await subscribe(database, "t.>", "chat:a")
    await subscribe(database, "t.>", "chat:b")
    async with (
        open_inbox(database, time.clock) as inbox,
        delivering(database, {"chat": chat, "inbox": inbox}, time, owner="chat:boss") as delivery,
    ):
        await publish(database, event("one"), event("two", severity=Severity.error))
        await wait.until(lambda: bool(chat.texts("boss")))
        await publish(database, event("three"))
        await wait.until(lambda: "three" in chat.texts("b"))
        held = await select(database, "SELECT status FROM deliveries WHERE destination = 'chat:a'")
        told = len(chat.texts("boss"))
        kept = await wait.until_rows("SELECT title FROM inbox", bool)
        blocked = False
        resumed = await delivery.resume("chat:a")
        again = await delivery.resume("chat:a")
        await wait.until_all_ended()

    assert {row["status"] for row in held} == {"pending"}
    assert len(held) == 3
    assert told == 1
    assert len(kept) == 1
    assert "bot was blocked by the user" in kept[0]["title"]
    assert (resumed, again) == (True, False)
    assert sorted(chat.texts("a")) == ["one", "three", "two"]


async def test_a_destination_that_moved_is_followed_with_all_that_waits(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)

    async def move(call: Call) -> None:
        if call.target == "-5/7":
            raise DeliveryError("upgraded", Reason.moved, moved_to="-1005")

    chat.script = move
    await subscribe(database, "t.>", "chat:-5/7")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("one"), event("two"))
        await wait.until(lambda: len(chat.accepted) == 2)
        await publish(database, event("three"))
        rows = await wait.until_all_ended()

    assert by_target(chat.accepted) == {"-1005": ["one", "two", "three"]}
    assert len([call for call in chat.calls if call.target == "-5/7"]) == 1
    assert {row["destination"] for row in rows} == {"chat:-1005"}


async def test_two_destinations_that_point_at_each_other_are_not_asked_without_end(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    wait.step = 10.0
    chat = Service(time)

    async def elsewhere(call: Call) -> None:
        raise DeliveryError("moved", Reason.moved, moved_to="b" if call.target == "a" else "a")

    chat.script = elsewhere
    await subscribe(database, ">", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("one"))
        await wait.until_time(60)

    assert 3 < len(chat.calls) < 15


async def test_a_channel_that_is_not_configured_makes_a_dead_delivery_with_the_reason(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    await subscribe(database, ">", "gone:x")
    async with delivering(database, {}, time):
        await publish(database, event("one"))
        rows = await wait.until_all_ended()

    assert rows[0]["status"] == "dead"
    assert "no channel 'gone' is configured" in rows[0]["error"]


async def test_trouble_with_telling_the_owner_feeds_nothing(database: Database, time: HeldTime, wait: Patient) -> None:
    wait.step = 10.0
    chat = Service(time)

    async def refuse(_: Call) -> None:
        raise DeliveryError("no", Reason.refused, permanent=True)

    chat.script = refuse
    await subscribe(database, ">", "chat:a")
    async with delivering(database, {"chat": chat}, time, owner="chat:boss"):
        await publish(database, *(event(f"{number}") for number in range(20)))
        rows = await wait.until_all_ended()
        await wait.until_time(100)
        events = await select(database, "SELECT * FROM events WHERE topic LIKE 'deliveries.%'")

    assert {row["status"] for row in rows} == {"dead"}
    assert len(events) == 1


async def test_who_unsubscribes_gets_nothing_more(database: Database, time: HeldTime, wait: Patient) -> None:
    wait.step = 5.0
    chat = Service(time, lambda target: [Window(target, 1, 10.0)])
    subscription = await subscribe(database, ">", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("one"), event("two"), event("three"))
        await wait.until(lambda: len(chat.accepted) == 1)
        await database.write(end_subscriptions, Ended(id=subscription, at=5))
        await publish(database, event("four"))
        await wait.until_time(60)
        rows = await select(database, "SELECT status, error FROM deliveries ORDER BY event_seq")

    assert chat.texts() == ["one"]
    assert [(row["status"], row["error"]) for row in rows[1:]] == [("suppressed", "unsubscribed")] * 2
