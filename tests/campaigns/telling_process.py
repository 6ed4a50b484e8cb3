"""What of sensord tells, in processes that die: `python -m tests.campaigns.telling_process` takes each `Life` as JSON.

A life publishes what of its events is not published yet, tells everyone, and ends with 0 once each delivery has ended.
But at the `dies_at`th transaction or call, before it or after it, it is gone, as by kill -9. Time passes `speed` times
as fast, from life to life.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import anyio
from sqlalchemy import text

from notifiers.bus.embedded import EmbeddedBus
from notifiers.channels.telegram import TelegramConfig, open_telegram
from notifiers.clock import Clock, new_uuid7
from notifiers.delivery import Delivery, open_delivery
from notifiers.sending import Sending
from notifiers.settings import Secret
from notifiers.subscriptions import Wanted, add_subscriptions
from rules.event import Event
from sensord.ledger import database as ledger

BATCH = 20
# Beside the events of a life there are notices to the owner.
_LEFT = """
SELECT (SELECT count(*) FROM events WHERE topic LIKE 'told.%'),
    (SELECT max(seq) FROM events) - (SELECT max(seq) FROM bus_cursors WHERE name = 'deliveries'),
    (SELECT count(*) FROM deliveries WHERE status IN ('pending', 'sending', 'held'))
"""


@dataclass(frozen=True, kw_only=True)
class Life:
    """How it lives: event number N is for chat 1000 + N modulo `chats`; `since` is when time began to run faster."""

    database: str
    url: str
    token: str
    events: int
    chats: int
    speed: float
    since: float
    dies_at: int = 0

    @property
    def clock(self) -> Clock:
        """A clock that runs `speed` times as fast."""
        return Clock(
            now=lambda: datetime.fromtimestamp(self.since + (time.time() - self.since) * self.speed, UTC),
            monotonic=lambda: time.monotonic() * self.speed,
            sleep=lambda seconds: anyio.sleep(seconds / self.speed),
        )


def arm(dies_at: int) -> None:
    """Count transactions and calls, before and after, and end at that one."""
    left = dies_at

    def passed() -> None:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    commit: Callable[..., Any] = ledger._commit
    attempt: Callable[..., Any] = Sending.attempt

    def committed(*arguments: Any) -> Any:
        passed()
        result = commit(*arguments)
        passed()
        return result

    async def attempted(*arguments: Any) -> Any:
        passed()
        result = await attempt(*arguments)
        passed()
        return result

    setattr(ledger, "_commit", committed)  # noqa: B010 - mypy holds both to their types
    setattr(Sending, "attempt", attempted)  # noqa: B010


def event(number: int, chat: int, now: datetime) -> Event:
    """The event of that number: the same id in every life, on a topic that only its chat is subscribed to."""
    id_ = f"{number:08x}-0000-7000-8000-000000000000"
    return Event(id=id_, type="message", topic=f"told.c{chat}.{number}", time=now, message=f"message {number}.")


async def live(life: Life) -> None:
    """Tell everything; return when all of it is told."""
    clock = life.clock
    config = TelegramConfig(token=Secret(life.token), api_url=life.url)
    async with ledger.open_database(life.database) as database, open_telegram(config) as telegram:
        wanted = [
            Wanted(id=new_uuid7(), topic=f"told.c{chat}.*", destination=f"telegram:{1000 + chat}", at=0, where={})
            for chat in range(life.chats)
        ]
        await database.write_many(add_subscriptions, wanted)
        await telegram.bot()
        async with (
            open_delivery(database, {"telegram": telegram}, clock=clock) as delivery,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(delivery.run)
            await publish_all(life, database, delivery)
            while await left(database) != (life.events, 0, 0):
                await clock.sleep(6.0)
            tasks.cancel_scope.cancel()


async def publish_all(life: Life, database: ledger.LedgerDatabase, delivery: Delivery) -> None:
    """Publish what is not there yet, a few at a time, while the rest is at work."""
    bus, published = EmbeddedBus(database), (await left(database))[0]
    for start in range(published, life.events, BATCH):
        numbers = range(start, min(start + BATCH, life.events))
        now = life.clock.now()
        await bus.publish([event(number, number % life.chats, now) for number in numbers])
        delivery.wake()
        await life.clock.sleep(0.1)


async def left(database: ledger.LedgerDatabase) -> tuple[int, int, int]:
    """Events there are, events not routed, deliveries not ended."""
    found = await database.read(lambda conn: conn.execute(text(_LEFT)).one())
    return found[0], found[1] or 0, found[2]


def serve() -> None:
    """Live each life that comes as a line, in a process of its own, and say how it ended. What is loaded is shared."""
    for line in sys.stdin:
        life = Life(**json.loads(line))
        if (pid := os.fork()) == 0:
            if life.dies_at:
                arm(life.dies_at)
            anyio.run(live, life)
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    importlib.import_module("notifiers.channels.telegram_api")
    serve()
