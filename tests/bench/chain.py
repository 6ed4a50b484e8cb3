"""(a), (b): from a writer's close to the job's first statement, beside the raw chain, in one run.

The raw chain is what nothing can beat by much: inotify, one durable commit (deduplication row and event row,
SQLite in WAL mode, synchronous FULL), spawn. Start it with `python -m tests.bench chain`.
"""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import bar, daemon, summary, wait_for

# Writes files into argv[1], argv[2] of them, argv[3] seconds apart; notes when each was closed in argv[4].
DROP = """
import json, os, sys, time
folder, count, gap, note = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
closed = {}
for number in range(count):
    name = f"f{number:05}.csv"
    file = os.open(os.path.join(folder, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(file, b"a,b\\n1,2\\n")
    closed[name] = time.monotonic_ns()
    os.close(file)
    if gap:
        time.sleep(gap)
json.dump(closed, open(note, "w"))
"""
PYTHON_JOB = "import time,sys;t=time.monotonic_ns();open(sys.argv[2]+'/'+sys.argv[1],'w').write(str(t))"
# As shell jobs do, it starts a program.
SH_JOB = 'cat /proc/uptime > "$1/$0"'
PARALLEL = 4


@dataclass(frozen=True)
class Load:
    """`count` files, `gap` seconds apart, each a run of a `kind` of job (`python` or `sh`)."""

    kind: str
    count: int
    gap: float

    def argv(self, name: str, out: str) -> list[str]:
        """The job's command."""
        if self.kind == "python":
            return [sys.executable, "-c", PYTHON_JOB, name, out]
        return ["/bin/sh", "-c", SH_JOB, name, out]


@dataclass(frozen=True)
class Result:
    """Milliseconds from close to first statement (Python jobs only), and runs per second from the first close."""

    latencies: list[float]
    rate: float


def _result(load: Load, note: Path, out: Path, ended: int) -> Result:
    closed = json.loads(note.read_text())
    rate = load.count / ((ended - min(closed.values())) / 1e9)
    if load.kind != "python":
        return Result([], rate)
    return Result([(int((out / name).read_text()) - at) / 1e6 for name, at in closed.items()], rate)


def _dropper(load: Load, folder: Path, note: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", DROP, str(folder), str(load.count), str(load.gap), str(note)])


async def raw(load: Load, folder: Path) -> Result:
    """The bare chain on asyncio."""
    inbox, out, note = folder / "in", folder / "out", folder / "closed.json"
    for path in (inbox, out):
        path.mkdir()
    ledger = sqlite3.connect(folder / "raw.db", isolation_level=None)
    ledger.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
        "CREATE TABLE seen(k TEXT PRIMARY KEY) WITHOUT ROWID; CREATE TABLE events(id INTEGER PRIMARY KEY, body TEXT);"
    )
    libc = ctypes.CDLL(None, use_errno=True)
    kernel = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    libc.inotify_add_watch(kernel, os.fsencode(inbox), 8 | 0x80)
    loop = asyncio.get_running_loop()
    slots, finished = asyncio.Semaphore(PARALLEL), asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()
    ended = 0

    async def run(name: str) -> None:
        nonlocal ended
        async with slots:
            process = await asyncio.create_subprocess_exec(*load.argv(name, str(out)))
            await process.wait()
        ledger.execute("INSERT INTO events(body) VALUES (?)", (f"ended {name}",))
        ended += 1
        if ended == load.count:
            finished.set()

    def heard() -> None:
        buffer, names, place = os.read(kernel, 65536), [], 0
        while place < len(buffer):
            _, _, _, length = struct.unpack_from("iIII", buffer, place)
            names.append(buffer[place + 16 : place + 16 + length].rstrip(b"\0").decode())
            place += 16 + length
        ledger.execute("BEGIN IMMEDIATE")
        ledger.executemany("INSERT INTO seen VALUES (?) ON CONFLICT DO NOTHING", [(name,) for name in names])
        ledger.executemany("INSERT INTO events(body) VALUES (?)", [(f"started {name}",) for name in names])
        ledger.execute("COMMIT")
        for name in names:
            task = loop.create_task(run(name))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    loop.add_reader(kernel, heard)
    dropper = _dropper(load, inbox, note)
    await asyncio.wait_for(finished.wait(), 300)
    end = time.monotonic_ns()
    dropper.wait()
    loop.remove_reader(kernel)
    os.close(kernel)
    ledger.close()
    return _result(load, note, out, end)


