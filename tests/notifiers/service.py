"""A service in this process, the time in the test's hand, and a delivery that runs against both."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any, TypeVar

import anyio
from anyio.lowlevel import checkpoint
from sqlalchemy import Connection, text

from notifiers.bus.embedded import EmbeddedBus
from notifiers.channels import Channel, Part, Receipt
from notifiers.clock import Clock, new_uuid7
from notifiers.database import Database, Op
from notifiers.delivery import Delivery, open_delivery
from notifiers.message import Message, Text
from notifiers.subscriptions import Wanted, add_subscriptions
from rules.event import Event, Severity
from rules.pacing import Window

T = TypeVar("T")
R = TypeVar("R")

START = datetime(2026, 11, 21, tzinfo=UTC)
DEADLINE_S = 30.0


class HeldTime:
    """Time that passes only when the test says so."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._order = count()
        self._sleepers: dict[int, tuple[float, anyio.Event]] = {}
        self.clock = Clock(
            now=lambda: START + timedelta(seconds=self.seconds), monotonic=lambda: self.seconds, sleep=self._sleep
        )

    async def _sleep(self, seconds: float) -> None:
        woken = anyio.Event()
        order = next(self._order)
        self._sleepers[order] = self.seconds + seconds, woken
        try:
            await woken.wait()
        finally:
            del self._sleepers[order]

    def advance(self, least: float) -> None:
        """Go to the moment at which the next sleeper wakes, and at least that far."""
        following = min((until for until, _ in self._sleepers.values()), default=self.seconds)
        self.seconds = max(following, self.seconds + least)
        for until, woken in self._sleepers.values():
            if until <= self.seconds:
                woken.set()


class Watched:
    """The database, and whether it is at work: held time stands still meanwhile."""

    def __init__(self, inner: Database) -> None:
        self.inner = inner
        self.busy = 0
        self._rested = anyio.Event()

    async def write(self, op: Op[T, R], item: T, *, patient: bool = False) -> R:
        with self._work():
            return await self.inner.write(op, item, patient=patient)

    async def write_many(self, op: Op[T, R], items: Sequence[T]) -> Sequence[R]:
        with self._work():
            return await self.inner.write_many(op, items)

    async def read(self, query: Callable[[Connection], R]) -> R:
        with self._work():
            return await self.inner.read(query)

    async def rest(self) -> None:
        """Return when it is not at work: a real wait for its threads, which have the processor meanwhile."""
        while self.busy:
            await self._rested.wait()

    @contextmanager
    def _work(self) -> Iterator[None]:
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1
            if not self.busy:
                self._rested.set()
                self._rested = anyio.Event()


@dataclass
class Call:
    target: str
    text: str
    at: float


Script = Callable[[Call], Awaitable[None]]


class Service:
    """A channel whose service remembers what it accepted.

    `script` may refuse a call before that, `answer` may take its time after it, or be lost.

    The title is the first part of a message, each paragraph one more.
    """

    def __init__(self, time: HeldTime, windows: Callable[[str], Sequence[Window]] = lambda _: ()) -> None:
        self.time = time
        self.calls: list[Call] = []
        self.accepted: list[Call] = []
        self.script: Script | None = None
        self.answer: Script | None = None
        self._windows = windows
        self.in_the_air: Counter[str] = Counter()
        self.most_in_the_air = 0

    def render(self, message: Message) -> Sequence[Part]:
        title = f"{message.note} {message.title}".strip()
        return [Part(text=title), *(Part(text=block.text) for block in message.body if isinstance(block, Text))]

    def windows(self, target: str) -> Sequence[Window]:
        return self._windows(target)

    async def send(self, target: str, part: Part) -> Receipt:
        call = Call(target, part.text, self.time.seconds)
        self.calls.append(call)
        self.in_the_air[target] += 1
        self.most_in_the_air = max(self.most_in_the_air, self.in_the_air[target])
        try:
            if self.script is not None:
                await self.script(call)
            self.accepted.append(call)
            if self.answer is not None:
                await self.answer(call)
            return Receipt(id=f"{len(self.accepted)}", data={"target": target})
        finally:
            self.in_the_air[target] -= 1

    def texts(self, target: str | None = None) -> list[str]:
        return [call.text for call in self.accepted if target in (None, call.target)]


def event(message: str, topic: str = "t.a", severity: Severity = Severity.info, **more: Any) -> Event:
    return Event(id=new_uuid7(), type="message", topic=topic, time=START, message=message, severity=severity, **more)


async def publish(database: Database, *events: Event) -> None:
    await EmbeddedBus(database).publish(events)


async def subscribe(database: Database, topic: str, destination: str, **where: Any) -> str:
    wanted = Wanted(id=new_uuid7(), topic=topic, destination=destination, at=0, where=where)
    return (await database.write(add_subscriptions, wanted))[0]


def words(event: Event) -> Message:
    """The event's message, each of its lines a paragraph, so that each is a part."""
    title, *rest = event.message.split("\n")
    return Message(title=title, severity=event.severity, body=[Text(line) for line in rest])


@asynccontextmanager
async def delivering(
    database: Database, channels: dict[str, Channel], time: HeldTime, *, drain: float = 0.0, **options: Any
) -> AsyncIterator[Delivery]:
    options.setdefault("wording", words)
    async with (
        open_delivery(database, channels, clock=time.clock, random=Random(1), **options) as delivery,
        anyio.create_task_group() as tasks,
    ):

        async def run() -> None:
            await delivery.run(drain=drain)

        tasks.start_soon(run)
        yield delivery
        tasks.cancel_scope.cancel()


async def select(database: Database, statement: str, **params: Any) -> list[dict[str, Any]]:
    return await database.read(lambda conn: [dict(row) for row in conn.execute(text(statement), params).mappings()])


@dataclass
class Patient:
    """Lets time pass until something is so."""

    database: Watched
    time: HeldTime
    step: float = 0.0

    async def _pass(self) -> None:
        for _ in range(10):
            await checkpoint()
        while self.database.busy:
            await self.database.rest()
            for _ in range(10):
                await checkpoint()
        self.time.advance(self.step)

    async def until(self, condition: Callable[[], bool]) -> None:
        with anyio.fail_after(DEADLINE_S):
            while not condition():
                await self._pass()

    async def until_time(self, seconds: float) -> None:
        await self.until(lambda: self.time.seconds >= seconds)

    async def until_rows(self, statement: str, wanted: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        with anyio.fail_after(DEADLINE_S):
            while not wanted(found := await select(self.database, statement)):
                await self._pass()
            return found

    async def until_all_ended(self) -> list[dict[str, Any]]:
        """Every event is routed and every delivery has a terminal state; all deliveries, in order."""
        query = (
            "SELECT d.*, e.message, (SELECT max(seq) FROM events) AS newest, "
            "(SELECT seq FROM bus_cursors WHERE name = 'deliveries') AS routed "
            "FROM deliveries d JOIN events e ON e.id = d.event ORDER BY d.event_seq, d.id"
        )
        return await self.until_rows(
            query,
            lambda rows: (
                bool(rows)
                and rows[0]["newest"] == rows[0]["routed"]
                and all(row["status"] not in ("pending", "sending") for row in rows)
            ),
        )


def by_target(calls: Iterable[Call]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for call in calls:
        found[call.target].append(call.text)
    return found
