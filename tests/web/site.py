"""A whole daemon in this process, for tests: real database, real bus, real HTTP; jobs are played by the test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import anyio

from notifiers.bus.embedded import EmbeddedBus
from notifiers.channels.inbox import open_inbox
from notifiers.clock import SYSTEM
from notifiers.delivery import open_delivery
from rules.request import RunRequest, Sensed
from sensord.app import App
from sensord.backfill_plans import Backfills
from sensord.backfilling import Backfilling
from sensord.config import Config
from sensord.event_feed import EventFeed
from sensord.job_schemas import job_schemas
from sensord.launchers import Outcome, Run, Started
from sensord.ledger.database import LedgerDatabase
from sensord.looks import Looks
from sensord.run_events import Hooks
from sensord.running import Job, Running
from sensord.sensing import Sensing
from sensord.sensors import rule_of
from sensord.slicing import sliced_job
from sensord.sources import Emit
from sensord.web.api import serve

TOKEN = "correct-horse-battery-staple"
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}


class Stage:
    """A launcher in this process: attempts write to a real log, and end when the test says so."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[str] = []
        self.ends: dict[str, anyio.Event] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.changed = anyio.Event()

    async def launch(self, run: Run, started: Started) -> Outcome:
        self.ends[run.token] = anyio.Event()
        self._path(run.id, run.attempt).touch()
        started(SYSTEM.now())
        self.started.append(run.token)
        self.changed.set()
        self.changed = anyio.Event()
        await self.ends[run.token].wait()
        return self.outcomes[run.token]

    async def adopt(self, _run: Run, _started: Started) -> Outcome | None:
        return None

    async def cancel(self, run: Run) -> None:
        self.end(run.token, "cancelled")

    async def forget(self, run: Run) -> None:
        self.ends.pop(run.token, None)

    def log(self, run_id: str, attempt: int, _requested_at: datetime) -> Path | None:
        return self._path(run_id, attempt)

    def _path(self, run_id: str, attempt: int) -> Path:
        return self.folder / f"{run_id}.{attempt}.log"

    def write(self, token: str, text: str) -> None:
        with (self.folder / f"{token}.log").open("a") as log:
            log.write(text)

    def end(self, token: str, status: Any = "succeeded", **fields: Any) -> None:
        self.outcomes[token] = Outcome(status=status, ended_at=SYSTEM.now(), **fields)
        self.ends[token].set()

    async def until(self, token: str) -> None:
        with anyio.fail_after(10):
            while token not in self.started:
                await self.changed.wait()


@dataclass
class Shelf:
    """A source whose things the test puts there; it looks only when it is asked to."""

    things: list[Sensed] = field(default_factory=list)
    trouble: OSError | None = None
    stuck: bool = False  # A look finds what there is and does not end.
    looks: Looks = field(default_factory=lambda: Looks(SYSTEM))

    async def run(self, emit: Emit, _cursor: str | None) -> None:
        while True:
            emit.looked()
            await self.looks.pause()
            self.looks.begin()
            try:
                await emit(await self.look(await emit.marks()))
            except OSError as error:
                await emit.failed(str(error))
            else:
                await emit.recovered()
            if self.stuck:
                await anyio.sleep_forever()
            self.looks.end()

    async def look_now(self) -> None:
        await self.looks.now()

    async def look(self, known: set[int]) -> Sequence[Sensed]:
        if self.trouble is not None:
            raise self.trouble
        return [one for one in self.things if one.mark not in known]

    def why(self, _subject: str) -> str | None:
        return None

    def put(self, name: str, size: int = 5) -> None:
        context = {"file": {"name": name, "path": f"/in/{name}", "size": size}}
        mark = len(self.things) + 1
        self.things.append(Sensed(subject=f"/in/{name}", key=f"{name} 1", at=SYSTEM.now(), context=context, mark=mark))


