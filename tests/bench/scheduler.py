"""The scheduler against the strict doubles, in virtual time: refused calls, the makespan, and what is critical.

Start it with `python -m tests.bench scheduler`. It is the real delivery (routing, waiting room, lanes, windows, the
ledger) over real HTTP; only the time is virtual (`virtual_time`), and the doubles judge by the same time. By default a
burst becomes digests, so that few messages are left to schedule: digests are off here, as by `bursts: send`, but in the
last scenario. An answer takes 30 ms.

Beside it, in the same time and against the same doubles, python-telegram-bot's AIORateLimiter and slack-sdk's own
handlers, all messages handed over at once, as a program does that relies on them (`scheduler_peers`).
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from random import Random

import anyio

from notifiers.bus.embedded import EmbeddedBus
from notifiers.channels.slack import SlackConfig, open_slack
from notifiers.channels.telegram import TelegramConfig, open_telegram
from notifiers.clock import Clock, new_uuid7
from notifiers.delivery import open_delivery
from notifiers.settings import Secret
from notifiers.subscriptions import Wanted, add_subscriptions
from rules.event import Event, Severity
from sensord.ledger.database import open_database
from tests.bench.figures import bar, percentile
from tests.bench.scheduler_load import NUMBER, Load, Told, destinations, optimum, windows_of
from tests.bench.scheduler_peers import through_slack, through_telegram
from tests.bench.virtual_time import VirtualLoop, virtually
from tests.doubles.slack import Fault, Room, SlackDouble
from tests.doubles.slack import running as slack_running
from tests.doubles.telegram import Fault as TelegramFault
from tests.doubles.telegram import TelegramDouble
from tests.doubles.telegram import open_double as telegram_running
from tests.notifiers.service import Watched, select

COUNT, PRIVATE, GROUPS, ROOMS = 10_000, 150, 50, 50
INFOS, CRITICALS, APART = 5_000, 300, 0.4
ANSWER_S = 0.03
BAR, CRITICAL_BAR = 1.05, 1.2
PEERS = {"telegram": "AIORateLimiter", "slack": "slack-sdk's handlers"}


@dataclass
class Doubles:
    """Both services of one scenario."""

    telegram: TelegramDouble
    slack: SlackDouble

    def told(self) -> dict[str, Told]:
        """What each has seen."""
        seen = {"telegram": Told(), "slack": Told()}
        for call in self.telegram.requests:
            seen["telegram"].add(call.at, call.text, status=call.status, committed=call.committed)
        for line in self.slack.requests:
            text = str(line["body"].get("text", ""))
            seen["slack"].add(line["at"], text, status=line["status"], committed=line["committed"])
        return seen


@asynccontextmanager
async def doubles(loop: VirtualLoop, rooms: int, answer: float = ANSWER_S) -> AsyncIterator[Doubles]:
    """Both of them, strict, in the time of this loop."""
    slack = SlackDouble(
        rooms=[Room(id=f"C{number:08}") for number in range(rooms)],
        clock=loop.time,
        faults=[Fault(kind="slow", seconds=answer)],
    )
    late = TelegramFault(kind="slow", seconds=answer, count=None)
    async with (
        telegram_running(monotonic=loop.time, now=loop.time, faults=[late]) as telegram,
        slack_running(slack),
    ):
        yield Doubles(telegram, slack)


@dataclass
class Daemon:
    """What of sensord tells, at work."""

    database: Watched
    wake: Callable[[], None]
    clock: Clock

    async def publish(self, messages: Sequence[tuple[str, str]], severity: Severity = Severity.info) -> None:
        """Events for these destinations, durable on return."""
        now = self.clock.now()
        events = [
            Event(id=new_uuid7(), type="message", topic=topic_of(to), time=now, message=text, severity=severity)
            for to, text in messages
        ]
        await EmbeddedBus(self.database).publish(events)
        self.wake()


def topic_of(destination: str) -> str:
    """The topic that only this destination is subscribed to."""
    return f"bench.{destination.replace(':', '.')}"


@asynccontextmanager
async def daemon(
    loop: VirtualLoop, services: Doubles, folder: Path, to: Sequence[str], digested: Collection[str] = ()
) -> AsyncIterator[Daemon]:
    """The delivery, with a subscription for each destination."""
    telegram = TelegramConfig(token=Secret(services.telegram.token), api_url=services.telegram.url)
    slack = SlackConfig(token=Secret(services.slack.token), api_url=f"{services.slack.url}/api/")
    async with (
        open_database(f"sqlite:///{folder / 'bench.db'}") as opened,
        open_telegram(telegram) as chats,
        open_slack(slack) as rooms,
    ):
        database, clock = Watched(opened), loop.clock()
        loop.waits_for(lambda: database.busy)
        await chats.bot()  # Loaded in a thread, for which this time does not wait.
        wanted = [Wanted(id=new_uuid7(), topic=topic_of(one), destination=one, at=0, where={}) for one in to]
        await database.write_many(add_subscriptions, wanted)
        channels = {"telegram": chats, "slack": rooms}
        async with (
            open_delivery(database, channels, clock=clock, digested=digested, random=Random(1)) as delivery,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(delivery.run)
            yield Daemon(database, delivery.wake, clock)
            tasks.cancel_scope.cancel()


async def all_told(database: Watched, count: int, clock: Clock) -> None:
    """Let time pass until that many deliveries have ended."""
    while True:
        await clock.sleep(1.0)
        statement = "SELECT count(*) AS ended FROM deliveries WHERE status NOT IN ('pending', 'sending', 'held')"
        if (await select(database, statement))[0]["ended"] >= count:
            return


async def spread(loop: VirtualLoop, load: Load, folder: Path) -> dict[str, Told]:
    """The whole load at once; what came."""
    to = sorted({one for one, _ in load.messages})
    async with doubles(loop, ROOMS) as services, daemon(loop, services, folder, to) as ours:
        for start in range(0, len(load.messages), 500):
            await ours.publish(load.messages[start : start + 500])
        await all_told(ours.database, len(load.messages), ours.clock)
        return services.told()


async def beside(loop: VirtualLoop, load: Load, channel: str) -> Told:
    """The same load through the channel's own library; what came."""
    async with doubles(loop, ROOMS) as services:
        if channel == "telegram":
            await through_telegram(load, services.telegram.url, services.telegram.token)
        else:
            await through_slack(load, services.slack.url, services.slack.token)
        return services.told()[channel]


