"""kill -9 at random points while the provider fails, loses answers and is down: each row ends, none is missing.

Short here, with one minute instead of ten; `pytest -m campaign -k told_through_kills -s` has 10,000 events, 200 kills.
A gateway's 502 is an answer that may stand for a message that went through, so an outage leaves rows in doubt as well.
"""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.campaigns.telling_process import Life
from tests.doubles.telegram import Fault, Limits, TelegramDouble, open_double

ROOT = Path(__file__).parents[2]
DOWN_S = 600.0
SPEED = 60.0  # Faster, and what looks around every two seconds does nothing else.


@dataclass(kw_only=True)
class Outage(Fault):
    """From its `at`th call on the provider is down for `seconds`, whoever calls."""

    began: float | None = None

    def strikes(self, chat: str, chance: Callable[[], float]) -> bool:  # noqa: ARG002 - it is down for all
        self.seen += 1
        if self.began is None and self.seen > self.at:
            self.began = time.monotonic()
        return self.began is not None and time.monotonic() < self.began + self.seconds


def faults(events: int, down: float) -> list[Fault]:
    """10 % of the calls fail, of 5 % the answer is lost, and after a third of them it is down for so many seconds."""
    outage = Outage(kind="502", everywhere=True, at=events // 3, seconds=down / SPEED)
    return [outage, Fault(kind="500", rate=0.1, count=None), Fault(kind="lost", rate=0.05, count=None)]


async def told_through_kills(folder: Path, *, events: int, kills: int, chats: int, down: float, seed: int) -> str:
    random = Random(seed)
    misery = faults(events, down)
    async with open_double(limits=Limits(enforce=False), faults=misery, seed=seed) as double, processes() as run:
        path = folder / "told.db"
        life = Life(
            database=f"sqlite:///{path}", url=double.url, token=double.token, events=events, chats=chats, speed=SPEED,
            since=time.time(),
        )  # fmt: skip
        died = 0
        while died < kills:
            # Each message takes three transactions and calls or four: some are left for every death.
            left = max(0, events - len(double.committed))
            ended = await run(replace(life, dies_at=random.randrange(1, max(20, 6 * left // (kills - died)))))
            if ended == 0:
                break  # All was told before it could die.
            assert ended == -9, f"it ended by itself, with {ended}"
            died += 1
            if died % 20 == 0:
                print(f"killed {died} times, {len(double.committed)} messages came", flush=True)
        assert await run(life) == 0
        assert died == kills, f"all was told after {died} kills"
        return judge(path, double, events, died)


@asynccontextmanager
async def processes() -> AsyncIterator[Callable[[Life], Awaitable[int]]]:
    """What makes a process of its own for each life, and says how it ended."""
    command = [sys.executable, "-m", "tests.campaigns.telling_process"]
    async with await anyio.open_process(command, cwd=ROOT, stderr=None) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        answers = BufferedByteReceiveStream(server.stdout)

        async def run(life: Life) -> int:
            assert server.stdin is not None
            await server.stdin.send(json.dumps(asdict(life)).encode() + b"\n")
            with anyio.fail_after(600):
                return int(await answers.receive_until(b"\n", 10))

        yield run
        await server.stdin.aclose()


def judge(path: Path, double: TelegramDouble, events: int, kills: int) -> str:
    """Hold the rows against what the provider has seen."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    query = "SELECT e.message, d.status, d.doubtful FROM deliveries d JOIN events e ON e.id = d.event"
    rows = connection.execute(query).fetchall()
    connection.close()
    came = Counter(number for call in double.committed for number in re.findall(r"message \d+\.", call.text))
    assert sorted(message for message, _, _ in rows) == sorted(f"message {number}." for number in range(events))
    never = copies = 0
    for message, status, doubtful in rows:
        assert status in ("delivered", "uncertain"), f"{message} is {status}"
        assert (status == "uncertain") == (doubtful > 0), message
        assert came[message] <= 1 + doubtful, f"{message} came {came[message]} times, {doubtful} times in doubt"
        assert came[message] or doubtful > 1, f"{message} never came, and is {status}"
        never += not came[message]
        copies += max(0, came[message] - 1)
    doubts = sum(doubtful > 0 for _, _, doubtful in rows)
    return (
        f"{events} events, {kills} kills, {len(double.requests)} calls: {doubts} rows uncertain, {copies} copies, "
        f"{never} whose answers were both lost and that never came"
    )


async def test_told_through_twenty_kills_every_row_ends_and_copies_are_only_where_in_doubt(tmp_path: Path) -> None:
    print(await told_through_kills(tmp_path, events=200, kills=20, chats=4, down=DOWN_S / 10, seed=7))


@pytest.mark.campaign
async def test_told_through_two_hundred_kills(tmp_path: Path) -> None:
    seed = int(time.time())
    print(await told_through_kills(tmp_path, events=10_000, kills=200, chats=40, down=DOWN_S, seed=seed), seed)
