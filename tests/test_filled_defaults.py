"""What `config_schema` fills in is in the run's row before the run is started: the row says with what it ran."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from sensord.job_schemas import with_defaults
from sensord.launchers import Outcome, Run, Started
from sensord.ledger.database import LedgerDatabase
from tests.conftest import rows
from tests.sources.app_kit import ended, launch, running
from tests.test_running import Play, ask, daemon, settled, statuses

OLD: dict[str, Any] = {"properties": {"rows": {"default": 10}, "path": {}}}
NEW: dict[str, Any] = {"properties": {"rows": {"default": 20}, "mode": {"default": "full"}}}


def filled(schema: dict[str, Any]) -> Any:
    async def complete(config: Any) -> Any:
        return with_defaults(schema, config)

    return complete


def configs(database: LedgerDatabase) -> list[Any]:
    return [orjson.loads(row["run_config"]) for row in rows(database, "SELECT run_config FROM runs ORDER BY id")]


class Looking(Play):
    """Notes what the row says when the run is launched, and what it is launched with."""

    def __init__(self, database: LedgerDatabase) -> None:
        super().__init__()
        self.database = database
        self.seen: list[tuple[Any, Any]] = []

    async def launch(self, run: Run, started: Started) -> Outcome:
        (row,) = await self.database.read(lambda _conn: configs(self.database))
        self.seen.append((row, dict(run.run_config)))
        return await super().launch(run, started)


async def test_the_row_says_what_was_filled_in_before_the_launch(database: LedgerDatabase) -> None:
    play = Looking(database)
    async with daemon(database, play, complete_config=filled(OLD), attempts=2, backoff=0.0) as running:
        (wish,) = await ask(database, running, path="a")
        for attempt in (1, 2):
            await play.until(attempt)
            play.end(f"{wish.id}.{attempt}", "failed")
        await settled(database, lambda: statuses(database) == ["failed"])
    assert play.seen == [({"path": "a", "rows": 10},) * 2] * 2


async def test_what_runs_already_keeps_what_it_was_started_with(database: LedgerDatabase) -> None:
    play = Play()
    async with daemon(database, play, complete_config=filled(OLD), concurrency=1) as running:
        wishes = await ask(database, running, count=2)
        await play.until(1)
        await settled(database, lambda: statuses(database) == ["running", "queued"])
    async with daemon(database, play, complete_config=filled(NEW), concurrency=1):
        play.end(f"{wishes[0].id}.1")
        await play.until(2)
        play.end(f"{wishes[1].id}.1")
        await settled(database, lambda: statuses(database) == ["succeeded"] * 2)
    assert configs(database) == [{"rows": 10}, {"rows": 20, "mode": "full"}]


async def test_a_config_that_is_refused_stays_as_it_was_asked_for(database: LedgerDatabase) -> None:
    async def refuse(config: Any) -> str | None:
        return "no" if config else None

    async with daemon(database, Play(), complete_config=filled(OLD), check_config=refuse) as running:
        await ask(database, running, path="a")
        await settled(database, lambda: statuses(database) == ["failed"])
    assert configs(database) == [{"path": "a"}]


JOB = """
jobs:
  load:
    command: ["true", "{{ run.config.mode }}"]
    config_schema: {properties: {mode: {type: string, default: full}, code: {type: integer}}}
"""


async def test_the_daemon_shows_it(tmp_path: Path) -> None:
    async with running(tmp_path, "", jobs=JOB) as app:
        await launch(app, "load")
        (row,) = await ended(app, "load", 1)
    assert (row["status"], orjson.loads(row["run_config"])) == ("succeeded", {"code": 0, "mode": "full"})
