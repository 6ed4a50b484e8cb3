"""The program ends at any moment; it starts again on the same database. What was promised holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from anyio.lowlevel import checkpoint

from notifiers.channels import DeliveryError, Reason
from notifiers.progress import NOTE
from sensord.ledger.database import open_database
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
    subscribe,
)

ENDED = ("delivered", "suppressed", "uncertain", "dead")


class Fate(Service):
    """A service that takes, refuses, loses the answer, or is down, by lot; and remembers what it took."""

    def __init__(self, time: HeldTime, random: Random) -> None:
        super().__init__(time)
        self.random = random
        self.script = self._by_lot
        self.answer = self._slowly

    async def _slowly(self, _: Call) -> None:
        if self.random.random() < 0.3:
            await self.time.clock.sleep(self.random.random())

    async def _by_lot(self, call: Call) -> None:
        if self.random.random() < 0.3:
            await self.time.clock.sleep(self.random.random())
        lot = self.random.random()
        if lot < 0.1:
            raise DeliveryError("no route", Reason.unreachable)
        if lot < 0.15:
            raise DeliveryError("slow down", Reason.rate_limited, retry_after=self.random.random() * 3)
        if lot < 0.2:
            self.accepted.append(call)
            raise DeliveryError("reset after the request", Reason.answer_lost, uncertain=True)
        if lot < 0.25:
            raise DeliveryError("reset before the request", Reason.answer_lost, uncertain=True)


async def live_for_a_while(
    url: str, time: HeldTime, chat: Fate, random: Random, publishing: list[str]
) -> dict[str, str]:
    """One life of the program, ended without notice at some step; the terminal states it leaves behind."""
    async with open_database(url) as opened:
        database = Watched(opened)
        wait = Patient(database, time)
        steps = random.randrange(1, 40)
        async with delivering(database, {"chat": chat}, time) as delivery:
            for _ in range(steps):
                if publishing and random.random() < 0.5:
                    await publish(database, event(publishing.pop(0)))
                    delivery.wake()
                if random.random() < 0.5:
                    await wait._pass()
                else:
                    await checkpoint()
        return {
            row["id"]: row["status"]
            for row in await select(database, "SELECT * FROM deliveries")
            if row["status"] in ENDED
        }


async def torture(url: str, seed: int) -> None:
    random, time = Random(seed), HeldTime()
    chat = Fate(time, random)
    messages = [f"m{number}" + "\nsecond" * (number % 3 == 0) for number in range(12)]
    waiting = list(messages)
    async with open_database(url) as opened:
        for destination in ("chat:a", "chat:b", "chat:c"):
            await subscribe(Watched(opened), "t.>", destination)
    ended: dict[str, str] = {}
    for _ in range(8):
        now = await live_for_a_while(url, time, chat, random, waiting)

        assert {one: now[one] for one in ended} == ended, "a terminal state changed"

        ended = now
    async with open_database(url) as opened:
        database = Watched(opened)
        async with delivering(database, {"chat": chat}, time):
            await publish(database, *(event(message) for message in waiting))
            rows = await Patient(database, time, step=0.5).until_all_ended()

    assert {row["id"]: row["status"] for row in rows if row["id"] in ended} == ended
    assert len(rows) == 3 * len(messages)
    check(chat, rows, messages)


def check(chat: Fate, rows: list[dict[str, object]], messages: list[str]) -> None:
    copies = Counter((call.target, call.text.removeprefix(f"{NOTE} ")) for call in chat.accepted)
    for row in rows:
        assert row["status"] in ("delivered", "uncertain"), row
        target, title = str(row["destination"]).removeprefix("chat:"), str(row["message"]).split("\n")[0]
        doubtful = int(str(row["doubtful"]))
        got = copies[target, title]

        assert got <= 1 + doubtful, f"{row['message']} arrived {got} times with {doubtful} doubts"
        assert got >= 1 or row["status"] == "uncertain"
        assert (row["status"] == "uncertain") == (doubtful > 0)
    for target in "abc":
        plain = [call.text for call in chat.accepted if call.target == target and not call.text.startswith(NOTE)]
        first = list(dict.fromkeys(text for text in plain if text != "second"))

        # Whatever arrived a second time is marked, and what arrived unmarked came in order.
        assert first == [message.split("\n")[0] for message in messages if message.split("\n")[0] in first]
        assert max(Counter(text for text in plain if text != "second").values(), default=0) <= 1


@pytest.mark.parametrize("seed", range(6))
async def test_whenever_it_ends_nothing_is_lost_and_copies_are_marked(tmp_path: Path, seed: int) -> None:
    await torture(f"sqlite:///{tmp_path / 'l.db'}", seed)


async def test_the_same_holds_on_either_server(database_url: str) -> None:
    await torture(database_url, 1000)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(100, 400))
async def test_many_more_endings(tmp_path: Path, seed: int) -> None:
    await torture(f"sqlite:///{tmp_path / 'l.db'}", seed)


async def test_an_event_published_while_the_program_was_down_is_told(database_url: str) -> None:
    time = HeldTime()
    chat = Service(time)
    async with open_database(database_url) as opened:
        await subscribe(Watched(opened), ">", "chat:a")
    async with open_database(database_url) as opened:
        await publish(Watched(opened), event("while down"))
    async with open_database(database_url) as opened:
        database = Watched(opened)
        async with delivering(database, {"chat": chat}, time):
            await Patient(database, time).until_all_ended()

    assert chat.texts() == ["while down"]