CONFIG = """
database: sqlite:///sensord.db
http: {{port: 0}}
concurrency: {parallel}
jobs:
  job: {{command: {command}}}
sensors:
  drop:
    directory: {{path: in, pattern: "*.csv"}}
    job: job
    run_key: "{{{{ file.name }}}}"
    run_config: {{name: "{{{{ file.name }}}}"}}
log: {{level: warning}}
"""


def product(load: Load, folder: Path) -> Result:
    """The same load through the daemon, as a user starts it."""
    out, note = folder / "out", folder / "closed.json"
    for path in (folder / "in", out):
        path.mkdir()
    command = json.dumps(load.argv("{{ run.config.name }}", str(out)))
    (folder / "sensord.yaml").write_text(CONFIG.format(parallel=PARALLEL, command=command))
    with daemon(folder):
        dropper = _dropper(load, folder / "in", note)
        dropper.wait()
        # Over when the last end is recorded, as the raw chain's is. Asked seldom, so that asking takes no time of it.
        ledger = sqlite3.connect(f"file:{folder / 'sensord.db'}?mode=ro", uri=True)
        wait_for(lambda: _ended(ledger) == load.count, pause=0.2)
        end = _last_end(ledger)
        ledger.close()
    return _result(load, note, out, end)


def _ended(ledger: sqlite3.Connection) -> int:
    return int(ledger.execute("SELECT count(*) FROM runs WHERE status = 'succeeded'").fetchone()[0])


def _last_end(ledger: sqlite3.Connection) -> int:
    """When the last run ended, on the monotonic clock."""
    last = int(ledger.execute("SELECT max(ended_at) FROM runs").fetchone()[0])
    return time.monotonic_ns() - (time.time_ns() - last * 1000)


def both(load: Load, folder: Path) -> tuple[Result, Result]:
    """The raw chain, then the product, each in a fresh folder below that one."""
    bare, ours = (Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder)) for name in ("raw", "product"))
    return asyncio.run(raw(load, bare)), product(load, ours)


def main() -> bool:
    """Print the figures and the bars; True where all hold."""
    # Removed at the end only: for minutes after many files were deleted, ext4 goes over their inodes for each new
    # file, which would be a quarter of all the time that is measured here.
    with tempfile.TemporaryDirectory(prefix="sensord-bench-") as folder:
        return _measured(Path(folder))


def _measured(folder: Path) -> bool:
    print("close -> first statement of a Python job, 300 files, 30 ms apart (ms)", flush=True)
    bare, ours = both(Load("python", 300, 0.03), folder)
    print(f"  raw chain {summary(bare.latencies)}\n  sensord   {summary(ours.latencies)}")
    base = summary(bare.latencies)
    holds = [
        bar("p50 over the raw chain's p50", summary(ours.latencies)["p50"] / base["p50"], 1.5),
        bar("p99 over the raw chain's p99", summary(ours.latencies)["p99"] / base["p99"], 3.0),
    ]
    for load in (Load("python", 200, 0), Load("sh", 2000, 0)):
        print(f"burst of {load.count} {load.kind} jobs, {PARALLEL} at a time (runs/s)", flush=True)
        bare, ours = both(load, folder)
        print(f"  raw chain {bare.rate:.1f}\n  sensord   {ours.rate:.1f}")
        holds.append(bar("rate over the raw chain's", ours.rate / bare.rate, 0.7, at_least=True))
    return all(holds)
