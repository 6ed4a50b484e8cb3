"""What the conformance tests share: a daemon around one source, its outside in a test's hands, and what is to be seen.

A source joins by an `Entry` in `conformance_entries.py`, and an outside in `conformance_outsides.py`.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any, Protocol

import anyio
import pytest
from sqlalchemy import Connection, MetaData, select, text

from notifiers.clock import SYSTEM, Clock
from rules.request import Sensed
from sensord import sensing
from sensord.app import App, open_app
from sensord.ledger.database import LedgerDatabase
from sensord.ledger.requests import commit_ticks
from sensord.ledger.tables import TERMINAL
from sensord.sensing import Sensing
from tests.conftest import rows
from tests.sources.app_kit import JOBS, configured
from tests.sources.directory_kit import until

NAME = "watched"
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Thing:
    """One thing that happened outside, and how it is known inside."""

    subject: str
    run_key: str


class Outside(Protocol):
    """What a source looks at. Everything happens for real; `app` is open, and need not run."""

    words: dict[str, str]
    """What is filled in where the configuration speaks of it."""

    async def happen(self, app: App, name: str) -> Thing:
        """One more thing, once and for all; distinct names come in the order of the alphabet."""
        ...

    async def again(self, app: App, thing: Thing) -> None:
        """The same is said once more, where that can be."""
        ...

    async def break_(self, app: App) -> str:
        """It cannot be looked at any more; some words of the reason that is to be told."""
        ...

    async def mend(self, app: App) -> None:
        """It can be looked at again."""
        ...


@dataclass
class Time:
    """The real time, which a test can set forward and back; and all who sleep can be woken early."""

    ahead: timedelta = timedelta()
    _nudge: anyio.Event = field(default_factory=anyio.Event)

    @property
    def clock(self) -> Clock:
        return Clock(now=self.now, sleep=self.sleep)

    def now(self) -> datetime:
        return SYSTEM.now() + self.ahead

    async def sleep(self, seconds: float) -> None:
        with anyio.move_on_after(seconds if seconds < inf else None):
            await self._nudge.wait()

    def nudge(self) -> None:
        self._nudge.set()
        self._nudge = anyio.Event()


@dataclass(frozen=True)
class Server:
    """A program that all worlds of a source share: where it answers, and the folder that it serves, if it does."""

    url: str = ""
    folder: Path = Path()


@dataclass(frozen=True)
class Entry:
    """One source. `open` sets its outside up in an empty folder; it is given what the fixture `server` gives, if any.

    `sensor` is its lines of a sensor's configuration, in which `{interval}` is how often it looks, and others are
    fields of its outside. `breaks`: its outside may be away; `meanwhile`: what happens then is found later. `wakes`:
    it can be asked to look. `left_out` are a subject, in which the same is filled in, and words of why it is not taken.
    """

    name: str
    open: Callable[[Path, Time, Any], AbstractAsyncContextManager[Outside]]
    sensor: str
    server: str = ""
    breaks: bool = True
    meanwhile: bool = True
    wakes: bool = True
    at_once: bool = True
    left_out: tuple[str, str] | None = None


class OneAtATime(Sensing):
    """The sensor's real Emit, which notes where a source did not wait for it."""

    overlaps: int
    busy: bool

    async def __call__(self, sensed: Sequence[Sensed], cursor: str | None = None) -> None:
        self.overlaps += self.busy
        self.busy = True
        try:
            await super().__call__(sensed, cursor)
        finally:
            self.busy = False


