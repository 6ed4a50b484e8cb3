"""OpenLineage events accepted durably, from as many connections as a scheduler's workers have.

Beside it, what aiohttp itself answers in this run with nothing behind it. `python -m tests.bench lineage`.
"""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

from tests.bench.figures import bar, daemon, get, process_seconds

COUNT = 20_000
CONNECTIONS = 32
CONFIG = """
database: sqlite:///sensord.db
http: {port: 0}
jobs: {job: {command: ["true"]}}
sensors: {after: {lineage: {job: another}, job: job}}
log: {level: warning}
"""
BARE = """
from aiohttp import web
async def take(request):
    await request.read()
    return web.json_response({"id": None, "duplicate": False}, status=202)
app = web.Application()
app.router.add_post("/api/v1/lineage", take)
async def told(_app): print("ready", flush=True)
app.on_startup.append(told)
web.run_app(app, host="127.0.0.1", port=PORT, print=None, access_log=None)
"""


def event(number: int) -> bytes:
    """A COMPLETE as Airflow's provider sends it: its facets, one input, one output with its schema."""
    fields = [{"name": f"column_{one}", "type": "VARCHAR"} for one in range(10)]
    producer = "https://github.com/apache/airflow/tree/providers-openlineage/2.0.0"
    schema = "https://openlineage.io/spec/facets/1-1-1/SchemaDatasetFacet.json#/$defs/SchemaDatasetFacet"
    facet = {"_producer": producer, "_schemaURL": schema, "fields": fields}
    body = {
        "eventType": "COMPLETE",
        "eventTime": "2026-11-21T01:02:03.123456Z",
        "producer": producer,
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": str(uuid4()), "facets": {"nominalTime": {"nominalStartTime": "2026-11-21T01:00:00Z"}}},
        "job": {"namespace": "airflow", "name": f"etl.load_{number % 50}", "facets": {}},
        "inputs": [{"namespace": "postgres://db:5432", "name": "public.houses", "facets": {"schema": facet}}],
        "outputs": [{"namespace": "s3://lake", "name": "houses", "facets": {"schema": facet}}],
    }
    return json.dumps(body).encode()


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


async def send(url: str, bodies: list[bytes]) -> float:
    """Send them all; events per second."""
    parts = urlsplit(url)
    head = f"POST /api/v1/lineage HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
    loop, host, port = asyncio.get_running_loop(), parts.hostname or "", parts.port or 80
    start = time.perf_counter()
    connections = [await loop.create_connection(partial(Sender, requests), host, port) for _ in range(CONNECTIONS)]
    await asyncio.gather(*(sender.done.wait() for _, sender in connections))
    taken = time.perf_counter() - start
    for transport, _ in connections:
        transport.close()
    return len(bodies) / taken


def bare(bodies: list[bytes]) -> float:
    """aiohttp with nothing behind it."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-c", BARE.replace("PORT", str(port))], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        time.sleep(0.3)
        return asyncio.run(send(f"http://127.0.0.1:{port}", bodies))
    finally:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


def main() -> bool:
    """Print the figures and the bar."""
    bodies = [event(number) for number in range(COUNT)]
    print(f"{COUNT:,} OpenLineage events of {len(bodies[0]):,} bytes over {CONNECTIONS} connections (events/s)")
    with tempfile.TemporaryDirectory(prefix="sensord-bench-") as name:
        folder = Path(name)
        (folder / "sensord.yaml").write_text(CONFIG)
        with daemon(folder) as (pid, url):
            before = process_seconds(pid)
            rate = asyncio.run(send(url, bodies))
            spent = process_seconds(pid) - before
            kept = get(url, "/api/events?type=lineage.complete&limit=1")["items"]
            assert len(kept) == 1
    print(f"  aiohttp alone {bare(bodies):.0f}\n  sensord {rate:.0f}, {spent / COUNT * 1e6:.0f} us of processor each")
    return bar("events/s accepted durably", rate, 2000, at_least=True)
