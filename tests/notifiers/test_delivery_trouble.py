"""A sending that fails: what is tried again, what is marked as doubtful, and what is given up."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from notifiers.channels import DeliveryError, Reason
from notifiers.channels.inbox import open_inbox
from notifiers.database import Database
from notifiers.outcomes import Patience
from notifiers.progress import NOTE
from rules.event import Severity
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


async def test_an_outage_behind_a_gateway_costs_few_messages_both_their_tries(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time)

    async def away(_: Call) -> None:
        if time.seconds < 600:
            raise DeliveryError("502 Bad Gateway", Reason.answer_lost, uncertain=True)

    chat.script = away
    await subscribe(database, "t.>", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, *(event(str(number)) for number in range(100)))
        rows = await wait.until_all_ended()

    ends = [row["status"] for row in rows]
    assert ends.count("uncertain") <= 20
    assert ends.count("delivered") == 100 - ends.count("uncertain")


class Asked(Service):
    """A service that can be asked whether it answers."""

    def __init__(self, time: HeldTime, away: Callable[[], bool]) -> None:
        super().__init__(time)
        self.away = away
        self.asked: list[float] = []

        async def lose(_: Call) -> None:
            if away():
                raise DeliveryError("502 Bad Gateway", Reason.answer_lost, uncertain=True)

        self.script = lose

    async def answers(self) -> None:
        self.asked.append(self.time.seconds)
        if self.away():
            raise DeliveryError("502 Bad Gateway", Reason.answer_lost, uncertain=True)


async def test_nothing_is_risked_until_a_service_in_trouble_answers_again(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat = Asked(time, lambda: time.seconds < 600)
    await subscribe(database, "t.>", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, *(event(str(number)) for number in range(30)))
        rows = await wait.until_all_ended()

    assert [call.text for call in chat.calls if call.at < 600] == ["0"]
    assert sorted(call.text for call in chat.calls if call.at >= 600) == sorted(
        [f"{NOTE} 0", *(str(number) for number in range(1, 30))]
    )
    assert [row["status"] for row in rows] == ["uncertain", *["delivered"] * 29]
    assert max(later - sooner for sooner, later in pairwise(chat.asked)) <= 70


async def test_after_a_restart_a_service_is_asked_before_a_message_is_sent_again(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    chat = Asked(time, lambda: time.seconds < 600)
    await subscribe(database, "t.>", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("one"))
        await wait.until(lambda: bool(chat.asked))
    async with delivering(database, {"chat": chat}, time):
        (row,) = await wait.until_all_ended()

    assert [call.text for call in chat.calls] == ["one", f"{NOTE} one"]
    assert row["status"] == "uncertain"


async def test_a_service_that_will_not_be_asked_is_sent_the_message_all_the_same(
    database: Database, time: HeldTime, wait: Patient
) -> None:
    class Unwilling(Asked):
        async def answers(self) -> None:
            self.asked.append(self.time.seconds)
            raise DeliveryError("unknown method", Reason.refused, permanent=True)

    chat = Unwilling(time, lambda: len(chat.calls) < 2)
    await subscribe(database, "t.>", "chat:a")
    async with delivering(database, {"chat": chat}, time):
        await publish(database, event("one"))
        (row,) = await wait.until_all_ended()

    assert len(chat.asked) == 1
    assert chat.texts() == [f"{NOTE} one"]
    assert row["status"] == "uncertain"


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
