"""Backfills in this process, on a real database: runs are played by the test, and end when it says so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio

from notifiers.clock import SYSTEM
from sensord.backfill_plans import Asked, Backfills
from sensord.backfilling import Backfilling
from sensord.ledger.backfill_pages import get_backfill
from sensord.ledger.database import LedgerDatabase
from sensord.partitions import PartitionsConfig
from sensord.run_events import Hooks
from sensord.running import Job, Running
from sensord.slicing import Schedule, Sliced
from tests.conftest import rows
from tests.test_running import Play

DAYS = PartitionsConfig.model_validate({"every": "daily", "start": "2024-01-01"})


@dataclass
class Life:
    """One life of the daemon, as far as backfills go."""

    database: LedgerDatabase
    play: Play
    running: Running
    backfills: Backfills
    backfilling: Backfilling

    async def ask(self, **fields: Any) -> str:
        """The id of a backfill of the first days of 2024, where nothing else is said."""
        given = {"job": "load", "first": "2024-01-01", "last": "2024-01-10", "run_config": {}, **fields}
        _, backfill = await self.backfills.create(Asked(**given))
        assert backfill is not None
        return backfill

    async def state(self, backfill: str) -> dict[str, Any]:
        standing = self.backfilling.standing()
        found = await self.database.read(lambda conn: get_backfill(conn, backfill, standing))
        assert found is not None
        return found

    async def ended(self, backfill: str) -> dict[str, Any]:
        """The backfill once it has ended."""
        return await self.until(backfill, lambda found: found["ended_at"] is not None)

    async def until(self, backfill: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        with anyio.fail_after(10):
            while not condition(found := await self.state(backfill)):
                pass
        return found

    async def until_open(self, count: int) -> None:
        """Return when so many runs are being played."""
        with anyio.fail_after(10):
            while len(self.going_on()) < count:
                await self.database.read(lambda _conn: None)

    def going_on(self) -> list[str]:
        return [token for token in self.play.started if token not in self.play.outcomes]

    def end_all(self, status: str = "succeeded") -> None:
        for token in self.going_on():
            self.play.end(token, status)

    async def play_on(self, backfill: str, status: Callable[[str], str] = lambda _token: "succeeded") -> dict[str, Any]:
        """End every run as soon as it is there, until the backfill has ended."""
        with anyio.fail_after(20):
            while (found := await self.state(backfill))["ended_at"] is None:
                for token in self.going_on():
                    self.play.end(token, status(token))
        return found


def sliced(
    *, own: PartitionsConfig | None = DAYS, schedules: dict[str, Schedule] | None = None, job: str = "load"
) -> Sliced:
    return Sliced(
        job=job,
        hooks=Hooks(),
        tags={"team": "geo"},
        priority=3,
        concurrency=None,
        check_config=_check,
        own=own,
        schedules=schedules or {},
    )


async def _check(config: Any) -> str | None:
    return "no" if config.get("bad") else None


@asynccontextmanager
async def life(
    database: LedgerDatabase, play: Play, *, of: Sliced | None = None, working: bool = True, concurrency: int = 50
) -> AsyncIterator[Life]:
    """Open everything as the daemon does; `working` False: as a command does that has the database for itself."""
    one = of or sliced()

    def ended(run: str, status: str) -> None:
        backfilling.ended(run, status)

    running = Running(
        {one.job: Job(launcher=play)},
        concurrency=concurrency,
        database=database,
        clock=SYSTEM,
        published=lambda: None,
        ended=ended,
    )
    jobs = {one.job: one}
    backfilling = Backfilling(
        jobs,
        database=database,
        clock=SYSTEM,
        claimed=running.claimed,
        cancel_run=running.cancel,
        published=lambda: None,
    )
    backfills = Backfills(jobs, database=database, clock=SYSTEM, added=backfilling.added)
    found = Life(database, play, running, backfills, backfilling)
    if not working:
        yield found
        return
    async with anyio.create_task_group() as group:
        await backfilling.open()
        await group.start(running.run)
        group.start_soon(backfilling.run)
        yield found
        group.cancel_scope.cancel()


def ran(database: LedgerDatabase) -> list[str]:
    """The partitions that have a run, in the order in which the runs were asked for."""
    return [row["partition_key"] for row in rows(database, "SELECT partition_key FROM runs ORDER BY id")]