@dataclass
class World:
    """A folder with a configuration and a source's outside; the daemon lives in it from time to time."""

    folder: Path
    entry: Entry
    outside: Outside
    time: Time
    url: str = "sqlite:///sensord.db"

    @asynccontextmanager
    async def opened(self, *, interval: str = "100ms", more: str = "", without: bool = False) -> AsyncIterator[App]:
        """Everything open and nothing running. `without`: the sensor is not there; `more`: further keys of it."""
        watched = f"  {NAME}:\n    {self.filled(self.entry.sensor, interval=interval)}\n    job: load\n"
        (self.folder / "other").mkdir(exist_ok=True)
        text_ = (
            f"database: {self.url}\nhttp: {{port: 0}}\n"
            "sensors:\n  other: {directory: {path: other}, job: tell, run_key: '{{ file.name }}'}\n"
            f"{'' if without else watched}{more}\n"
        )
        async with open_app(configured(self.folder, text_, JOBS), clock=self.time.clock) as app:
            if not without:
                guarded = copy.copy(app.sensings[NAME])
                guarded.__class__ = OneAtATime
                vars(guarded).update(overlaps=0, busy=False)
                app.sensings[NAME] = guarded
            yield app

    @asynccontextmanager
    async def life(self, **keys: Any) -> AsyncIterator[App]:
        """The daemon runs; the sensor has begun to look."""
        async with self.opened(**keys) as app:
            async with anyio.create_task_group() as group:
                await group.start(app.run)
                if NAME in app.sensings and self.entry.at_once:
                    await until(lambda: app.sensings[NAME].looks or app.sensings[NAME].failing)
                yield app
                group.cancel_scope.cancel()
            guarded = app.sensings.get(NAME)
            assert not isinstance(guarded, OneAtATime) or not guarded.overlaps, "emitted before emit had returned"

    async def begun(self) -> None:
        """The sensor has looked once, ever: what happens from now on is its own."""
        async with self.life():
            pass

    def filled(self, text_: str, **words: str) -> str:
        """A text of the entry with what holds in this world."""
        return text_.format(folder=self.folder, **self.outside.words, **words)

    async def happen(self, app: App, name: str) -> Thing:
        return await self.outside.happen(app, name)

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait for this, letting nobody sleep."""

        def nudged() -> Any:
            self.time.nudge()
            return condition()

        await until(nudged)


def runs(app: App, job: str = "load") -> Rows:
    return rows(app.database, f"SELECT * FROM runs WHERE job = '{job}' ORDER BY id")


async def ran(app: App, things: Sequence[Thing], job: str = "load") -> Rows:
    """The runs, once there are enough and all have ended: one for each of the things, and no other."""
    await until(lambda: len([run for run in runs(app, job) if run["status"] in TERMINAL]) >= len(things))
    found = runs(app, job)
    told = sorted((run["subject"], run["run_key"], run["status"]) for run in found)
    assert told == sorted((thing.subject, thing.run_key, "succeeded") for thing in things)
    return found


def said(app: App, sensor: str = NAME) -> list[str]:
    """What was told of the sensor, in order."""
    query = "SELECT type FROM events WHERE sensor = :sensor AND type LIKE 'sensor.%' ORDER BY seq"
    return [row["type"] for row in rows(app.database, query, sensor=sensor)]


def reason(app: App) -> str:
    (row,) = rows(app.database, f"SELECT reason FROM sensors WHERE name = '{NAME}'")
    return str(row["reason"])


def content(database: LedgerDatabase) -> str:
    """All that is in the database."""
    tables = MetaData()
    with database.engine.connect() as conn:
        tables.reflect(conn)
        found = {
            name: sorted(json.dumps(list(row), default=str) for row in conn.execute(select(table)))
            for name, table in tables.tables.items()
        }
    return json.dumps(found, sort_keys=True)


def half(app: App) -> Rows:
    """What a tick that failed may not leave behind, and the cursor."""
    statement = (
        "SELECT (SELECT count(*) FROM runs WHERE job = 'load') AS runs, "
        f"(SELECT count(*) FROM run_keys WHERE sensor = '{NAME}') AS keys, "
        "(SELECT count(*) FROM events WHERE type = 'run.queued' AND job = 'load') AS queued, "
        f"(SELECT count(*) FROM ticks WHERE sensor = '{NAME}') AS ticks, "
        f"(SELECT count(*) FROM seen WHERE sensor = '{NAME}') AS seen, "
        f"(SELECT cursor FROM sensors WHERE name = '{NAME}') AS cursor"
    )
    return rows(app.database, statement)


_SQLITE = f"""CREATE TRIGGER refuse BEFORE INSERT ON ticks WHEN NEW.sensor = '{NAME}'
    BEGIN SELECT RAISE(ABORT, 'refused here'); END"""
_FUNCTION = """CREATE OR REPLACE FUNCTION refuse() RETURNS trigger AS
    $$ BEGIN RAISE EXCEPTION 'refused here'; END $$ LANGUAGE plpgsql"""
_POSTGRES = f"""CREATE TRIGGER refuse BEFORE INSERT ON ticks FOR EACH ROW WHEN (NEW.sensor = '{NAME}')
    EXECUTE FUNCTION refuse()"""
_REFUSING = {"sqlite": (_SQLITE,), "postgresql": (_FUNCTION, _POSTGRES)}


@asynccontextmanager
async def refusing(app: App) -> AsyncIterator[None]:
    """The database refuses the sensor's ticks, which are written in the middle of the transaction."""

    def execute(conn: Connection, statements: Sequence[str]) -> list[None]:
        for statement in statements:
            conn.execute(text(statement))
        return [None] * len(statements)

    kind = app.database.engine.dialect.name
    await app.database.write_many(execute, _REFUSING[kind])
    yield
    on = "" if kind == "sqlite" else " ON ticks"
    await app.database.write(execute, f"DROP TRIGGER refuse{on}")


@dataclass
class Held:
    """Commits that wait: whether one does, and what lets it go."""

    waiting: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)


@contextmanager
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """Commits of the sensor's ticks wait in the ledger's own thread, until they are let go or the block ends."""
    hold = Held()

    def held_up(conn: Connection, batch: Any) -> Any:
        if any(tick.sensor == NAME and tick.outcome != "cursor" for tick in batch):
            hold.waiting.set()
            assert hold.go.wait(20), "nobody let it go"
        return commit_ticks(conn, batch)

    with monkeypatch.context() as patch:
        patch.setattr(sensing, "commit_ticks", held_up)
        try:
            yield hold
        finally:
            hold.go.set()
