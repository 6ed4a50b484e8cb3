from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from notifiers.clock import SYSTEM, Clock
from rules.quality import CheckResult
from rules.request import RunRequest
from sensord.launchers import LaunchDelayed, Outcome, Run, Started
from sensord.ledger.database import LedgerDatabase
from sensord.ledger.outcomes import commit_steps
from sensord.ledger.requests import request_runs
from sensord.ledger.wishes import NewRun
from sensord.run_events import Hooks
from sensord.running import Job, Running
from sensord.sensing import new_run
from tests.conftest import rows

ATTEMPTS = "SELECT attempt FROM runs ORDER BY id"


class Play:
    """A launcher in this process: keeps what was started, and ends attempts when the test says so."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.forgotten: list[str] = []
        self.running: dict[str, anyio.Event] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.delays = 0
        self.changed = anyio.Event()

    async def launch(self, run: Run, started: Started) -> Outcome:
        if self.delays:
            self.delays -= 1
            raise LaunchDelayed("disk full")
        assert run.token not in self.started, "an attempt was started twice"
        self.started.append(run.token)
        self.running[run.token] = anyio.Event()
        return await self._follow(run, started)

    async def _follow(self, run: Run, started: Started) -> Outcome:
        started(SYSTEM.now())
        self._change()
        await self.running[run.token].wait()
        return self.outcomes[run.token]

    async def adopt(self, run: Run, started: Started) -> Outcome | None:
        return await self._follow(run, started) if run.token in self.running else None

    async def cancel(self, run: Run) -> None:
        if run.token in self.running:
            self.end(run.token, "cancelled")

    async def forget(self, run: Run) -> None:
        self.forgotten.append(run.token)

    def log(self, _run: str, _attempt: int, _requested_at: Any) -> Path | None:
        return None

    def end(self, token: str, status: Any = "succeeded", **fields: Any) -> None:
        self.outcomes[token] = Outcome(status=status, ended_at=SYSTEM.now(), **fields)
        self.running[token].set()

    def _change(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()

    async def until(self, count: int) -> None:
        with anyio.fail_after(10):
            while len(self.started) < count:
                await self.changed.wait()


@asynccontextmanager
async def daemon(
    database: LedgerDatabase, play: Play, *, concurrency: int = 10, clock: Clock = SYSTEM, **job: Any
) -> AsyncIterator[Running]:
    hooks = Hooks(success="bp.oks", failure="bp.fails", quality="bp.quality")
    jobs = {"load": Job(launcher=play, hooks=hooks, **job)}
    running = Running(
        jobs, concurrency=concurrency, database=database, clock=clock, published=lambda: None, jitter=lambda: 0.5
    )
    async with anyio.create_task_group() as group:
        await group.start(running.run)
        yield running
        group.cancel_scope.cancel()


async def ask(database: LedgerDatabase, running: Running | None, count: int = 1, **config: Any) -> list[NewRun]:
    request = RunRequest(job_name="load", run_config=config)
    wishes = [new_run(SYSTEM, request, Hooks()) for _ in range(count)]
    await database.write_many(request_runs, wishes)
    if running is not None:
        running.claimed(wishes)
    return wishes


async def settled(database: LedgerDatabase, condition: Callable[[], bool]) -> None:
    with anyio.fail_after(10):
        while not condition():
            await database.read(lambda _conn: None)  # Gives way to the writer without waiting for a clock.


def statuses(database: LedgerDatabase) -> list[str]:
    return [row["status"] for row in rows(database, "SELECT status FROM runs ORDER BY id")]


def ended_at_least(database: LedgerDatabase, count: int) -> bool:
    return statuses(database).count("succeeded") >= count


def types(database: LedgerDatabase) -> list[str]:
    return [row["type"] for row in rows(database, "SELECT type FROM events ORDER BY seq")]


async def test_a_run_is_started_followed_and_told(database: LedgerDatabase) -> None:
    play = Play()
    async with daemon(database, play) as running:
        (wish,) = await ask(database, running)
        await play.until(1)
        bad = CheckResult(check="no_nulls", passed=False, detail="3 of 12 rows")
        play.end(f"{wish.id}.1", metadata={"rows": 12}, quality=[bad])
        await settled(database, lambda: statuses(database) == ["succeeded"])
    assert types(database) == ["run.queued", "run.started", "quality.failed", "run.succeeded"]
    also = {row["type"]: row["also"] for row in rows(database, "SELECT type, also FROM events")}
    assert also == {
        "run.queued": None,
        "run.started": None,
        "quality.failed": "bp.quality",
        "run.succeeded": "bp.oks",
    }
    assert play.forgotten == [f"{wish.id}.1"]


async def test_a_failure_is_tried_again_as_attempts_of_one_run(database: LedgerDatabase) -> None:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    ahead = iter(range(1000))
    clock = Clock(now=lambda: SYSTEM.now().replace(year=2030 + next(ahead)), sleep=sleep)
    play = Play()
    async with daemon(database, play, attempts=3, backoff=10.0, clock=clock) as running:
        (wish,) = await ask(database, running)
        for attempt in (1, 2, 3):
            await play.until(attempt)
            play.end(f"{wish.id}.{attempt}", "failed", error="exit code 1")
        await settled(database, lambda: statuses(database) == ["failed"])
    assert types(database) == [
        "run.queued",
        *("run.started", "run.retrying") * 2,
        "run.started",
        "run.failed",
    ]
    assert play.started == [f"{wish.id}.{attempt}" for attempt in (1, 2, 3)]


async def test_limits_hold_and_everything_runs(database: LedgerDatabase) -> None:
    play = Play()
    async with daemon(database, play, concurrency=3) as running:
        await ask(database, running, count=20)
        for ended in range(20):
            await play.until(min(20, ended + 3))
            assert len(play.started) - ended <= 3
            play.end(play.started[ended])
            await settled(database, partial(ended_at_least, database, ended + 1))
    assert sorted(play.started) == sorted(set(play.started))


async def test_a_new_life_adopts_what_runs_and_starts_what_never_did(database: LedgerDatabase) -> None:
    play = Play()
    async with daemon(database, play, concurrency=2) as running:
        wishes = await ask(database, running, count=5)
        await play.until(2)
        await settled(database, lambda: statuses(database).count("running") == 2)
    play.end(f"{wishes[0].id}.1", "failed", error="exit code 7")
    async with daemon(database, play, concurrency=2):
        play.end(f"{wishes[1].id}.1")
        for number in range(2, 5):
            await play.until(number + 1)
            play.end(f"{wishes[number].id}.1")
        await settled(database, lambda: set(statuses(database)) == {"failed", "succeeded"})
    assert sorted(play.started) == sorted(f"{wish.id}.1" for wish in wishes)
    assert types(database).count("run.started") == 5


async def test_what_was_started_and_is_known_to_nobody_is_lost_and_never_a_success(
    database: LedgerDatabase,
) -> None:
    first = Play()
    async with daemon(database, first) as running:
        await ask(database, running)
        await first.until(1)
        await settled(database, lambda: statuses(database) == ["running"])
    async with daemon(database, Play()):
        await settled(database, lambda: statuses(database) == ["lost"])
    assert types(database)[-1] == "run.lost"


async def test_a_config_that_is_refused_fails_without_a_start_and_without_a_retry(database: LedgerDatabase) -> None:
    play = Play()

    async def needs_path(config: Any) -> str | None:
        return None if "path" in config else "no path"

    async with daemon(database, play, attempts=5, check_config=needs_path) as running:
        await ask(database, running)
        await settled(database, lambda: statuses(database) == ["failed"])
    assert play.started == []
    assert rows(database, "SELECT error FROM runs") == [{"error": "run_config: no path"}]


async def test_a_launch_that_is_put_off_is_made_later_and_once(database: LedgerDatabase) -> None:
    async def at_once(_seconds: float) -> None:
        return

    play = Play()
    play.delays = 3
    ahead = iter(range(1000))
    clock = Clock(now=lambda: SYSTEM.now().replace(year=2030 + next(ahead)), sleep=at_once)
    async with daemon(database, play, clock=clock) as running:
        (wish,) = await ask(database, running)
        await play.until(1)
        play.end(f"{wish.id}.1")
        await settled(database, lambda: statuses(database) == ["succeeded"])


@pytest.mark.parametrize("busy", [True, False])
async def test_a_run_can_be_cancelled_while_it_waits_and_while_it_runs(database: LedgerDatabase, busy: bool) -> None:
    play = Play()
    async with daemon(database, play, concurrency=1) as running:
        wishes = await ask(database, running, count=2)
        await play.until(1)
        target = wishes[0] if busy else wishes[1]
        assert await running.cancel(target.id)
        await settled(database, lambda: "cancelled" in statuses(database))
        if not busy:
            play.end(f"{wishes[0].id}.1")
            await settled(database, lambda: statuses(database) == ["succeeded", "cancelled"])
            assert play.started == [f"{wishes[0].id}.1"]
        assert not await running.cancel(target.id)


@pytest.mark.parametrize("later", [False, True], ids=["waits for its turn", "waits for its next attempt"])
async def test_a_run_that_waits_may_be_cancelled_by_several_at_once(database: LedgerDatabase, later: bool) -> None:
    play = Play()
    async with daemon(database, play, concurrency=1, attempts=2, backoff=600.0) as running:
        first, second = await ask(database, running, count=2)
        await play.until(1)
        target = second
        if later:
            target = first
            play.end(f"{first.id}.1", "failed")
            await play.until(2)
            await settled(database, lambda: [row["attempt"] for row in rows(database, ATTEMPTS)] == [2, 1])
        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(running.cancel, target.id)
        ended = rows(database, "SELECT run FROM events WHERE type = 'run.cancelled'")
        assert [row["run"] for row in ended] == [target.id]


async def test_a_run_that_is_cancelled_while_its_config_is_looked_at_is_not_started(database: LedgerDatabase) -> None:
    play, looked, go_on = Play(), anyio.Event(), anyio.Event()

    async def look(_config: Any) -> str | None:
        looked.set()
        await go_on.wait()
        return None

    async with daemon(database, play, check_config=look) as running:
        (wish,) = await ask(database, running)
        await looked.wait()
        assert await running.cancel(wish.id)
        go_on.set()
        await settled(database, lambda: statuses(database) == ["cancelled"])
    assert play.started == []


async def test_a_run_that_is_cancelled_while_its_failure_is_recorded_does_not_wait_for_its_next_attempt(
    database: LedgerDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    play, write = Play(), database.write

    async def and_cancel(op: Any, item: Any, **more: Any) -> Any:
        result = await write(op, item, **more)
        if op is commit_steps:
            assert await running.cancel(wish.id)
        return result

    async with daemon(database, play, attempts=2, backoff=600.0) as running:
        (wish,) = await ask(database, running)
        await play.until(1)
        monkeypatch.setattr(database, "write", and_cancel)
        play.end(f"{wish.id}.1", "failed")
        await settled(database, lambda: statuses(database) == ["cancelled"])
    assert play.started == [f"{wish.id}.1"]


async def test_a_launcher_that_breaks_loses_the_run_and_says_so(database: LedgerDatabase) -> None:
    class Broken(Play):
        async def launch(self, run: Run, _started: Started) -> Outcome:
            raise ZeroDivisionError(f"no {run.job}")

    async with daemon(database, Broken()) as running:
        await ask(database, running)
        await settled(database, lambda: statuses(database) == ["lost"])
    assert "ZeroDivisionError" not in str(rows(database, "SELECT error FROM runs"))
    assert rows(database, "SELECT error FROM runs") == [{"error": "the launcher failed: no load"}]
