"""Dagster as an outside of the conformance tests: with something before it that can be broken and mended at once."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer
from anyio.from_thread import start_blocking_portal

from sensord.app import App
from tests.sources.conformance_kit import NAME, Thing, Time
from tests.sources.dagster_kit import Dagster, aside


class Ended:
    """Runs that end."""

    def __init__(self, dagster: Dagster, http: aiohttp.ClientSession) -> None:
        self.words = {"team": f"team_{uuid4().hex[:8]}"}
        self.dagster = dagster
        self.broken = False
        self._http = http

    async def answer(self, request: web.Request) -> web.Response:
        """Hand on to the real web server, unless broken."""
        if self.broken:
            return web.Response(status=502)
        kind = {"Content-Type": "application/json"}
        async with self._http.post(f"{self.dagster.url}/graphql", data=await request.read(), headers=kind) as answer:
            return web.Response(body=await answer.read(), status=answer.status, content_type="application/json")

    async def happen(self, _app: App, _name: str) -> Thing:
        [run] = await aside(self.dagster, "runs", job=self.words["team"])
        return Thing(run, f"{run}@SUCCESS")

    async def again(self, app: App, _thing: Thing) -> None:
        await app.sources[NAME].look_now()  # type: ignore[attr-defined]

    async def break_(self, _app: App) -> str:
        self.broken = True
        return "cannot answer now (HTTP 502); it is asked again"

    async def mend(self, _app: App) -> None:
        self.broken = False


class Materialised(Ended):
    """Assets that are materialised."""

    async def happen(self, _app: App, name: str) -> Thing:
        at = time.time_ns() // 1_000_000
        await aside(self.dagster, "materialize", asset=[self.words["team"], name], at=at, partitions=["riga"])
        key = f"{self.words['team']}/{name}[riga]@-@{at}"
        return Thing(key, key)


@asynccontextmanager
async def open_runs(_folder: Path, _time: Time, server: Dagster) -> AsyncIterator[Ended]:
    """Runs of a job that nobody else has."""
    async with _opened(Ended, server) as outside:
        yield outside


@asynccontextmanager
async def open_assets(_folder: Path, _time: Time, server: Dagster) -> AsyncIterator[Ended]:
    """Assets that nobody else has."""
    async with _opened(Materialised, server) as outside:
        yield outside


@asynccontextmanager
async def _opened(kind: type[Ended], server: Dagster) -> AsyncIterator[Ended]:
    """What is before Dagster has a thread of its own: its tasks are none of the daemon's."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(_front(kind, server)) as outside:
        yield outside


@asynccontextmanager
async def _front(kind: type[Ended], server: Dagster) -> AsyncIterator[Ended]:
    async with aiohttp.ClientSession() as http:
        outside = kind(server, http)
        app = web.Application()
        app.router.add_post("/graphql", outside.answer)
        async with TestServer(app, host="127.0.0.1") as front:
            outside.words["front"] = str(front.make_url("")).rstrip("/")
            yield outside