async def behind(loop: VirtualLoop, to: Sequence[str], folder: Path, *, digested: Collection[str]) -> list[float]:
    """Seconds from the publication of each critical event to its arrival, while INFOS others wait."""
    rng, published = Random(2), dict[str, float]()
    ahead = rng.sample(list(to), len(to))  # In turn: two within a second would wait for each other.
    infos = [(rng.choice(to), f"message {number}.") for number in range(INFOS)]
    async with doubles(loop, ROOMS) as services, daemon(loop, services, folder, to, digested) as ours:
        for start in range(0, INFOS, 500):
            await ours.publish(infos[start : start + 500])
        await ours.clock.sleep(10.0)
        for number in range(INFOS, INFOS + CRITICALS):
            text = f"message {number}."
            published[text.removesuffix(".")] = loop.time()
            await ours.publish([(ahead[number % len(ahead)], text)], Severity.critical)
            await ours.clock.sleep(rng.uniform(0.5, 1.5) * APART)
        await ours.clock.sleep(30.0)
        told = services.told()
    assert not sum(one.refused for one in told.values()), "a call was refused"
    arrived = {number: at for one in told.values() for at, text in one.arrivals for number in NUMBER.findall(text)}
    return [arrived.get(number, inf) - at for number, at in published.items()]


def main() -> bool:
    """Print the figures and the bars."""
    load = Load.spread(COUNT, private=PRIVATE, groups=GROUPS, rooms=ROOMS)
    print(f"{COUNT:,} events to {PRIVATE} chats, {GROUPS} groups and {ROOMS} channels of Slack; virtual seconds")
    with tempfile.TemporaryDirectory(prefix="sensord-bench-") as name:
        told = virtually(lambda loop: spread(loop, load, Path(name)))
    windows = windows_of(load)
    held = []
    for channel, seen in told.items():
        mine = load.only(channel)
        best = optimum(mine, windows)
        report(f"{channel}: sensord", seen, mine, best)
        held.append(bar(f"{channel}: refused calls", seen.refused, 0))
        held.append(bar(f"{channel}: messages that never came", seen.missing(mine), 0))
        held.append(bar(f"{channel}: makespan over the lower bound", seen.makespan / best, BAR))
        report(f"{channel}: {PEERS[channel]}", virtually(partial(beside, load=mine, channel=channel)), mine, best)
    held.append(critical("private chats", destinations(PRIVATE, 0, 0), ()))
    # Channels of Slack are not asked: bursts in 50 of them at once use up the minute of the whole workspace.
    held.append(critical("groups", destinations(0, GROUPS, 0), ("telegram",)))
    return all(held)


def critical(name: str, to: Sequence[str], digested: Collection[str]) -> bool:
    """Measure what is critical behind what is not."""
    with tempfile.TemporaryDirectory(prefix="sensord-bench-") as folder:
        taken = virtually(lambda loop: behind(loop, to, Path(folder), digested=digested))
    p50, p99 = percentile(taken, 50), percentile(taken, 99)
    how = "digests on" if digested else "digests off"
    print(f"a critical event behind {INFOS:,} infos, {name}, {how}: p50 {p50:.2f} s, p99 {p99:.2f} s, n {len(taken)}")
    return bar(f"critical p99 s, {name}, {how}", p99, CRITICAL_BAR)


def report(name: str, seen: Told, load: Load, best: float) -> None:
    """One line of figures."""
    missing = seen.missing(load)
    taken = f"in {seen.makespan:.1f} s; at least {best:.1f} s: x{seen.makespan / best:.3f}"
    print(
        f"  {name}: {len(load.messages) - missing:,} of {len(load.messages):,} came, {seen.refused:,} calls refused"
        + (f", {missing:,} never came" if missing else f", {taken}"),
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
