"""What is muted or comes in quiet hours waits, is lost in no case, and is told as one digest; on both databases."""

from __future__ import annotations

import orjson
from msgspec.structs import replace

from notifiers.subscriptions import Ended, end_subscriptions
from rules.event import Severity
from rules.pacing import Window
from sensord.ledger.database import open_database
from tests.notifiers.noise_kit import (
    deliveries,
    mute,
    quiet,
    subscribe,
    unmute,
    until_held,
    until_over,
    us,
)
from tests.notifiers.service import (
    HeldTime,
    Patient,
    Service,
    Watched,
    delivering,
    event,
    publish,
    select,
)

HOUR = 3600.0


def titles(chat: Service) -> list[str]:
    return [call.text for call in chat.accepted]


async def test_what_is_muted_is_held_and_told_as_one_digest_when_the_mute_ends(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    await subscribe(database, ">")
    await mute(database, time, 2 * HOUR, "bp.>", why="deploying")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("one", "bp.a"), event("loud", "t.a"), event("two", "bp.b", Severity.error))
        await publish(database, event("fire", "bp.a", Severity.critical))
        held = await until_held(wait, 2)
        assert [row["error"] for row in held] == ["bp.> is muted until 2026-11-21 02:00 UTC by Anna: deploying"] * 2
        wait.step = 600.0
        await wait.until_time(1.7 * HOUR)
        assert sorted(titles(chat)) == ["fire", "loud"]
        await wait.until(lambda: len(chat.accepted) == 4)
        await until_over(wait)

    assert chat.accepted[2].at >= 2 * HOUR
    assert "The mute of bp.> ended (its time is over): 2 messages came meanwhile" in titles(chat)
    rows = {row["message"]: row for row in await deliveries(database)}
    assert {row["status"] for row in rows.values()} == {"delivered"}
    (digest,) = await select(database, "SELECT * FROM digests")
    (carried,) = await select(database, "SELECT * FROM deliveries WHERE subscription = 'digest'")
    for name in ("one", "two"):
        (receipt,) = orjson.loads(rows[name]["receipts"])
        assert receipt == {**orjson.loads(carried["receipts"])[0], "digest": digest["id"]}
        assert rows[name]["digest"] == digest["id"]
        assert rows[name]["attempts"] == 0
    assert rows["fire"]["digest"] is None
    assert "error bp.b: two" in digest["message"]
    (over,) = await select(database, "SELECT message FROM events WHERE topic = 'chat.mute_ended'")
    assert over["message"] == "The mute of bp.> at chat:a ended: its time is over"


