"""More than a chat takes becomes a digest: nothing lost, nothing twice, and every delivery ended; on both databases."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
from anyio.lowlevel import checkpoint

from notifiers.channels import DeliveryError, Reason
from notifiers.digests import read_digest
from notifiers.message import Pre
from rules.event import Severity
from sensord.ledger.database import open_database
from tests.notifiers.noise_kit import deliveries, group, subscribe, until_over
from tests.notifiers.service import (
    Call,
    HeldTime,
    Patient,
    Service,
    Watched,
    delivering,
    event,
    publish,
    select,
)
from tests.notifiers.test_telling_telegram import GROUP, telegram

FAILED = "runs.load.failed"


def failures(count: int) -> list[Any]:
    return [event(f"failure {number}", FAILED, Severity.error) for number in range(count)]


async def in_digests(database: Watched) -> list[str]:
    """The messages that digests' texts and files hold."""
    found: list[str] = []
    for row in await select(database, "SELECT id FROM digests"):
        _, message = await database.read(lambda conn, id_=row["id"]: read_digest(conn, id_))  # type: ignore[misc]
        files = [csv.DictReader(io.StringIO(file.content.decode())) for file in message.attachments]
        found += [line["message"] for file in files for line in file]
        whole = [line for block in message.body if isinstance(block, Pre) for line in block.text.splitlines()]
        if not files:
            found += [line.partition(": ")[2] for line in whole or [text for _, text in message.facts]]
    return found


