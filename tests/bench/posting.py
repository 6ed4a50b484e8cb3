"""Requests as a program posts them that does as little as can be done, and aiohttp alone as their limit."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import time
from functools import partial
from urllib.parse import urlsplit

BARE = """
from aiohttp import web
async def take(request):
    await request.read()
    return web.json_response({"id": None, "duplicate": False}, status=202)
app = web.Application()
app.router.add_post("PATH", take)
async def told(_app): print("ready", flush=True)
app.on_startup.append(told)
web.run_app(app, host="127.0.0.1", port=PORT, print=None, access_log=None)
"""


class Sender(asyncio.Protocol):
    """One connection: the next request goes when the last was answered. It does as little as can be done."""

    def __init__(self, requests: list[bytes]) -> None:
        self.done = asyncio.Event()
        self._requests = requests
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def _next(self) -> None:
        if self._requests:
            self._transport.write(self._requests.pop())
        else:
            self.done.set()

    def data_received(self, data: bytes) -> None:
        """Anything but a 202 ends the benchmark."""
        self._buffer += data
        if self._buffer.endswith(b"}"):
            if not self._buffer.startswith(b"HTTP/1.1 202"):
                raise RuntimeError(self._buffer)
            self._buffer = b""
            self._next()


async def send(url: str, path: str, bodies: list[bytes], *, kind: str, connections: int) -> float:
    """Send them all; requests per second."""
    parts = urlsplit(url)
    head = f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {kind}\r\n"
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
    loop, host, port = asyncio.get_running_loop(), parts.hostname or "", parts.port or 80
    start = time.perf_counter()
    opened = [await loop.create_connection(partial(Sender, requests), host, port) for _ in range(connections)]
    await asyncio.gather(*(sender.done.wait() for _, sender in opened))
    taken = time.perf_counter() - start
    for transport, _ in opened:
        transport.close()
    return len(bodies) / taken


def bare(path: str, bodies: list[bytes], *, kind: str, connections: int) -> float:
    """What aiohttp answers with nothing behind it."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    program = BARE.replace("PORT", str(port)).replace("PATH", path)
    server = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        time.sleep(0.3)
        return asyncio.run(send(f"http://127.0.0.1:{port}", path, bodies, kind=kind, connections=connections))
    finally:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()
