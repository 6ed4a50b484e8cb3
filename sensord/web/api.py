"""The HTTP interface: every route, the guard before it, and the server that listens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path

import anyio
from aiohttp import web
from aiohttp.web_urldispatcher import AbstractRoute

from sensord.app import App
from sensord.tokens import Scope
from sensord.web.metrics import Metrics
from sensord.web.openapi import describe
from sensord.web.pages import Pages
from sensord.web.routes import endpoints
from sensord.web.security import Guard, add_headers, guard_middleware
from sensord.web.server import capped

_SHUTDOWN_SECONDS = 5.0
_IDLE_SECONDS = 30.0
"""A connection that does not send a whole request's head for so long is closed: idle ones and slow ones alike."""


def build_web(app: App) -> web.Application:
    """The application: routes of `sensord.web.routes`, the page, and one guard before all of them."""
    guard = Guard(app.config.http, app.tokens)
    closing = anyio.Event()
    metrics = Metrics(app)
    public: set[AbstractRoute] = set()
    paged: set[AbstractRoute] = set()
    scopes: dict[AbstractRoute, Scope] = {}
    pages = Pages(app, guard)
    application = web.Application(middlewares=[guard_middleware(guard, public, scopes, paged, pages.login)])
    table = [*endpoints(app, closing, metrics), *pages.endpoints()]
    description = describe(table)
    for endpoint in [*table, description]:
        resource = application.router.add_resource(endpoint.pattern)
        for method in ("GET", "HEAD") if endpoint.method == "GET" else (endpoint.method,):
            route = resource.add_route(method, endpoint.handler, expect_handler=_expected)
            if endpoint.public:
                public.add(route)
            if endpoint.page:
                paged.add(route)
            if endpoint.scope is not None:
                scopes[route] = endpoint.scope
    application.on_response_prepare.append(add_headers)

    async def begin(_application: web.Application) -> None:
        await app.tokens.load()
        await metrics.begin()

    async def end(_application: web.Application) -> None:
        closing.set()  # Streams and followed logs end, so that the server need not wait for them.

    application.on_startup.append(begin)
    application.on_shutdown.append(end)
    return application


async def _expected(_request: web.Request) -> None:
    """Whoever asks before sending a body is answered when the body is wanted, which is after the guard."""


@asynccontextmanager
async def serve(app: App) -> AsyncIterator[str]:
    """Listen where `http:` says, while the context is open; gives the URL. OSError where the address is taken."""
    runner = _runner(app)
    await runner.setup()
    try:
        http = app.config.http
        server = await capped(runner, http.host, http.port)
        try:
            host, port = server.sockets[0].getsockname()[:2]
            yield f"http://{_in_url(host)}:{port}"
        finally:
            server.close()
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


@asynccontextmanager
async def serve_unix(app: App, path: Path) -> AsyncIterator[None]:
    """Listen on a Unix socket instead, for a command that opened the database by itself."""
    runner = _runner(app)
    await runner.setup()
    try:
        await web.UnixSite(runner, path).start()
        yield
    finally:
        with anyio.CancelScope(shield=True):
            await runner.cleanup()


def _runner(app: App) -> web.AppRunner:
    return web.AppRunner(
        build_web(app),
        access_log=None,  # What is asked may hold names and keys; /metrics counts, and failures are logged.
        keepalive_timeout=_IDLE_SECONDS,
        lingering_time=0.25,
        auto_decompress=False,
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )


def _in_url(host: str) -> str:
    """An address as a URL of this machine has it."""
    address = ip_address(host)
    if address.is_unspecified:
        return "[::1]" if address.version == 6 else "127.0.0.1"  # noqa: PLR2004
    return f"[{host}]" if address.version == 6 else host  # noqa: PLR2004