async def test_a_burst_of_500_failures_to_a_group_is_a_few_messages_and_all_of_them_can_be_read(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    await subscribe(database, "runs.>", f"telegram:{GROUP}")
    async with (
        telegram(database, time) as (double, channel),
        delivering(database, {"telegram": channel}, time, digested=["telegram"]),
    ):
        for start in range(0, 500, 100):
            await publish(database, *failures(500)[start : start + 100])
        await until_over(wait)
        texts = double.chats.get(GROUP).texts()
        first_minute = [call for call in double.requests if call.at < 60]
        files = [
            double.file(GROUP, number) for number, one in double.chats.get(GROUP).messages.items() if "document" in one
        ]

    assert double.requests[0].at < 2
    assert len(first_minute) <= 6
    assert len(double.requests) == len(double.committed) <= 7
    assert texts[0].splitlines()[0].endswith("failure 0")
    assert "messages came close together" in texts[1]
    read = [line["message"] for _, content in files for line in csv.DictReader(io.StringIO(content.decode()))]
    alone = [text.splitlines()[0].split(" ", 1)[1] for text in texts if "failure" in text.splitlines()[0]]
    assert sorted([*read, *alone]) == sorted(one.message for one in failures(500))
    rows = await deliveries(database)
    assert {row["status"] for row in rows} == {"delivered"}
    assert all(orjson.loads(row["receipts"])[0]["message_id"] for row in rows)
    assert all((row["digest"] is None) == (row["attempts"] == 1) for row in rows)


async def test_while_a_storm_goes_on_there_is_a_digest_a_minute_and_critical_passes(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time, group)
    await subscribe(database, ">")
    async with delivering(database, {"chat": chat}, time, digested=["chat"]) as delivery:
        for second in range(200):
            await publish(database, *(event(f"{second}.{number}", "t.a") for number in range(3)))
            if second == 100:
                await publish(
                    database, event("worse", "t.a", Severity.error), event("fire", severity=Severity.critical)
                )
            delivery.wake()
            await wait.until_time(second + 1)
        await until_over(wait)
        await publish(database, event("calm"))
        await until_over(wait)
    times = [call.at for call in chat.accepted]

    assert times[0] < 2
    assert all(sum(start <= at < start + 60 for at in times) <= 6 for start in times)
    assert sum(text.endswith("came close together") for text in chat.texts()) <= 5
    for text in ("worse", "fire"):
        (call,) = [call for call in chat.accepted if call.text == text]
        assert call.at < 104
    assert chat.texts()[-1] == "calm"
    told = Counter([*await in_digests(database), *(text for text in chat.texts() if "came" not in text)])
    assert set(told.values()) == {1}
    assert len(told) == 603


async def test_the_first_of_each_topic_goes_alone_the_most_severe_first(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time, group)
    await subscribe(database, ">")
    await publish(database, *(event(f"{topic} {number}", f"t.{topic}") for number in range(10) for topic in "abcdef"))
    await publish(database, event("bad", "t.f", Severity.error))
    async with delivering(database, {"chat": chat}, time, digested=["chat"]):
        await until_over(wait)

    assert chat.texts() == ["bad", "a 0", "b 0", "58 messages came close together"]


async def test_who_is_told_little_or_where_nobody_reads_is_told_everything(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat, hook = Service(time, group), Service(time, group)
    await subscribe(database, ">")
    await subscribe(database, ">", "hook:b")
    async with delivering(database, {"chat": chat, "hook": hook}, time, digested=["chat"]) as delivery:
        for number in range(12):
            await publish(database, event(f"{number}"))
            delivery.wake()
            await wait.until_time((number + 1) * 5)
        await until_over(wait)

    assert chat.texts() == hook.texts() == [f"{number}" for number in range(12)]


async def test_a_digest_that_cannot_be_delivered_ends_its_members_and_can_be_replayed(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    chat = Service(time, group)

    async def refuse(call: Call) -> None:
        if "close together" in call.text:
            raise DeliveryError("too odd", Reason.refused, permanent=True)

    chat.script = refuse
    await subscribe(database, "runs.>")
    await publish(database, *failures(20))
    async with delivering(database, {"chat": chat}, time, digested=["chat"]) as delivery:
        await until_over(wait)
        dead = [row for row in await deliveries(database) if row["status"] == "dead"]
        assert len(dead) == 19
        assert all(row["error"].startswith(f"in digest {row['digest']}: refused") for row in dead)
        (digest,) = await select(database, "SELECT * FROM deliveries WHERE subscription = 'digest'")
        chat.script = None
        assert await delivery.replay_delivery(dead[0]["id"])
        assert await delivery.replay_delivery(digest["id"])
        await until_over(wait)
        again = await delivery.replay_delivery(digest["id"])

    assert not again
    assert sorted(chat.texts()[1:]) == ["19 messages came close together", dead[0]["message"]]
    assert {row["status"] for row in await deliveries(database)} == {"delivered"}


class Fate(Service):
    """A service that loses answers and breaks down, by lot."""

    def __init__(self, time: HeldTime, random: Random) -> None:
        super().__init__(time, group)
        self.random = random
        self.script = self._by_lot

    async def _by_lot(self, call: Call) -> None:
        lot = self.random.random()
        if lot < 0.1:
            raise DeliveryError("no route", Reason.unreachable)
        if lot < 0.15:
            self.accepted.append(call)
            raise DeliveryError("reset after the request", Reason.answer_lost, uncertain=True)
        if lot < 0.3:
            await self.time.clock.sleep(self.random.random())


async def torture(url: str, seed: int) -> None:
    random, time = Random(seed), HeldTime()
    chat = Fate(time, random)
    unpublished = failures(60)
    async with open_database(url) as opened:
        await subscribe(Watched(opened), "runs.>")
    for life in range(8):
        async with open_database(url) as opened:
            database = Watched(opened)
            wait = Patient(database, time, step=random.choice([0.0, 0.5, 8.0]))
            async with delivering(database, {"chat": chat}, time, digested=["chat"]) as delivery:
                for _ in range(random.randrange(1, 30)):
                    if unpublished and random.random() < 0.5:
                        take = random.randrange(1, 12)
                        await publish(database, *unpublished[:take])
                        del unpublished[:take]
                        delivery.wake()
                    if random.random() < 0.6:
                        await wait._pass()
                    else:
                        await checkpoint()
                if life == 7:
                    await publish(database, *unpublished)
                    await until_over(Patient(database, time, step=5.0))
            rows = await deliveries(database)
            digests = await select(
                database, "SELECT d.status, d.event, d.doubtful FROM deliveries d WHERE subscription = 'digest'"
            )
            listed = Counter(await in_digests(database))

    assert len(rows) == 60
    assert {row["status"] for row in rows} <= {"delivered", "uncertain"}
    ended = {one["event"]: one["status"] for one in digests}
    told = Counter(
        text.removeprefix("Possible repeat: the answer to the first sending was lost. ") for text in chat.texts()
    )
    for row in rows:
        if row["digest"] is not None:
            assert row["status"] == ended[row["digest"]]
            assert listed[row["message"]] == 1
            assert told[row["message"]] == 0, "told alone and in a digest"
        else:
            assert listed[row["message"]] == 0
            assert told[row["message"]] == 1 or row["status"] == "uncertain"


@pytest.mark.parametrize("seed", range(4))
async def test_whenever_it_ends_in_a_burst_each_message_is_told_once_alone_or_in_a_digest(
    tmp_path: Path, seed: int
) -> None:
    await torture(f"sqlite:///{tmp_path / 'l.db'}", seed)


async def test_the_same_holds_on_either_server(database_url: str) -> None:
    await torture(database_url, 1000)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(100, 300))
async def test_many_more_endings(tmp_path: Path, seed: int) -> None:
    await torture(f"sqlite:///{tmp_path / 'l.db'}", seed)
