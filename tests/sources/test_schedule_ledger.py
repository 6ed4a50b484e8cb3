"""The schedule sensor on a real ledger, and in the whole daemon with real commands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio

from notifiers.clock import SYSTEM, Clock
from rules.triggers import compile_rule
from sensord.app import open_app
from sensord.config import Config
from sensord.ledger.database import LedgerDatabase
from sensord.run_events import Hooks
from sensord.sensing import Sensing
from tests.conftest import rows
from tests.sources.app_kit import configured, ended
from tests.sources.directory_kit import until
from tests.sources.schedule_kit import Time, sensing, utc


def ledger(database: LedgerDatabase, time: Time, **rule: Any) -> Sensing:
    compiled = compile_rule(**{"jobs": ("load",), **rule})
    return Sensing(
        "nightly",
        compiled,
        database=database,
        hooks={"load": Hooks()},
        clock=time.clock,
        claimed=lambda _: None,
        published=lambda: None,
    )


def runs(database: LedgerDatabase) -> Sequence[dict[str, Any]]:
    return rows(database, "SELECT run_key, subject, partition_key, tags, run_config FROM runs ORDER BY run_key")


async def test_the_instant_is_the_run_key_and_its_partition_that_of_the_run(database: LedgerDatabase) -> None:
    time = Time(utc("2026-11-21T23:59"))
    emit = ledger(database, time, run_config={"day": "{{ partition.key }}", "at": "{{ schedule.local[:10] }}"})
    async with sensing(time, emit, await emit.open(), cron="@daily", partitions="daily"):
        await time.pass_(minutes=2)
    (run,) = runs(database)
    assert (run["run_key"], run["subject"]) == ("2026-11-22T00:00:00Z", "nightly 2026-11-22T00:00:00Z")
    assert run["partition_key"] == "2026-11-21"
    assert json.loads(run["run_config"]) == {"day": "2026-11-21", "at": "2026-11-22"}
    assert json.loads(run["tags"]) == {
        "sensord/partition_start": "2026-11-21T00:00:00Z",
        "sensord/partition_end": "2026-11-22T00:00:00Z",
    }
    assert await emit.open() == "2026-11-22T00:00:00.000000Z UTC @daily"


async def test_a_rules_own_partition_key_and_tags_go_first(database: LedgerDatabase) -> None:
    time = Time(utc("2026-11-21T23:59"))
    tags = {"sensord/partition_end": "later", "team": "geo"}
    emit = ledger(database, time, partition_key="{{ partition.key }}-eu", tags=tags)
    async with sensing(time, emit, await emit.open(), cron="@daily", partitions="daily"):
        await time.pass_(minutes=2)
    (run,) = runs(database)
    assert run["partition_key"] == "2026-11-21-eu"
    assert json.loads(run["tags"]) == tags | {"sensord/partition_start": "2026-11-21T00:00:00Z"}


async def test_two_daemons_run_each_instant_once(database: LedgerDatabase) -> None:
    times = [Time(utc("2026-11-21T12:00")), Time(utc("2026-11-21T12:00:07"))]

    async def daemon(time: Time) -> None:
        emit = ledger(database, time)
        for _ in range(4):
            async with sensing(time, emit, await emit.open(), cron="*/5 * * * *", catch_up="all"):
                await time.pass_(minutes=7)
            time.down(minutes=6)

    async with anyio.create_task_group() as tasks:
        for time in times:
            tasks.start_soon(daemon, time)
    keys = [run["run_key"] for run in runs(database)]
    assert keys == [f"{utc('2026-11-21T12:00') + timedelta(minutes=5 * n):%Y-%m-%dT%H:%M:%SZ}" for n in range(1, 10)]


JOBS = """
jobs:
  load:
    command: [sh, -c, 'echo "{\\"metadata\\": {\\"window\\": \\"$SENSORD_PARTITION_KEY $SENSORD_PARTITION_START
      $SENSORD_PARTITION_END\\"}}" > $SENSORD_REPORT']
"""
SENSOR = """
sensors:
  nightly:
    schedule: {cron: daily, timezone: Europe/Lisbon, catch_up: all, partitions: daily}
    job: load
"""


async def life(config: Config, begin: datetime, count: int) -> list[dict[str, Any]]:
    """One life of the daemon, which begins at that time: the runs, once so many have ended."""
    begun = SYSTEM.monotonic()
    clock = Clock(now=lambda: begin + timedelta(seconds=SYSTEM.monotonic() - begun))
    async with open_app(config, clock=clock) as app, anyio.create_task_group() as group:
        await group.start(app.run)
        await until(lambda: app.sensings["nightly"].looks)
        found = await ended(app, "load", count)
        group.cancel_scope.cancel()
    return found


async def test_the_daemon_catches_up_and_tells_each_job_its_window(tmp_path: Path) -> None:
    config = configured(tmp_path, f"database: sqlite:///sensord.db\n{SENSOR}", JOBS)
    assert await life(config, utc("2026-03-28T12:00"), 0) == []
    found = await life(config, utc("2026-03-30T12:00"), 2)
    assert [json.loads(run["metadata"])["window"] for run in found] == [
        "2026-03-28 2026-03-28T00:00:00Z 2026-03-29T00:00:00Z",
        "2026-03-29 2026-03-29T00:00:00Z 2026-03-29T23:00:00Z",
    ]
