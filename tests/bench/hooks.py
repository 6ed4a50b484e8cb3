"""What telling costs a program while nobody listens, whether all of it arrives, and what `sensord wrap` costs.

10,000 calls by a program, then by three at once, each killed at its end, into one spool; then the daemon comes. Beside
it the bare thing: the same line written to a file. Start it with `python -m tests.bench hooks`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.figures import bar, daemon, get, percentile, summary

CALLS, PROGRAMS, STARTS = 10_000, 4, 30
_CONFIG = "database: sqlite:///sensord.db\nhttp: {port: %d}\njobs: {job: {command: ['true']}}\nlog: {level: warning}\n"
_PROGRAM = """
import json, os, signal, sys, time
from sensord import submit_event
submit_event("bp.warm", "up")
took = []
for number in range(int(sys.argv[2])):
    start = time.perf_counter()
    submit_event("bp.dagster.oks", str(number), data={"program": sys.argv[1], "number": number})
    took.append((time.perf_counter() - start) * 1000)
print(json.dumps(took), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
_NEXT = """
from sensord.submit import flush, submit_event
submit_event("bp.next")
assert flush(300)
"""
_BARE = """
import json, os, sys, time
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
took = []
for number in range(int(sys.argv[2])):
    start = time.perf_counter()
    os.write(file, json.dumps({"message": str(number), "data": {"program": 0, "number": number}}).encode())
    took.append((time.perf_counter() - start) * 1000)
print(json.dumps(took), flush=True)
"""


def calls(folder: Path) -> bool:
    """The calls, and what the daemon has of them once it is there."""
    port = _free_port()
    env = {**os.environ, "SENSORD_URL": f"http://127.0.0.1:{port}", "SENSORD_SPOOL": str(folder / "spool")}
    bare = subprocess.run(
        [sys.executable, "-c", _BARE, str(folder / "bare"), str(CALLS)], check=True, stdout=subprocess.PIPE
    )
    print(f"  bare write of a line, alone (ms): {summary(json.loads(bare.stdout))}")
    alone, *_ = _took(env, "0")
    print(f"  submit_event (ms): {summary(alone)}")
    several = _took(env, *map(str, range(1, PROGRAMS)))
    print(f"  submit_event, {len(several)} programs at once (ms): {summary([one for some in several for one in some])}")
    (folder / "sensord.yaml").write_text(_CONFIG % port)
    with daemon(folder) as (_, url):
        start = time.monotonic()
        told = (
            "from sensord import submit_event; import sensord.submit as s; submit_event('bp.next'); print(s.flush(300))"
        )
        subprocess.run([sys.executable, "-c", told], env=env, check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - start
        numbers: dict[str, list[int]] = {}
        for event in _events(url):
            if "program" in event["data"]:
                numbers.setdefault(event["data"]["program"], []).append(event["data"]["number"])
    wrong = sum(1 for name in range(PROGRAMS) if numbers.get(str(name)) != list(range(CALLS)))
    print(f"  {CALLS * PROGRAMS:,} events of killed programs delivered in {seconds:.1f} s")
    return all(
        [
            bar("a call while nobody listens, p99, ms", percentile(alone, 99), 1.0),
            bar("programs whose events are lost, doubled or out of order", wrong, 0),
        ]
    )


def _took(env: dict[str, str], *names: str) -> list[list[float]]:
    """What each call of these programs took, all of them at once."""
    argv = [sys.executable, "-c", _PROGRAM]
    running = [subprocess.Popen([*argv, name, str(CALLS)], env=env, stdout=subprocess.PIPE) for name in names]
    return [json.loads(process.communicate()[0]) for process in running]


def _events(url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    place = ""
    while True:
        page = get(url, f"/api/events?order=oldest&limit=1000{place}")
        found += page["items"]
        if page["next"] is None:
            return found
        place = f"&after={page['next']}"


def _free_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as held:
        port: int = held.getsockname()[1]
        return port


def starts(folder: Path) -> bool:
    """What `sensord wrap` adds to a command that does nothing, beside what the command line itself takes to start."""
    sensord = str(Path(sys.executable).with_name("sensord"))
    env = {**os.environ, "SENSORD_URL": f"http://127.0.0.1:{_free_port()}", "SENSORD_SPOOL": str(folder / "spool")}
    ways = {
        "bare": ["true"],
        "wrap": [sensord, "wrap", "--topic", "a.b", "true"],
        "version": [sensord, "--version"],
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(STARTS):
        for name, argv in ways.items():
            start = time.perf_counter()
            subprocess.run(argv, env=env, check=True, stdout=subprocess.PIPE)
            took[name].append((time.perf_counter() - start) * 1000)
    for name, some in took.items():
        print(f"  {name} (ms): {summary(some)}")
    bare, wrap, version = (percentile(took[name], 50) for name in ways)
    return bar("wrap over the bare command, by `sensord --version`, p50", (wrap - bare) / version, 1.0)


def main() -> bool:
    """Print the figures and the bars."""
    with tempfile.TemporaryDirectory(prefix="sensord-bench-") as first, tempfile.TemporaryDirectory() as second:
        return all([calls(Path(first)), starts(Path(second))])
