"""What the conformance tests of launchers share: a launcher of each kind beside its outside, whose word is the truth.

A kind is an entry of `conformance_entries.KINDS`: how its job is written, and the outside in which attempts run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import anyio

from notifiers.clock import SYSTEM
from sensord.config import load
from sensord.launchers import Launcher, Outcome, Run
from sensord.launchers.command import open_commands
from sensord.launching import open_launchers

LONG = 60.0
NAME = "load"


class Outside(Protocol):
    """Where the attempts of a kind run. Tokens name them."""

    config: str  # The job, as YAML in one line.

    def starts(self, token: str) -> int:
        """How often it was started there."""
        ...

    def finish(self, token: str, how: str) -> None:
        """Let it end there, `succeeded` or `failed`."""
        ...

    def runs(self, token: str) -> bool:
        """Whether it goes on there."""
        ...


class Breakable(Outside, Protocol):
    """One that may be away, and may lose answers."""

    faults: list[str]

    def down(self) -> None:
        """Nobody answers."""
        ...

    def up(self) -> None:
        """It is there again, with all that it knew."""
        ...


@dataclass
class Daemon:
    """The launcher in one life of the daemon; what it follows goes on when the life ends."""

    launcher: Launcher
    outcomes: list[Outcome | None] = field(default_factory=list)
    began: anyio.Event = field(default_factory=anyio.Event)
    over: anyio.Event = field(default_factory=anyio.Event)

    async def launch(self, run: Run) -> None:
        self._ended(await self.launcher.launch(run, lambda _at: self.began.set()))

    async def adopt(self, run: Run) -> None:
        self._ended(await self.launcher.adopt(run, lambda _at: self.began.set()))

    def _ended(self, outcome: Outcome | None) -> None:
        self.outcomes.append(outcome)
        self.over.set()

    async def outcome(self) -> Outcome:
        """How the one attempt ended."""
        with anyio.fail_after(LONG):
            await self.over.wait()
        (outcome,) = self.outcomes
        assert outcome is not None
        return outcome

    async def has_begun(self) -> None:
        with anyio.fail_after(LONG):
            await self.began.wait()


@asynccontextmanager
async def living(
    folder: Path, config: str, *, launch: Run | None = None, adopt: Run | None = None
) -> AsyncIterator[Daemon]:
    """One life: it launches or adopts that run, and ends, as by a stop of the daemon, with the block."""
    file = folder / "sensord.yaml"
    file.write_text(f"jobs:\n  {NAME}: {config}\n")
    loaded = load(file, {})
    loaded.state.mkdir(parents=True, exist_ok=True)
    async with (
        open_commands(loaded.state, clock=SYSTEM, linger=0.2) as commands,
        open_launchers(loaded, commands, clock=SYSTEM) as launchers,
        anyio.create_task_group() as group,
    ):
        daemon = Daemon(launchers[NAME])
        if launch is not None:
            group.start_soon(daemon.launch, launch)
        if adopt is not None:
            group.start_soon(daemon.adopt, adopt)
        yield daemon
        group.cancel_scope.cancel()


async def until(condition: Callable[[], object], seconds: float = LONG) -> None:
    """Wait for something outside, which nobody tells of."""
    with anyio.fail_after(seconds):
        while not condition():
            await anyio.to_thread.run_sync(_moment.wait, 0.01)


class _Moment:
    """Waits without keeping the processor busy."""

    def __init__(self) -> None:
        from threading import Event

        self._event = Event()

    def wait(self, seconds: float) -> None:
        self._event.wait(seconds)


_moment = _Moment()
