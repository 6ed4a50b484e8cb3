"""What the directory sensor's tests share: a recording Emit, a clock that is moved by hand, a source that runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from notifiers.clock import SYSTEM, Clock
from rules.request import Sensed
from sensord.sources.directory import DirectoryConfig, open_directory
from sensord.sources.directory_pending import Waiting
from sensord.sources.directory_source import DirectorySource
from sensord.sources.directory_tree import Folder

LONG = 20.0


class Recorder:
    """An Emit that remembers, as the ledger does: what was said is there when the call returns."""

    def __init__(self, marks: Iterable[int] = (), cursor: str | None = None) -> None:
        self.sensed: list[Sensed] = []
        self.batches: list[int] = []
        self.remembered = set(marks)
        self.cursor = cursor
        self.failures: list[str] = []
        self.failing: str | None = None
        self.recoveries = 0
        self.looks = 0
        self.lags: list[datetime | None] = []
        self.forgotten: set[int] = set()
        self.gate: anyio.Event | None = None
        self._busy = False

    async def __call__(self, sensed: Sequence[Sensed], cursor: str | None = None) -> None:
        assert not self._busy, "a second emit before the first returned"
        self._busy = True
        self.batches.append(len(sensed))
        if self.gate is not None:
            await self.gate.wait()
        self.sensed += sensed
        self.remembered |= {one.mark for one in sensed if one.mark is not None}
        self.cursor = cursor
        self._busy = False

    async def failed(self, reason: str) -> None:
        self.failures.append(reason)
        self.failing = reason

    async def recovered(self) -> None:
        self.recoveries += self.failing is not None
        self.failing = None

    def looked(self) -> None:
        self.looks += 1

    def behind(self, since: datetime | None) -> None:
        self.lags.append(since)

    async def marks(self) -> set[int]:
        return set(self.remembered)

    async def forget(self, marks: Iterable[int]) -> None:
        gone = set(marks)
        self.forgotten |= gone
        self.remembered -= gone

    @property
    def names(self) -> list[str]:
        return [one.context["file"]["relative"] for one in self.sensed]


@dataclass
class HandClock:
    """Time that passes only when told to; the wall clock runs with it, from the real one."""

    elapsed: float = 0.0
    _sleepers: dict[anyio.Event, float] = field(default_factory=dict)

    @property
    def clock(self) -> Clock:
        return Clock(now=self.now, monotonic=lambda: self.elapsed, sleep=self.sleep)

    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.elapsed)

    async def sleep(self, seconds: float) -> None:
        event = anyio.Event()
        self._sleepers[event] = self.elapsed + seconds
        try:
            await event.wait()
        finally:
            del self._sleepers[event]

    async def pass_(self, seconds: float) -> None:
        """Let this much time pass, all at once, when everybody has gone to sleep."""
        await anyio.wait_all_tasks_blocked()
        self.elapsed += seconds
        for event, due in list(self._sleepers.items()):
            if due <= self.elapsed + 1e-9:
                event.set()
        await anyio.wait_all_tasks_blocked()


@dataclass
class Sensor:
    """A running source and what it said."""

    source: DirectorySource
    emit: Recorder
    folder: Path

    @property
    def tree(self) -> Folder:
        """The watched folder, as the source knows it."""
        root = self.source._files.root
        assert root is not None
        return root.folder

    def waiting(self, relative: bytes) -> Waiting | None:
        """The file of this path, if it is not whole yet."""
        return self.source._files.pending.get(relative)

    async def emitted(self, count: int) -> list[str]:
        """The names emitted, once there are so many."""
        await until(lambda: len(self.emit.sensed) >= count)
        return self.emit.names

    async def listed(self) -> None:
        """Return when everything wanted so far was listed and looked at."""
        looks = self.emit.looks
        self.source.overflowed()
        await until(lambda: self.emit.looks > looks)
        await self.idle()

    async def idle(self) -> None:
        """Return when nothing is left to list or to look at."""
        folders, files = self.source._folders, self.source._files
        await until(lambda: folders._walk is not None and not (folders._walk.busy or folders._wanted or files._hints))
        await anyio.wait_all_tasks_blocked()

    async def heard(self) -> list[str]:
        """The names emitted, once all that happened before was heard of: a file of our own comes last."""
        last = self.folder / f"last-{len(self.emit.sensed)}-{os.urandom(4).hex()}"
        last.write_bytes(b"x")
        await until(lambda: last.name in self.emit.names)
        await self.idle()
        return [name for name in self.emit.names if not name.startswith("last-")]


async def until(condition: Callable[[], Any]) -> None:
    """Give way to the others until this holds; fail after a long while.

    Other threads and processes need the processors: a busy wait has starved two daemons for a minute, and conditions
    that ask the database are work for it. So the longer it takes, the more rarely it is looked at: what is late by a
    tenth does no harm.
    """
    began = anyio.current_time()
    with anyio.fail_after(LONG):
        while not condition():  # noqa: ASYNC110 - anything is waited for here, files and other processes too
            await anyio.sleep(min(max(0.001, (anyio.current_time() - began) / 10), 0.02))


@asynccontextmanager
async def sensing(
    folder: Path, emit: Recorder | None = None, *, clock: Clock = SYSTEM, wait: bool = True, **keys: Any
) -> AsyncIterator[Sensor]:
    """Run a source on this folder until the block ends; `wait`: from when everything there was looked at."""
    emit = Recorder() if emit is None else emit
    config = DirectoryConfig(path=folder, **keys)
    looks = emit.looks
    async with open_directory("drop", config, clock=clock) as source, anyio.create_task_group() as tasks:
        assert isinstance(source, DirectorySource)
        sensor = Sensor(source, emit, folder)
        tasks.start_soon(source.run, emit, emit.cursor)
        if wait:
            await until(lambda: emit.looks > looks)
            await sensor.idle()
        yield sensor
        tasks.cancel_scope.cancel()


NOBODY = 65534


@contextmanager
def open_to_all() -> Iterator[Path]:
    """A folder that any user may use, and reach."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


@contextmanager
def as_somebody() -> Iterator[None]:
    """Without root's rights for the block, if we have them."""
    if os.geteuid():
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def mount(folder: Path) -> None:
    """Mount an empty file system there, or skip the test."""
    command = ["mount", "-t", "tmpfs", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting takes rights that we lack")


def umount(folder: Path) -> None:
    subprocess.run(["umount", str(folder)], check=False, capture_output=True)