@dataclass
class Site:
    """What a test has in hand."""

    app: App
    stage: Stage
    shelf: Shelf
    url: str
    http: aiohttp.ClientSession

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        """Status and JSON of one request that carries the token."""
        headers = {"Authorization": f"Bearer {TOKEN}", **options.pop("headers", {})}
        options |= {} if body is None else {"json": body}
        async with self.http.request(method, f"{self.url}{path}", headers=headers, **options) as answer:
            assert answer.content_type == "application/json", await answer.text()
            return answer.status, json.loads(await answer.read())

    async def get(self, path: str) -> Any:
        status, body = await self.call("GET", path)
        assert status == 200, body
        return body

    async def launch(self, **body: Any) -> str:
        """A run of the job `load` that has started: its id."""
        status, run = await self.call("POST", "/api/jobs/load/runs", body)
        assert status == 201, run
        await self.stage.until(f"{run['id']}.1")
        return str(run["id"])

    async def settled(self, run: str, status: str) -> dict[str, Any]:
        """The run once it has that status."""
        with anyio.fail_after(10):
            while (found := await self.get(f"/api/runs/{run}"))["status"] != status:
                await self.app.database.read(lambda _conn: None)
        return dict(found)

    async def found(self, path: str) -> list[dict[str, Any]]:
        """The items of a list once there are any."""
        with anyio.fail_after(10):
            while not (items := (await self.get(path))["items"]):
                await self.app.database.read(lambda _conn: None)
        return list(items)


def configuration(folder: Path, **http: Any) -> Config:
    return Config.model_validate(
        {
            "state": folder / "state",
            "http": {"port": 0, **http},
            "jobs": {
                "load": {
                    "command": ["true"],
                    "config_schema": SCHEMA,
                    "tags": {"team": "geo"},
                    "hooks": {"success": "bp.oks"},
                    "partitions": {"every": "daily", "start": "2026-01-01"},
                },
                "sum": {"command": ["true"]},
            },
            "sensors": {
                "drop": {
                    "directory": {"path": folder, "pattern": "*.csv"},
                    "job": "load",
                    "run_key": "{{ file.name }}",
                    "run_config": {"path": "{{ file.path }}"},
                    "when": "file.size > 0",
                }
            },
        }
    )


@asynccontextmanager
async def open_site(
    database: LedgerDatabase, folder: Path, *, token: str | None = TOKEN, **http: Any
) -> AsyncIterator[Site]:
    """A daemon that listens on loopback."""
    config = configuration(folder, token=token, **http)
    (folder / "logs").mkdir()
    stage, shelf = Stage(folder / "logs"), Shelf()
    async with (
        open_inbox(database) as inbox,
        open_delivery(database, {"inbox": inbox}, base_url="http://localhost") as delivery,
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session,
        anyio.create_task_group() as group,
    ):
        app = _app(config, database, delivery, stage, shelf)
        await group.start(app.run)
        async with serve(app) as url:
            yield Site(app, stage, shelf, url, session)
        group.cancel_scope.cancel()


def _app(config: Config, database: LedgerDatabase, delivery: Any, stage: Stage, shelf: Shelf) -> App:
    hooks: Mapping[str, Hooks] = {name: Hooks(**job.hooks.model_dump()) for name, job in config.jobs.items()}
    schemas = job_schemas(config, clock=SYSTEM)
    jobs = {name: Job(launcher=stage, hooks=hooks[name], check_config=schemas[name].at_launch) for name in config.jobs}

    def ended(run: str, status: str) -> None:
        app.backfilling.ended(run, status)

    running = Running(jobs, concurrency=50, database=database, clock=SYSTEM, published=delivery.wake, ended=ended)
    sliced = {name: sliced_job(config, name, hooks[name], schemas[name].refusal, rule_of) for name in config.jobs}
    backfilling = Backfilling(
        sliced,
        database=database,
        clock=SYSTEM,
        claimed=running.claimed,
        cancel_run=running.cancel,
        published=delivery.wake,
    )
    sensing = Sensing(
        "drop",
        rule_of(config, config.sensors["drop"]),
        database=database,
        hooks=hooks,
        clock=SYSTEM,
        claimed=running.claimed,
        published=delivery.wake,
    )
    app = App(
        config=config,
        clock=SYSTEM,
        database=database,
        bus=EmbeddedBus(database),
        running=running,
        delivery=delivery,
        feed=EventFeed(database, SYSTEM),
        backfills=Backfills(sliced, database=database, clock=SYSTEM, added=backfilling.added),
        backfilling=backfilling,
        hooks=hooks,
        launchers=dict.fromkeys(config.jobs, stage),
        schemas=schemas,
        sensings={"drop": sensing},
        sources={"drop": shelf},
    )
    return app


def request_of(job: str = "load", **fields: Any) -> RunRequest:
    return RunRequest(job_name=job, **fields)
