"""What the Python sensors' tests share: a sensor that runs, with the real ledger behind it."""

from __future__ import annotations

import json
import textwrap
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import psutil

from notifiers.clock import SYSTEM, Clock
from rules.triggers import compile_rule
from sensord.ledger.database import LedgerDatabase, open_database
from sensord.ledger.wishes import NewRun
from sensord.run_events import Hooks
from sensord.sensing import Sensing
from sensord.sources.python import PythonConfig, open_python
from sensord.sources.python_source import PythonSource
from tests.conftest import rows

LONG = 20.0
HOUR = 3600.0


@dataclass
class Changes:
    """Wakes whoever waits for something to become true."""

    event: anyio.Event = field(default_factory=anyio.Event)

    def __call__(self) -> None:
        self.event.set()
        self.event = anyio.Event()

    async def until(self, condition: Callable[[], Any]) -> None:
        with anyio.fail_after(LONG):
            while not condition():
                await self.event.wait()


class WatchedSensing(Sensing):
    """Tells when an evaluation ended or its state changed."""

    changes: Changes

    def looked(self) -> None:
        super().looked()
        self.changes()

    async def failed(self, reason: str) -> None:
        await super().failed(reason)
        self.changes()

    async def recovered(self) -> None:
        await super().recovered()
        self.changes()


class Running:
    """A sensor that runs."""

    def __init__(self, folder: Path, database: LedgerDatabase, source: PythonSource, emit: WatchedSensing) -> None:
        self.folder = folder
        self.database = database
        self.source = source
        self.emit = emit
        self.taken: list[NewRun] = []

    def claimed(self, runs: Sequence[NewRun]) -> None:
        self.taken += runs
        self.emit.changes()

    @property
    def keys(self) -> list[str | None]:
        return [run.run_key for run in self.taken]

    async def ran(self, count: int) -> list[str | None]:
        """The run_keys, once there are so many runs, and not more."""
        await self.emit.changes.until(lambda: len(self.taken) >= count)
        found = self.rows(f"SELECT run_key FROM runs WHERE sensor = '{self.emit.name}' ORDER BY id")
        assert [row["run_key"] for row in found] == self.keys
        return self.keys

    async def looked(self, count: int) -> None:
        await self.emit.changes.until(lambda: self.emit.looks >= count)

    async def failed(self) -> str:
        """Why it fails, once it does."""
        await self.emit.changes.until(lambda: self.emit.failing)
        return self.emit.failing or ""

    async def recovered(self) -> None:
        await self.emit.changes.until(lambda: not self.emit.failing)

    def rows(self, statement: str) -> list[dict[str, Any]]:
        return rows(self.database, statement)

    @property
    def outcomes(self) -> list[tuple[str, str]]:
        """What was decided, in order: (outcome, subject)."""
        return [
            (row["outcome"], row["subject"]) for row in self.rows("SELECT outcome, subject FROM ticks ORDER BY seq")
        ]

    @property
    def cursor(self) -> str | None:
        found = self.rows(f"SELECT cursor FROM sensors WHERE name = '{self.emit.name}'")
        text: str | None = found[0]["cursor"]
        return text


def write(folder: Path, code: str, module: str = "team.py") -> None:
    """The sensor's module: what people's own begin with, then `code`."""
    head = "import os, sys, time\nfrom pathlib import Path\nfrom sensord import sensor, RunRequest, SkipReason\n\n"
    (folder / module).write_text(head + textwrap.dedent(code), encoding="utf-8")


@asynccontextmanager
async def opened(
    database: LedgerDatabase,
    folder: Path,
    *,
    name: str = "mine",
    jobs: Sequence[str] = ("job",),
    clock: Clock = SYSTEM,
    rule: dict[str, Any] | None = None,
    remembers: bool = True,
    **keys: Any,
) -> AsyncIterator[Running]:
    """A sensor on `team.py` in this folder; it is evaluated at once and then every hour, unless `keys` say more."""
    config = PythonConfig(**{"module": "team", "function": "mine", "path": folder, "interval": HOUR, **keys})
    compiled = compile_rule(jobs=tuple(jobs), **(rule or {}))
    async with open_python(name, config, jobs=jobs, remembers=remembers, database=database, clock=clock) as source:
        assert isinstance(source, PythonSource)
        running: list[Running] = []
        emit = WatchedSensing(
            name,
            compiled,
            database=database,
            hooks={job: Hooks() for job in jobs},
            clock=clock,
            claimed=lambda runs: running[0].claimed(runs),  # noqa: PLW0108 - there is none yet
            published=lambda: None,
        )
        emit.changes = Changes()
        running.append(Running(folder, database, source, emit))
        yield running[0]


@asynccontextmanager
async def evaluated(sensor: Running) -> AsyncIterator[Running]:
    """Run it until the block ends."""
    cursor = await sensor.emit.open()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sensor.source.run, sensor.emit, cursor)
        yield sensor
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def sensing(folder: Path, code: str, **keys: Any) -> AsyncIterator[Running]:
    """A sensor of this code that runs until the block ends, with a ledger in the same folder."""
    write(folder, code)
    async with (
        open_database(f"sqlite:///{folder / 'ledger.db'}") as database,
        opened(database, folder, **keys) as sensor,
        evaluated(sensor),
    ):
        yield sensor


def lives(pid: int) -> bool:
    """Whether there is such a process and it has not ended."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def child_of(run_config: str) -> int:
    """The process that yielded this run_config."""
    return int(json.loads(run_config)["pid"])


async def gone(pid: int) -> None:
    with anyio.fail_after(20):
        while lives(pid):
            await anyio.lowlevel.checkpoint()
