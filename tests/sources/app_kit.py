"""The whole daemon in this process, on a real database with real commands, for the tests of sources inside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from notifiers.clock import SYSTEM, new_uuid7
from rules.event import Event
from rules.request import RunRequest
from sensord.app import App, open_app
from sensord.config import Config, load
from sensord.ledger.requests import request_runs
from sensord.ledger.tables import TERMINAL
from sensord.ledger.wishes import NewRun
from sensord.sensing import new_run
from tests.conftest import made_database, rows
from tests.sources.directory_kit import until

JOBS = """
jobs:
  extract: {command: [sh, -c, 'echo "{\\"metadata\\": {\\"rows\\": 3}}" > $SENSORD_REPORT; exit {{ run.config.code }}']}
  load: {command: ["true"], hooks: {success: bp.load.oks}}
  tell: {command: ["true"]}
"""


def configured(folder: Path, text: str, jobs: str = JOBS) -> Config:
    (folder / "sensord.yaml").write_text(f"{jobs}\n{text}")
    return load(folder / "sensord.yaml", {})


@asynccontextmanager
async def running(folder: Path, text: str, url: str | None = None, jobs: str = JOBS) -> AsyncIterator[App]:
    """The whole daemon without its HTTP server, on SQLite or the database at that URL."""
    if url is None and not (folder / "sensord.db").exists():
        (folder / "sensord.db").write_bytes(made_database())
    config = configured(folder, f"database: {url or 'sqlite:///sensord.db'}\n{text}", jobs)
    async with open_app(config) as app, anyio.create_task_group() as group:
        await group.start(app.run)
        group.start_soon(app.chats.run)
        yield app
        group.cancel_scope.cancel()


async def launch(app: App, job: str, **config: Any) -> NewRun:
    wish = new_run(app.clock, RunRequest(job_name=job, run_config={"code": 0, **config}), app.hooks[job])
    await app.database.write(request_runs, wish)
    app.running.claimed([wish])
    return wish


async def runs_of(app: App, job: str) -> list[dict[str, Any]]:
    query = "SELECT * FROM runs WHERE job = :job ORDER BY id"
    return await to_thread.run_sync(lambda: rows(app.database, query, job=job))


async def ended(app: App, job: str, count: int) -> list[dict[str, Any]]:
    """The runs of a job, once so many have ended."""

    def over() -> bool:
        query = "SELECT status FROM runs WHERE job = :job"
        return sum(row["status"] in TERMINAL for row in rows(app.database, query, job=job)) >= count

    await until(over)
    return await runs_of(app, job)


def event(topic: str, **fields: Any) -> Event:
    return Event(
        **{"id": new_uuid7(), "type": "message", "topic": topic, "time": SYSTEM.now(), "source": "t", **fields}
    )
