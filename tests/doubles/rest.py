"""Services that run something when they are asked to over HTTP, served from a thread, with what may go wrong.

What each of them refuses is what the real one refuses: wrong tokens, bodies it does not know, what is there already.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import anyio
from aiohttp import web
from anyio.from_thread import BlockingPortal, start_blocking_portal


@dataclass
class RestDouble(ABC):
    """What every such service has.

    `faults` are what happen to the next requests, one each: `drop` (the connection ends, and nothing was done), `lose`
    (it was done, and the connection ends), `hold` (it was done, and the answer waits for `let_go`), `503`, `429` (with
    Retry-After), `500` (nothing was done).
    """

    faults: list[str] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    starts: Counter[str] = field(default_factory=Counter)
    keys: list[str] = field(default_factory=list)
    port: int = 0
    retry_after: str = "1"
    _held: asyncio.Event = field(default_factory=asyncio.Event)
    _portal: BlockingPortal | None = None
    _runner: web.AppRunner | None = None
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """What it serves."""

    async def _serve(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs))
        fault = self.faults.pop(0) if self.faults else ""
        assert request.transport is not None
        if fault == "drop":
            request.transport.abort()
            return web.Response()
        if fault in ("503", "429"):
            return web.Response(status=int(fault), headers={"Retry-After": self.retry_after})
        if fault == "500":
            return web.json_response({"message": "internal"}, status=500)
        response: web.StreamResponse = await handler(request)
        if fault == "lose":
            request.transport.abort()
        if fault == "hold":
            await self._held.wait()
        return response

    async def _open(self) -> None:
        @web.middleware
        async def troubled(request: web.Request, handler: Any) -> web.StreamResponse:
            return await self._serve(request, handler)

        app = web.Application(middlewares=[troubled])
        app.router.add_routes(self.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        assert self._runner.server is not None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._runner.server, "127.0.0.1", self.port, reuse_address=True)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._runner is not None and self._server is not None:
            # Nothing more is taken, and what was just taken becomes a connection, before the server closes: asyncio
            # forgets, open, what it has taken and finds its server closed for.
            for listener in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listener.fileno())
            for _ in range(10):
                await anyio.lowlevel.checkpoint()
            self._server.close()
            await self._runner.cleanup()
            self._runner = None

    def let_go(self) -> None:
        """The answers that are held come."""
        assert self._portal is not None
        self._portal.call(self._held.set)

    def down(self) -> None:
        """Nobody listens any more."""
        assert self._portal is not None
        self._portal.call(self._close)

    def up(self) -> None:
        """It is there again, at the same address, and knows what it knew."""
        assert self._portal is not None
        self._portal.call(self._open)

    @contextmanager
    def served(self) -> Iterator[Self]:
        """Serve until the block ends."""
        with start_blocking_portal() as portal:
            self._portal = portal
            self.up()
            try:
                yield self
            finally:
                self.down()


class RunningDouble(RestDouble):
    """One in which something runs."""

    @abstractmethod
    def finish(self, token: str, status: str = "success") -> None:
        """The attempt of that token ends there."""

    @abstractmethod
    def state(self, token: str) -> str:
        """How it is doing there."""


@dataclass
class Plain(RunningDouble):
    """`POST /runs` with an Idempotency-Key starts one; `GET` and `DELETE /runs/ID`. The same key starts nothing."""

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    bodies: list[Any] = field(default_factory=list)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/runs", self._start),
            web.get("/runs/{id}", self._look),
            web.delete("/runs/{id}", self._stop),
            web.post("/moved", self._moved),
        ]

    def finish(self, token: str, status: str = "success") -> None:
        self.runs[token]["state"] = status

    def state(self, token: str) -> str:
        return str(self.runs[token]["state"])

    async def _moved(self, _request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/runs"})

    async def _start(self, request: web.Request) -> web.Response:
        key = request.headers.get("Idempotency-Key", "")
        if not key:
            return web.json_response({"message": "Idempotency-Key is missing"}, status=400)
        self.keys.append(key)
        body = json.loads(await request.text() or "null")
        self.bodies.append(body)
        if isinstance(body, dict) and body.get("refuse"):
            return web.json_response({"message": "no such table"}, status=422)
        if key not in self.runs:
            self.starts[key] += 1
            self.runs[key] = {"id": key, "state": "running", "note": f"note of {key}"}
        return web.json_response(self.runs[key], status=201)

    async def _look(self, request: web.Request) -> web.Response:
        run = self.runs.get(request.match_info["id"])
        return web.json_response(run or {"message": "unknown"}, status=200 if run else 404)

    async def _stop(self, request: web.Request) -> web.Response:
        run = self.runs.get(request.match_info["id"])
        if run is not None and run["state"] == "running":
            run["state"] = "cancelled"
        return web.json_response(run or {}, status=200 if run else 404)
