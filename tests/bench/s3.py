"""Listings of a bucket: beside aiobotocore's paginator, side by side on a real server, and of a million known keys.

`python -m tests.bench s3`. The canned server answers without thinking, so that the client is what is measured; `rclone
serve s3` is slow, so that what is measured there is how well its time is used. The million keys are listed by the
daemon itself, which knows them all from the start.
"""

from __future__ import annotations

import os
import re
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from notifiers.clock import SYSTEM
from sensord import interpreter
from sensord.sources.s3 import S3Config
from sensord.sources.s3_listing import Bucket, open_bucket
from sensord.sources.s3_memory import Known
from sensord.sources.s3_pages import Page
from sensord.sources.s3_trouble import S3Trouble
from sensord.sources.s3_walk import Part, Walk
from tests.bench.figures import bar, daemon, get, percentile, process_seconds, resident_mb, wait_for
from tests.bench.s3_canned import FOLDERS, KEYS, ODD, canned, key_of, marks_of

MILLION, ROUNDS = 1_000_000, 5
NAMES = {"region": "us-east-1", "access_key": "AKIACANNED", "secret_key": "canned-secret"}


async def paginate(client: Any) -> int:
    """How many keys aiobotocore's paginator finds."""
    count = 0
    async for page in client.get_paginator("list_objects_v2").paginate(Bucket="lab"):
        count += len(page.get("Contents", []))
    return count


async def pages(bucket: Bucket) -> int:
    """The same keys as pages of ours, one after another."""
    count, on = 0, None
    while True:
        page = await bucket.page("", on=on)
        count, on = count + page.count, page.on
        if not page.more:
            return count


async def walk(bucket: Bucket, known: Known | None, parallel: int) -> int:
    """A whole pass that finds nothing new."""
    count = 0

    async def take(part: Part | None, page: Page) -> None:
        nonlocal count
        if known is not None:
            assert not known.unknown(page.marks)
        count += page.count
        if part is not None and page.last is not None:
            part.after = page.last

    async def said(_: Part, trouble: S3Trouble | None) -> None:
        if trouble is not None:
            raise trouble

    await Walk(bucket=bucket, parts=[Part("")], parallel=parallel, take=take, said=said).run()
    return count


async def beat(gaps: list[float], works: list[float]) -> None:
    """Note how much later than it wanted the loop comes back, in ms, and how much of that it was at work itself."""
    while True:
        began, cpu = time.perf_counter(), time.thread_time()
        await anyio.sleep(0.001)
        gaps.append((time.perf_counter() - began) * 1e3 - 1)
        works.append(min(gaps[-1], (time.thread_time() - cpu) * 1e3))


@dataclass(frozen=True)
class Figures:
    """The best of a few rounds: keys a second, processor microseconds a key; and of the calmest one, in ms, how long
    the loop was away at most, how long it was itself at work in one go, and the 99th percentile of its absences."""

    rate: float
    cost: float
    stall: float
    work: float
    p99: float

    def show(self, name: str) -> None:
        """One row of the table."""
        print(
            f"{name:<42} {self.rate:>9,.0f} {self.cost:>7.2f} {self.stall:>9.2f} {self.p99:>8.2f} {self.work:>9.2f}",
            flush=True,
        )


async def one_round(task: Any) -> Figures:
    """Do this once, and look at the loop meanwhile."""
    gaps: list[float] = []
    works: list[float] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beat, gaps, works)
        await anyio.sleep(0.01)
        gaps.clear()
        works.clear()
        began, cpu = time.perf_counter(), time.process_time()
        keys = await task()
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        await anyio.sleep(0.002)
        tasks.cancel_scope.cancel()
    return Figures(keys / seconds, cpu / keys * 1e6, max(gaps), max(works), percentile(gaps, 99))


def best(found: Sequence[Figures]) -> Figures:
    """On a busy machine others take the processor away: the calmest round shows least of that."""
    calm = min(found, key=lambda one: one.stall)
    work = min(one.work for one in found)
    return Figures(max(one.rate for one in found), min(one.cost for one in found), calm.stall, work, calm.p99)


async def rounds(task: Any, count: int = ROUNDS) -> Figures:
    """Do this a few times."""
    return best([await one_round(task) for _ in range(count)])