async def test_a_mute_ended_by_hand_lets_out_what_it_held_and_nothing_else(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    await subscribe(database, "*.a")
    await mute(database, time, HOUR, "bp.>")
    await mute(database, time, HOUR, "t.>")
    async with delivering(database, {"chat": chat}, time) as delivery:
        await publish(database, event("one", "bp.a"), event("other", "t.a"))
        await until_held(wait, 2)
        assert await unmute(database, time, destinations=["chat:a"], pattern="bp.>") == 1
        await delivery.refresh()
        await wait.until(lambda: bool(chat.accepted))
        (left,) = await until_held(wait, 1)

    assert titles(chat) == ["The mute of bp.> ended (Anna): 1 message came meanwhile"]
    assert left["error"].startswith("t.> is muted")
    assert time.seconds < HOUR / 2


async def test_a_mute_in_which_nothing_came_says_so_and_a_long_one_reminds_every_day(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    await subscribe(database, "*.a")
    await mute(database, time, 2.5 * 24 * HOUR, "bp.>", why="new loader")
    await mute(database, time, HOUR, "t.>")
    async with delivering(database, {"chat": chat}, time):
        wait.step = 600.0
        await publish(database, event("one", "bp.a"))
        await wait.until(lambda: len(chat.accepted) == 6)
        await until_over(wait)

    days = [round(call.at / 24 / HOUR, 1) for call in chat.accepted]
    assert titles(chat)[0] == "The mute of t.> ended (its time is over): nothing came meanwhile"
    assert [text for text in titles(chat) if text.startswith("Still")] == [
        "Still muted: bp.>, until 23 Nov 12:00 UTC"
    ] * 2
    assert "The mute of bp.> ended (its time is over): 1 message came meanwhile" in titles(chat)
    assert days == [0.0, 1.0, 1.0, 2.0, 2.0, 2.5]


async def test_a_mute_of_a_job_ends_with_its_next_success(database: Watched, time: HeldTime, wait: Patient) -> None:
    chat = Service(time)
    await subscribe(database, "runs.>")
    await publish(database, event("earlier", "runs.load.succeeded", job="load"))
    await mute(database, time, 7 * 24 * HOUR, job="load")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("bad", "runs.load.failed", Severity.error, job="load"))
        await publish(database, event("elsewhere", "runs.tell.failed", Severity.error, job="tell"))
        await wait.until(lambda: "elsewhere" in titles(chat))
        await until_held(wait, 1)
        await publish(database, event("good", "runs.load.succeeded", job="load"))
        await until_over(wait)

    assert sorted(titles(chat)[:2]) == ["earlier", "elsewhere"]
    assert sorted(titles(chat)[2:]) == ["The mute of job load ended (it succeeded): 1 message came meanwhile", "good"]
    assert time.seconds < HOUR


async def test_nothing_but_what_is_critical_is_told_in_quiet_hours_and_everything_afterwards(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    await subscribe(database, ">")
    await quiet(database, time, "00:30-08:00 Europe/Lisbon")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("before"))
        await wait.until(lambda: bool(chat.accepted))
        wait.step = 600.0
        await wait.until_time(HOUR)
        await publish(database, event("one"), event("two", severity=Severity.error))
        await publish(database, event("fire", severity=Severity.critical))
        await until_held(wait, 2)
        await wait.until_time(7.7 * HOUR)
        assert titles(chat) == ["before", "fire"]
        await until_over(wait)
        await publish(database, event("after"))
        await until_over(wait)

    assert titles(chat) == ["before", "fire", "2 messages came in the quiet hours", "after"]
    assert 8 * HOUR <= chat.accepted[2].at < 8.4 * HOUR


async def test_one_message_of_quiet_hours_is_told_as_itself_and_lifted_hours_hold_nothing(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    await subscribe(database, ">")
    await quiet(database, time, "00:00-08:00")
    async with delivering(database, {"chat": chat}, time) as delivery:
        await publish(database, event("one"))
        await until_held(wait, 1)
        await quiet(database, time, None)
        await delivery.refresh()
        await until_over(wait)
    (row,) = await deliveries(database)

    assert titles(chat) == ["one"]
    assert (row["status"], row["error"], row["held_by"]) == ("delivered", None, None)


async def test_what_waits_when_the_quiet_begins_is_held_and_costs_nothing_of_the_limits(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time, lambda target: [Window(target, 1, 600.0)])
    await subscribe(database, "t.a")
    await mute(database, time, HOUR, "t.a")
    await publish(database, *(event(f"{number}") for number in range(8)))
    async with delivering(database, {"chat": chat}, time) as delivery:
        await until_held(wait, 8)
        before = time.seconds
        await unmute(database, time, destinations=["chat:a"])
        await quiet(database, time, "00:00-06:00")
        await delivery.refresh()
        await wait.until_rows("SELECT DISTINCT held_by FROM deliveries", lambda rows: rows == [{"held_by": "quiet"}])
        assert time.seconds - before < 600
        wait.step = 600.0
        await until_over(wait)

    # The mute was over in the quiet hours, and says so after them.
    assert titles(chat) == ["The mute of t.a ended (Anna): nothing came meanwhile; 8 messages in all"]
    assert chat.accepted[0].at >= 6 * HOUR


async def test_a_digest_that_waits_when_the_quiet_begins_is_put_off(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    answered: list[str] = []

    async def take_long(_: object) -> None:
        if not answered:
            answered.append("once")
            await time.clock.sleep(HOUR)

    chat.script = take_long
    await subscribe(database, "*.a")
    await mute(database, time, 60, "bp.>")
    await quiet(database, time, "00:30-06:00")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("one", "bp.a"), event("two", "bp.a"), event("slow"))
        wait.step = 20.0
        await wait.until_time(HOUR)
        wait.step = 600.0
        await until_over(wait)
    (first, second) = await select(database, "SELECT * FROM deliveries WHERE subscription = 'digest' ORDER BY id")

    assert titles(chat) == ["slow", "2 messages came in the quiet hours"]
    assert (first["status"], first["error"]) == ("suppressed", "put off: quiet hours: 00:30-06:00 UTC")
    assert second["status"] == "delivered"
    assert {row["status"] for row in await deliveries(database) if row["message"] in ("one", "two")} == {"delivered"}


async def test_what_is_held_survives_restarts_and_moves_and_ends_with_its_subscription(
    database_url: str, time: HeldTime
) -> None:
    chat = Service(time)
    async with open_database(database_url) as opened:
        database = Watched(opened)
        kept, ended = await subscribe(database, "t.a"), await subscribe(database, "t.b")
        await mute(database, time, HOUR)
        await publish(database, event("one"), event("two"), event("gone", "t.b"))
        async with delivering(database, {"chat": chat}, time):
            await until_held(Patient(database, time), 3)
    time.seconds += 2 * HOUR
    async with open_database(database_url) as opened:
        database = Watched(opened)
        await database.write(end_subscriptions, Ended(id=ended, at=us(time)))
        async with delivering(database, {"chat": chat}, time):
            await until_over(Patient(database, time))
        rows = {row["message"]: row for row in await deliveries(database)}

    assert titles(chat) == ["The mute of everything ended (its time is over): 2 messages came meanwhile"]
    assert (rows["gone"]["status"], rows["gone"]["error"]) == ("suppressed", "unsubscribed")
    assert rows["one"]["subscription"] == kept


async def test_a_subscription_is_told_at_the_times_that_it_asks_for(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    await subscribe(database, "bp.>", digest="daily 09:00 Europe/Lisbon")
    await subscribe(database, "t.>", "chat:b", quiet="00:00-03:00")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("one", "bp.a"), event("two", "bp.b"), event("fire", "bp.a", Severity.critical))
        await publish(database, event("x", "t.a"), event("y", "t.a"))
        held = await until_held(wait, 4)
        assert held[0]["error"] == "waits for the digest: daily 09:00 Europe/Lisbon"
        wait.step = 600.0
        await until_over(wait)
        await publish(database, event("alone", "bp.a"))
        await until_over(wait)

    told = [(round(call.at / HOUR, 1), call.target, call.text) for call in chat.accepted]
    assert told == [
        (0.0, "a", "fire"),
        (3.0, "b", "2 messages came in the quiet hours"),
        (9.0, "a", "2 messages since the last digest"),
        (33.0, "a", "alone"),
    ]


async def test_failures_are_told_after_so_many_in_a_row_and_the_count_survives_restarts(
    database_url: str, time: HeldTime
) -> None:
    chat = Service(time)

    async with open_database(database_url) as opened:
        database = Watched(opened)
        patient = await subscribe(database, "runs.*.failed", after=3)
        await subscribe(database, "quality.>", after=2)
    said = [
        ("runs.load.failed", "1"),
        ("runs.load.failed", "2"),
        ("runs.tell.failed", "other job"),
        ("runs.load.succeeded", "well"),
        ("runs.load.failed", "1 again"),
        ("runs.load.lost", "2 again"),
        ("runs.load.failed", "3 again"),
        ("runs.load.failed", "4 again"),
        ("quality.load.failed", "nulls"),
        ("quality.load.failed", "rows"),
        ("quality.load.failed", "rows"),
    ]
    for topic, message in said:
        kind = "run" if topic.startswith("runs") else "quality"
        one = event(
            message,
            topic,
            Severity.error,
            job=topic.split(".")[1],
            data={"check": message} if kind == "quality" else {},
        )
        async with open_database(database_url) as opened:
            database = Watched(opened)
            await publish(database, replace(one, type=f"{kind}.{topic.rpartition('.')[2]}"))
            async with delivering(database, {"chat": chat}, time):
                await until_over(Patient(database, time))
            rows = await deliveries(database)

    assert titles(chat) == ["3 again", "4 again", "rows"]
    reasons = [row["error"] for row in rows if row["subscription"] == patient and row["status"] == "suppressed"]
    assert reasons == [f"failure {count} in a row; told after 3" for count in (1, 2, 1, 1)]
