"""The whole way over real HTTP, to a Bot API that counts strictly and whose clock is held."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

from notifiers.channels import Channel, Part, Receipt
from notifiers.channels.telegram import TelegramConfig, open_telegram
from notifiers.message import Message
from notifiers.progress import NOTE
from notifiers.settings import Secret
from rules.event import Severity
from rules.pacing import Window
from tests.doubles.telegram import Limits, TelegramDouble, open_double
from tests.notifiers.service import HeldTime, Patient, Watched, delivering, event, publish, select, subscribe

GROUP = -1_001_000_000_000


class Meanwhile:
    """A channel during whose calls held time stands still."""

    def __init__(self, inner: Channel, database: Watched) -> None:
        self._inner = inner
        self._database = database

    def render(self, message: Message) -> Sequence[Part]:
        return self._inner.render(message)

    def windows(self, target: str) -> Sequence[Window]:
        return self._inner.windows(target)

    async def send(self, target: str, part: Part) -> Receipt:
        self._database.busy += 1
        try:
            return await self._inner.send(target, part)
        finally:
            self._database.busy -= 1


@asynccontextmanager
async def telegram(database: Watched, time: HeldTime) -> AsyncIterator[tuple[TelegramDouble, Channel]]:
    async with open_double(limits=Limits(tolerance=0.0), monotonic=lambda: time.seconds) as double:
        config = TelegramConfig(token=Secret(double.token), api_url=double.url)
        async with open_telegram(config) as channel:
            yield double, Meanwhile(channel, database)


async def test_a_burst_to_many_chats_and_groups_earns_no_429(database: Watched, time: HeldTime, wait: Patient) -> None:
    random = Random(5)
    chats = [*range(1, 21), *range(GROUP - 4, GROUP)]
    for chat in chats:
        await subscribe(database, f"to.{abs(chat)}", f"telegram:{chat}")
    told = [random.choice(chats) for _ in range(240)]
    async with (
        telegram(database, time) as (double, channel),
        delivering(database, {"telegram": channel}, time),
    ):
        await publish(database, *(event(f"{number}", f"to.{abs(chat)}") for number, chat in enumerate(told)))
        rows = await wait.until_all_ended()

    assert len(double.requests) == len(double.committed) == len(told)
    assert {(row["status"], row["attempts"]) for row in rows} == {("delivered", 1)}
    for chat in chats:
        expected = [f"{number}" for number, to in enumerate(told) if to == chat]

        assert [text.removeprefix("ℹ️ ") for text in double.chats.get(chat).texts()] == expected  # noqa: RUF001
    busiest = max(Counter(told).values())
    assert time.seconds <= 1.05 * max(240 / 30, busiest) + 2


async def test_lost_answers_refusals_and_moves_end_as_promised(
    database: Watched, time: HeldTime, wait: Patient
) -> None:
    for chat in (1, 2, GROUP):
        await subscribe(database, f"to.{abs(chat)}", f"telegram:{chat}")
    async with (
        telegram(database, time) as (double, channel),
        delivering(database, {"telegram": channel}, time),
    ):
        double.chats.add(GROUP, kind="group", state="migrated").moved_to = GROUP - 1
        double.chats.add(GROUP - 1, kind="supergroup")
        double.chats.add(2, kind="private").state = "blocked"
        double.fail_next("lost", chat=1)
        await publish(database, event("one", "to.1", Severity.error), event("two", "to.2"))
        await publish(database, event("three", f"to.{-GROUP}"))
        states = await wait.until_rows(
            "SELECT destination, status FROM deliveries ORDER BY event_seq",
            lambda rows: [row["status"] for row in rows] == ["uncertain", "pending", "delivered"],
        )
        paused = await select(database, "SELECT * FROM destinations WHERE state = 'paused'")
        first, again = double.chats.get(1).texts()

    assert NOTE not in first
    assert NOTE in again
    assert states[2]["destination"] == f"telegram:{GROUP - 1}"
    assert [row["destination"] for row in paused] == ["telegram:2"]
    assert "blocked by the user" in paused[0]["reason"]