async def against_the_paginator() -> list[bool]:
    """Keys a second and stalls, in one run against the canned server."""
    from aiobotocore.session import get_session  # type: ignore[import-untyped]

    interpreter.tune()
    print(f"{'canned server, 100,000 keys':<42}    keys/s  µs/key  stall ms   p99 ms   work ms")
    session = get_session()
    session.set_credentials("AKIACANNED", "canned-secret")
    with canned(KEYS) as url:
        config = S3Config.model_validate({"bucket": "lab", "endpoint_url": url, **NAMES})
        opening = session.create_client("s3", endpoint_url=url, region_name="us-east-1")
        async with open_bucket(config, SYSTEM) as bucket, opening as client:
            known = Known(marks_of(KEYS))
            await pages(bucket)
            theirs = await rounds(lambda: paginate(client), 1)
            ours = await rounds(lambda: pages(bucket))
            passes = await rounds(lambda: walk(bucket, known, 1))
            side = await rounds(lambda: walk(bucket, known, 8))
    with canned(KEYS, ODD) as url:
        config = S3Config.model_validate({"bucket": "lab", "endpoint_url": url, "pattern": "landing/**/*ещё", **NAMES})
        async with open_bucket(config, SYSTEM) as bucket:
            await pages(bucket)
            odd = await rounds(lambda: walk(bucket, None, 8))
    theirs.show("aiobotocore's paginator")
    ours.show("pages, one after another")
    passes.show("a pass over known keys, serial")
    side.show("a pass over known keys, 8 side by side")
    odd.show("the same of names in Russian, by a glob")
    return [
        bar("pages: times the paginator's keys a second", ours.rate / theirs.rate, 15, at_least=True),
        bar("a whole pass: times the paginator's", passes.rate / theirs.rate, 15, at_least=True),
        bar("longest stall of the loop, ms (serial pass)", passes.stall, 5),
        bar("longest stall of the loop, ms (8 side by side)", side.stall, 5),
        bar("longest stall of the loop, ms (names in Russian)", odd.stall, 5),
        bar("longest work of the loop in one go, ms", max(passes.work, side.work, odd.work), 5),
    ]


def fill(folder: Path, keys: int) -> None:
    """Make a bucket of files."""
    for number in range(keys):
        path = folder / key_of(number, keys)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


async def against_rclone(keys: int = 10_000) -> list[bool]:
    """Serial and side by side against a real server."""
    from tests.sources.s3_kit import KEYS as ACCOUNT
    from tests.sources.s3_kit import rclone

    print(f"rclone serve s3, {keys:,} keys in {FOLDERS} folders")
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None) as folder:
        fill(Path(folder, "lab"), keys)
        with rclone(Path(folder)) as url:
            config = S3Config.model_validate({"bucket": "lab", "endpoint_url": url, **ACCOUNT})
            async with open_bucket(config, SYSTEM) as bucket:
                await walk(bucket, None, 1)
                # In turn: two rows are compared, and a machine that others use is not equally quick all the time.
                turns = [[await one_round(lambda n=n: walk(bucket, None, n)) for n in (1, 8)] for _ in range(ROUNDS)]
    serial, side = map(best, zip(*turns, strict=True))
    serial.show("serial")
    side.show("8 side by side")
    return [bar("side by side: times serial", side.rate / serial.rate, 1.4, at_least=True)]


CONFIG = """
database: sqlite:///sensord.db
http: {{port: 0}}
jobs: {{job: {{command: ["true"]}}}}
log: {{level: warning}}
sensors:
  drop: {{s3: {{bucket: lab, endpoint_url: "{url}", region: us-east-1, access_key: AKIACANNED,
               secret_key: canned-secret, interval: 1d}}, job: job}}
"""


def life(folder: Path) -> tuple[float, float, float, float]:
    """One life of the daemon: MB and processor seconds when its first listing has ended, peak MB, and wall seconds."""
    began = time.monotonic()
    with daemon(folder) as (pid, url):
        wait_for(lambda: get(url, "/api/sensors/drop")["looks"] >= 1, 300, pause=0.2)
        seconds = time.monotonic() - began
        status = Path(f"/proc/{pid}/status").read_text()
        peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]
        assert get(url, "/api/sensors/drop")["state"] == "active"
        return resident_mb(pid), process_seconds(pid), peak, seconds


def a_million() -> list[bool]:
    """The daemon with an empty bucket, and with a million keys that it knows, each in its second life."""
    with tempfile.TemporaryDirectory(prefix="sensord-bench-") as name:
        folder = Path(name)
        with canned(0) as url:
            (folder / "sensord.yaml").write_text(CONFIG.format(url=url))
            life(folder)
            idle, idle_cpu, idle_peak, _ = life(folder)
        with sqlite3.connect(folder / "sensord.db") as database:
            rows = (("drop", mark) for mark in marks_of(MILLION))
            database.executemany("INSERT INTO seen (sensor, mark) VALUES (?, ?)", rows)
        database.close()
        with canned(MILLION) as url:
            (folder / "sensord.yaml").write_text(CONFIG.format(url=url))
            full, cpu, peak, seconds = life(folder)
        with sqlite3.connect(folder / "sensord.db") as database:
            runs = database.execute("SELECT COUNT(*) FROM runs").fetchone()[0]
        database.close()
    print(f"the daemon: idle {idle:.0f} MB (peak {idle_peak:.0f}), {idle_cpu:.1f} s of processor since its start")
    print(f"a million known keys: {full:.0f} MB (peak {peak:.0f}), {cpu:.1f} s of processor, {seconds:.1f} s in all")
    return [
        bar("runs that should not be", runs, 0),
        bar("a million known keys: processor s on top of the idle daemon", cpu - idle_cpu, 30),
        bar("a million known keys: MB on top of the idle daemon", full - idle, 150),
        bar("a million known keys: peak MB on top of the idle daemon's", peak - idle_peak, 150),
    ]


def main() -> bool:
    """Print the figures; False where a bar fails."""
    holds = anyio.run(against_the_paginator)
    holds += anyio.run(against_rclone)
    holds += a_million()
    return all(holds)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
