"""Events accepted over HTTP, durably: in batches of 100, and one by one from 16 connections.

Beside it, what aiohttp itself answers in this run with nothing behind it. `python -m tests.bench bus`.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path
from uuid import uuid4

from tests.bench.figures import bar, daemon, get, process_seconds
from tests.bench.posting import bare, send

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


def measure(name: str, bodies: list[bytes], each: int, kind: str, connections: int) -> float:
    """Events per second, with the processor's time for each; the log holds every one of them afterwards."""
    with tempfile.TemporaryDirectory(prefix="sensord-bench-") as place:
        folder = Path(place)
        (folder / "sensord.yaml").write_text(CONFIG)
        with daemon(folder) as (pid, url):
            before = process_seconds(pid)
            rate = asyncio.run(send(url, _PATH, bodies, kind=kind, connections=connections)) * each
            spent = process_seconds(pid) - before
            newest = get(url, "/api/overview")["place"]
            assert newest == len(bodies) * each, newest
    limit = bare(_PATH, bodies, kind=kind, connections=connections) * each
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
