from __future__ import annotations

from itertools import pairwise
from math import inf

import anyio

from notifiers.channels import DeliveryError, Reason
from notifiers.channels.inbox import open_inbox
from notifiers.database import Database
from notifiers.outcomes import Patience
from notifiers.progress import NOTE
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


async def test_the_unreachable_is_tried_until_it_answers_and_in_order(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    wait.step = 20.0
    chat = Service(time)

    async def down_for_ten_minutes(call: Call) -> None:
        if call.at < 600:
            raise DeliveryError("no route", Reason.unreachable)

    chat.script = down_for_ten_minutes
    await subscribe(database, ">", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, *(event(f"{number}") for number in range(5)))
        rows = await wait.until_all_ended()

    assert chat.texts() == [f"{number}" for number in range(5)]
    assert {row["status"] for row in rows} == {"delivered"}
    assert {row["error"] for row in rows} == {None}
    assert len(chat.calls) < 40


async def test_what_stays_unreachable_for_days_is_dead_and_the_owner_is_told(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    wait.step = 60.0
    chat = Service(time)

    async def down(call: Call) -> None:
        if call.target == "a":
            raise DeliveryError("no route", Reason.unreachable)

    chat.script = down
    await subscribe(database, "t.>", "chat:a")
    patience = Patience(give_up=3600.0)
    async with (
        open_inbox(database, time.clock) as inbox,
        delivering(database, {"chat": chat, "inbox": inbox}, time, owner="chat:boss", patience=patience),
    ):
        await publish(database, event("lost"))
        rows = await wait.until_all_ended()
        await wait.until(lambda: bool(chat.texts("boss")))
        await wait.until_rows("SELECT * FROM inbox", bool)

    assert [row["status"] for row in rows if row["destination"] == "chat:a"] == ["dead"]
    assert "given up" in rows[0]["error"]
    assert "no route" in chat.texts("boss")[0]


async def test_a_lost_answer_is_sent_once_more_and_marked(database: Database, time: HeldTime, wait: Patient) -> None:
    chat = Service(time)

    async def lose_first(call: Call) -> None:
        if len(chat.calls) == 1:
            chat.accepted.append(call)
            raise DeliveryError("reset", Reason.answer_lost, uncertain=True)

    chat.script = lose_first
    await subscribe(database, ">", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("one"), event("two"))
        rows = await wait.until_all_ended()

    assert chat.texts() == ["one", f"{NOTE} one", "two"]
    assert [(row["status"], row["doubtful"]) for row in rows] == [("uncertain", 1), ("delivered", 0)]
    assert "may have arrived more than once" in rows[0]["error"]
    assert rows[0]["receipts"] != "[]"


async def test_an_answer_that_is_lost_twice_ends_uncertain_with_two_sendings(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)

    async def lose(_: Call) -> None:
        raise DeliveryError("reset", Reason.answer_lost, uncertain=True)

    chat.script = lose
    await subscribe(database, "t.>", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("one"))
        rows = await wait.until_all_ended()

    assert [call.text for call in chat.calls] == ["one", f"{NOTE} one"]
    assert [(row["status"], row["doubtful"], row["receipts"]) for row in rows] == [("uncertain", 2, "[null]")]


async def test_a_lost_answer_in_the_middle_repeats_that_part_alone(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)

    async def lose_second(call: Call) -> None:
        if len(chat.calls) == 2:
            chat.accepted.append(call)
            raise DeliveryError("reset", Reason.answer_lost, uncertain=True)

    chat.script = lose_second
    await subscribe(database, ">", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("one\ntwo\nthree"))
        rows = await wait.until_all_ended()

    assert chat.texts() == ["one", "two", NOTE, "two", "three"]
    assert [(row["status"], row["parts"]) for row in rows] == [("uncertain", 4)]


async def test_a_hold_is_obeyed_for_its_destination_alone(database: Database, time: HeldTime, wait: Patient) -> None:
    chat = Service(time)

    async def flood(call: Call) -> None:
        if call.target == "a" and len(by_target(chat.calls)["a"]) == 1:
            raise DeliveryError("slow down", Reason.rate_limited, retry_after=30.0)

    chat.script = flood
    for destination in ("chat:a", "chat:b"):
        await subscribe(database, ">", destination)
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("one"), event("two"), event("three", severity=Severity.critical))
        rows = await wait.until_all_ended()
    refused, *later = [call.at for call in chat.calls if call.target == "a"]

    assert min(later) - refused >= 30.0
    assert max(call.at for call in chat.calls if call.target == "b") < 5
    assert {row["status"] for row in rows} == {"delivered"}
    assert {row["doubtful"] for row in rows} == {0}


async def test_a_permanent_refusal_is_dead_with_the_services_words_and_the_next_goes_on(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)

    async def refuse(call: Call) -> None:
        if call.text == "bad":
            raise DeliveryError("message text\x00 is \ud800 empty", Reason.refused, permanent=True)

    chat.script = refuse
    await subscribe(database, "t.>", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("bad"), event("good"))
        rows = await wait.until_all_ended()

    assert [row["status"] for row in rows] == ["dead", "delivered"]
    assert rows[0]["error"] == "refused: message text␀ is ? empty"
    assert rows[0]["attempts"] == 1


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


async def test_a_channel_that_breaks_stops_nothing_and_is_not_asked_for_ever(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)

    async def break_down(call: Call) -> None:
        if call.text.endswith("poison"):
            raise KeyError("https://api.test/bot123:SECRET/sendMessage")

    chat.script = break_down
    await subscribe(database, "t.>", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("poison"), event("good"))
        rows = await wait.until_all_ended()

    assert [row["status"] for row in rows] == ["uncertain", "delivered"]
    assert [call.text for call in chat.calls] == ["poison", f"{NOTE} poison", "good"]
    assert "KeyError" in rows[0]["error"]
    assert "SECRET" not in str(rows)


async def test_a_message_that_cannot_be_rendered_is_dead_after_five_tries(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)

    def broken(_: object) -> None:
        raise RuntimeError("no words")

    await subscribe(database, "t.>", "chat:a")
    async with delivering(database, {"chat": chat}, time, wording=broken):
        await publish(database, event("one"))
        rows = await wait.until_all_ended()

    assert [(row["status"], row["attempts"]) for row in rows] == [("dead", 5)]
    assert chat.calls == []


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
    from notifiers.subscriptions import Ended, end_subscriptions

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


async def test_a_dead_delivery_is_tried_again_when_asked_and_a_delivered_one_is_not(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)
    full = True

    async def refuse(call: Call) -> None:
        if full and call.text == "bad":
            raise DeliveryError("no", Reason.refused, permanent=True)

    chat.script = refuse
    await subscribe(database, "t.>", "chat:a")
    async with delivering(database, {"chat": chat}, time) as delivery:
        await publish(database, event("bad"), event("good"))
        rows = await wait.until_all_ended()
        full = False
        asked = [await delivery.replay_delivery(row["id"]) for row in rows]
        rows = await wait.until_all_ended()

    assert asked == [True, False]
    assert [row["status"] for row in rows] == ["delivered", "delivered"]
    assert chat.texts() == ["good", "bad"]


async def test_a_poison_message_lets_the_younger_pass_after_a_while(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    wait.step = 20.0
    chat = Service(time)

    async def trip(call: Call) -> None:
        if call.text == "poison":
            raise DeliveryError("internal_error", Reason.server_error)

    chat.script = trip
    await subscribe(database, "t.>", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("poison"), event("good"))
        await wait.until(lambda: bool(chat.accepted))
        rows = await select(database, "SELECT status FROM deliveries ORDER BY event_seq")

    assert chat.texts() == ["good"]
    assert rows[0]["status"] in ("pending", "sending")
    assert chat.accepted[0].at >= 900


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
