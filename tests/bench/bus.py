"""Events accepted over HTTP, durably: in batches of 100, and one by one from 16 connections.

Beside it, what aiohttp itself answers in this run with nothing behind it. `python -m tests.bench bus`.
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
from tests.bench.lineage import BARE, Sender

BATCHES, BATCH, SINGLES = 400, 100, 15_000
BATCH_CONNECTIONS, SINGLE_CONNECTIONS = 4, 16
CONFIG = """
database: sqlite:///sensord.db
http: {port: 0}
jobs: {job: {command: ["true"]}}
subscriptions: [{topic: "another.>", to: "inbox:"}]
log: {level: warning}
"""
_PATH = "/api/events"


def event(number: int) -> dict[str, object]:
    """A CloudEvent as a program of a data team sends it."""
    return {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "submit_event/worker/1234",
        "type": "message",
        "time": "2026-11-21T01:02:03.123456+00:00",
        "topic": f"bp.houses.{number % 50}",
        "severity": "info",
        "message": f"Table {number} was loaded",
        "data": {"rows": number, "table": "public.houses", "seconds": 1.25},
    }


async def send(url: str, bodies: list[bytes], kind: str, connections: int) -> float:
    """Send them all; requests per second."""
    parts = urlsplit(url)
    head = f"POST {_PATH} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: {kind}\r\n"
    requests = [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
    loop, host, port = asyncio.get_running_loop(), parts.hostname or "", parts.port or 80
    start = time.perf_counter()
    opened = [await loop.create_connection(partial(Sender, requests), host, port) for _ in range(connections)]
    await asyncio.gather(*(sender.done.wait() for _, sender in opened))
    taken = time.perf_counter() - start
    for transport, _ in opened:
        transport.close()
    return len(bodies) / taken


def bare(bodies: list[bytes], kind: str, connections: int) -> float:
    """aiohttp with nothing behind it."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    program = BARE.replace("PORT", str(port)).replace("/api/v1/lineage", _PATH)
    server = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        time.sleep(0.3)
        return asyncio.run(send(f"http://127.0.0.1:{port}", bodies, kind, connections))
    finally:
        server.kill()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


def measure(name: str, bodies: list[bytes], each: int, kind: str, connections: int) -> float:
    """Events per second, with the processor's time for each; the log holds every one of them afterwards."""
    with tempfile.TemporaryDirectory(prefix="sensord-bench-") as place:
        folder = Path(place)
        (folder / "sensord.yaml").write_text(CONFIG)
        with daemon(folder) as (pid, url):
            before = process_seconds(pid)
            rate = asyncio.run(send(url, bodies, kind, connections)) * each
            spent = process_seconds(pid) - before
            newest = get(url, "/api/overview")["place"]
            assert newest == len(bodies) * each, newest
    limit = bare(bodies, kind, connections) * each
    used = spent / (len(bodies) * each) * 1e6
    print(f"  {name}: aiohttp alone {limit:.0f}, sensord {rate:.0f} events/s, {used:.0f} us of processor each")
    return rate


def main() -> bool:
    """Print the figures and the bars."""
    batches = [json.dumps([event(start * BATCH + one) for one in range(BATCH)]).encode() for start in range(BATCHES)]
    singles = [json.dumps(event(number)).encode() for number in range(SINGLES)]
    print(f"{BATCHES * BATCH:,} events in batches of {BATCH}, {SINGLES:,} one by one, of {len(singles[0])} bytes")
    several = measure("batches", batches, BATCH, "application/cloudevents-batch+json", BATCH_CONNECTIONS)
    single = measure("one by one", singles, 1, "application/cloudevents+json", SINGLE_CONNECTIONS)
    holds = bar("events/s accepted durably in batches", several, 5000, at_least=True)
    return bar("events/s accepted durably one by one", single, 1500, at_least=True) and holds
