"""A new subscription is told of the past: once, in order, behind what is fresh, through any end of the daemon."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import anyio
import pytest

from notifiers import backlog
from notifiers.clock import new_uuid7, to_us
from notifiers.since import Since
from notifiers.subscriptions import Configured, Ended, Wanted, add_subscriptions, end_subscriptions, sync_configured
from rules.event import Event, Severity
from rules.pacing import Window
from tests.notifiers.service import (
    START,
    HeldTime,
    Patient,
    Service,
    Watched,
    by_target,
    delivering,
    event,
    publish,
    select,
    subscribe,
)

ALL = Since(at=0)


def wanted(topic: str = "t.>", to: str = "chat:a", since: Since | None = ALL, **where: Any) -> Wanted:
    return Wanted(id=new_uuid7(), topic=topic, destination=to, at=1, where=where, since=since)


async def done(wait: Patient, subscriptions: int = 1) -> list[dict[str, Any]]:
    """Every past is told: all deliveries in the order of their events."""
    await wait.until_rows(
        "SELECT * FROM backlogs WHERE ended_at IS NOT NULL", lambda found: len(found) == subscriptions
    )
    return await wait.until_all_ended()


def numbered(count: int, **fields: Any) -> list[Event]:
    return [event(f"{number}", **fields) for number in range(count)]


async def test_the_past_is_told_once_in_order_and_then_what_comes(
    database: Watched, time: HeldTime, wait: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "_CHUNK", 4)
    chat = Service(time)
    await publish(database, *numbered(10), event("for others", "other.a"))
    await database.write(add_subscriptions, wanted())
    async with delivering(database, {"chat": chat}, time):
        await done(wait)
        await publish(database, event("fresh"))
        await wait.until(lambda: len(chat.accepted) == 11)
    assert chat.texts() == [*(f"{number}" for number in range(10)), "fresh"]
    (notice,) = await select(database, "SELECT * FROM events WHERE topic = 'subscriptions.backlog'")
    assert notice["message"] == "10 earlier events go to chat:a, which is subscribed to t.>"


async def test_only_what_the_filter_the_pattern_and_the_time_take(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)

    def aged(hours: int, **fields: Any) -> Event:
        moment = START - timedelta(hours=hours)
        return Event(id=new_uuid7(), type="message", time=moment, message=f"{hours}", **{"topic": "t.a", **fields})

    of_interest = Severity.error
    old = [aged(9, severity=of_interest), aged(4, severity=of_interest), aged(8, severity=of_interest), aged(3)]
    await publish(database, *old, aged(2, severity=of_interest, topic="x.y", also="t.b"), aged(1, topic="x.y"))
    since = Since(at=to_us(START - timedelta(hours=5)))
    await database.write(add_subscriptions, wanted(since=since, severity=">=error"))
    await database.write(add_subscriptions, wanted(to="chat:b", since=Since(event=old[1].id)))
    async with delivering(database, {"chat": chat}, time):
        await done(wait, 2)
    assert by_target(chat.accepted) == {"a": ["4", "2"], "b": ["8", "3", "2"]}


async def test_what_is_fresh_goes_before_what_is_past(database: Watched, time: HeldTime, wait: Patient) -> None:
    chat = Service(time, lambda target: [Window(f"chat:{target}", 1, 1.0)])
    await publish(database, *numbered(30, severity=Severity.critical))
    await database.write(add_subscriptions, wanted())
    async with delivering(database, {"chat": chat}, time):
        await wait.until(lambda: len(chat.accepted) == 5)
        await publish(database, event("fresh", severity=Severity.debug))
        await done(wait)
    place = chat.texts().index("fresh")
    assert place <= 7
    assert [text for text in chat.texts() if text != "fresh"] == [f"{number}" for number in range(30)]


async def test_an_end_of_the_daemon_at_any_commit_loses_and_repeats_nothing(
    database: Watched, time: HeldTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "_CHUNK", 3)
    await publish(database, *numbered(40), event("before"))
    await database.write(add_subscriptions, wanted())
    chat, wait = Service(time), Patient(database, time)
    for made in range(3, 42, 4):
        async with delivering(database, {"chat": chat}, time):
            await wait.until_rows("SELECT made FROM backlogs", lambda found, made=made: found[0]["made"] >= made)  # type: ignore[misc]
    async with delivering(database, {"chat": chat}, time):
        deliveries = await done(wait)
    assert [row["message"] for row in deliveries] == [*(f"{number}" for number in range(40)), "before"]
    assert {row["status"] for row in deliveries} <= {"delivered", "uncertain"}
    assert (await select(database, "SELECT made FROM backlogs"))[0]["made"] == 41


async def test_a_destination_is_not_told_again_of_what_another_subscription_told_it(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    first = await subscribe(database, "t.a", "chat:a")
    async with delivering(database, {"chat": chat}, time) as delivery:
        await publish(database, event("known"), event("new", "t.b"))
        await wait.until(lambda: chat.texts() == ["known"])
        await wait.until_all_ended()
        second = (await database.write(add_subscriptions, wanted()))[0]
        delivery.catch_up()
        deliveries = await done(wait)
        assert chat.texts() == ["known", "new"]
        assert await delivery.replay_event(deliveries[0]["event"])
    told = {(row["message"], row["subscription"]): (row["status"], row["error"]) for row in deliveries}
    assert told["known", second] == ("suppressed", f"chat:a was already told by subscription {first}")
    assert told["new", second] == ("delivered", None)


async def test_an_event_that_was_replayed_to_it_meanwhile_is_not_told_a_second_time(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    one, two = numbered(2)
    await publish(database, one, two)
    async with delivering(database, {"chat": chat}, time) as delivery:
        await database.write(add_subscriptions, wanted())
        await delivery.replay_event(two.id)
        delivery.catch_up()
        await done(wait)
    assert sorted(chat.texts()) == ["0", "1"]


async def test_one_that_ended_meanwhile_is_told_nothing_more(
    database: Watched, time: HeldTime, wait: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "_CHUNK", 2)
    chat = Service(time, lambda target: [Window(f"chat:{target}", 1, 1.0)])
    await publish(database, *numbered(20))
    mine = (await database.write(add_subscriptions, wanted()))[0]
    async with delivering(database, {"chat": chat}, time) as delivery:
        await wait.until(lambda: len(chat.accepted) == 2)
        await database.write(end_subscriptions, Ended(id=mine, at=5))
        await delivery.refresh()
        await done(wait)
    assert len(chat.accepted) <= 3


async def test_the_configuration_says_since_when_once_and_never_again(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    await publish(database, *numbered(3))

    async def start(*all_of_them: Wanted) -> None:
        await database.write(sync_configured, Configured(wanted=all_of_them, at=2))
        async with delivering(database, {"chat": chat}, time):
            await wait.until_rows("SELECT * FROM backlogs WHERE ended_at IS NULL", lambda found: not found)
            await wait.until_all_ended()

    await start(wanted())
    assert chat.texts() == ["0", "1", "2"]
    await start(wanted())
    await start(wanted(since=Since(at=-5)))
    await start()
    await start(wanted())
    assert chat.texts() == ["0", "1", "2"]
    assert len(await select(database, "SELECT * FROM backlogs")) == 1


async def test_an_event_that_is_not_there_makes_no_subscription(database: Watched) -> None:
    with pytest.raises(ValueError, match="deleted as old"):
        await database.write(add_subscriptions, wanted(since=Since(event="nobody")))
    assert await select(database, "SELECT * FROM subscriptions") == []


async def test_several_pasts_are_told_side_by_side(
    database: Watched, time: HeldTime, wait: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backlog, "_CHUNK", 5)
    chat = Service(time)
    await publish(database, *numbered(30))
    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(database.write, add_subscriptions, wanted(to=f"chat:{name}"))
    async with delivering(database, {"chat": chat}, time):
        await done(wait, 3)
    assert by_target(chat.accepted) == {name: [f"{number}" for number in range(30)] for name in "abc"}
