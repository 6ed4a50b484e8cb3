"""The listening socket: no more connections than the process has room for, so that idle ones starve nobody."""

from __future__ import annotations

import asyncio
from typing import cast

from aiohttp import web

MAX_CONNECTIONS = 512


class _Refusal(asyncio.Protocol):
    """What a connection gets that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say so and close."""
        stream = cast("asyncio.Transport", transport)
        stream.write(
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
        stream.close()


async def capped(runner: web.AppRunner, host: str, port: int) -> asyncio.Server:
    """Listen for the runner's application; a connection beyond MAX_CONNECTIONS is turned away at once."""
    server = runner.server
    if server is None:
        raise RuntimeError("the runner is not set up")

    def protocol() -> asyncio.BaseProtocol:
        return server() if len(server.connections) < MAX_CONNECTIONS else _Refusal()

    return await asyncio.get_running_loop().create_server(protocol, host, port, backlog=256)
