"""Python sensors: how soon a run follows a yield, and whether 1,000 sensors keep their time beside hung ones.

`python -m tests.bench sensors`, or `python -m tests.bench.sensors COUNT SECONDS HUNG [busy]`: COUNT sensors each
second, HUNG more that never come back (`busy`: and burn the processor meanwhile).
"""

from __future__ import annotations

import json
import struct
import sys
import tempfile
import time
import zlib
from datetime import datetime
from pathlib import Path

import psutil

from tests.bench.figures import bar, daemon, get, percentile, process_seconds, resident_mb, summary, wait_for

MODULE = """
import itertools, os, struct, time
from sensord import sensor, RunRequest

starts = None
numbers = itertools.count()

@sensor(job="job")
def slow():
    for _ in range(2):
        yield RunRequest(run_key=f"{os.getpid()} {next(numbers)}", run_config={"yielded": time.time()})
        time.sleep(0.4)

@sensor(job="job")
def tick(context):
    global starts
    now = time.monotonic()
    if starts is None:
        starts = os.open(f"starts/{context.sensor_name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(starts, struct.pack("d", now))

@sensor(job="job")
def hang():
    time.sleep(10_000)

@sensor(job="job")
def busy():
    while True:
        pass
"""
HEAD = """
database: sqlite:///sensord.db
http: {port: 0}
jobs: {job: {command: ["true"]}}
sensors:
"""


def write(folder: Path, sensors: dict[str, tuple[str, str]]) -> None:
    """A project with these sensors: name → function, interval."""
    (folder / "starts").mkdir(exist_ok=True)
    (folder / "many.py").write_text(MODULE)
    lines = [
        f"  {name}: {{job: job, python: {{module: many, function: {function}, interval: {interval}}}}}"
        for name, (function, interval) in sensors.items()
    ]
    (folder / "sensord.yaml").write_text(HEAD + "\n".join(lines) + "\n")


def yield_to_run(count: int = 60) -> bool:
    """Milliseconds from a yield to the start of its run's process, of evaluations that go on for long after it."""
    with tempfile.TemporaryDirectory(prefix="sensord-bench-") as name:
        folder = Path(name)
        write(folder, {"slow": ("slow", "1s")})
        with daemon(folder) as (_, url):
            wait_for(lambda: len(get(url, f"/api/runs?status=succeeded&limit={count}")["items"]) >= count)
            runs = get(url, f"/api/runs?status=succeeded&limit={count}")["items"]
    taken = [
        (datetime.fromisoformat(run["started_at"]).timestamp() - run["run_config"]["yielded"]) * 1000 for run in runs
    ]
    print(f"yield → run's process, ms: {summary(taken)}")
    return bar("slowest run after its yield, ms", max(taken), 100)


def jitter(count: int = 1000, seconds: float = 20, hung: int = 10, how: str = "hang") -> bool:
    """How late `count` sensors of one second begin while `hung` others never end."""
    with tempfile.TemporaryDirectory(prefix="sensord-bench-") as name:
        folder = Path(name)
        sensors = {f"s{number}": ("tick", "1s") for number in range(count)}
        sensors |= {f"hung{number}": (how, "1s") for number in range(hung)}
        write(folder, sensors)
        begun = time.monotonic()
        with daemon(folder) as (pid, _):
            ready = time.monotonic() - begun
            wait_for(lambda: len(list((folder / "starts").iterdir())) >= count, pause=0.2)
            print(f"{count} sensors and {hung} hung ones ({how}): ready after {ready:.1f} s, ", end="")
            print(f"all evaluated after {time.monotonic() - begun:.1f} s")
            time.sleep(3)
            since, used, at = time.monotonic(), process_seconds(pid), time.monotonic()
            time.sleep(seconds)
            load = (process_seconds(pid) - used) / (time.monotonic() - at) * 100
            until = time.monotonic() - 0.5
            tell_memory(pid, load)
            late = [value for one in range(count) for value in lateness(folder, f"s{one}", since, until)]
            ended = time.monotonic()
        print(f"ended within {time.monotonic() - ended:.1f} s")
    expected = count * (until - since)
    print(f"{len(late)} evaluations, ms late: {summary(late)}; p99.9 {percentile(late, 99.9):.2f}")
    return all(
        [
            bar("p99 of lateness, ms", percentile(late, 99), 50),
            bar("evaluations that took place, of those due", len(late) / expected, 0.99, at_least=True),
        ]
    )


def lateness(folder: Path, name: str, since: float, until: float) -> list[float]:
    """Milliseconds by which each start is behind this sensor's place in its second."""
    data = (folder / "starts" / name).read_bytes()
    starts = [one for (one,) in struct.iter_unpack("d", data) if since <= one < until]
    phase = zlib.crc32(name.encode()) / 2**32
    return [(start - phase) % 1.0 * 1000 for start in starts]


def tell_memory(pid: int, load: float) -> None:
    """What the daemon and its sensors' processes hold; PSS counts what they share once."""
    (server,) = [one for one in psutil.Process(pid).children() if "python_server" in " ".join(one.cmdline())]
    children = server.children()
    pss = [_pss(one.pid) for one in children]
    print(
        f"daemon: {load:.0f} % of a core, RSS {resident_mb(pid):.0f} MB; parent: PSS {_pss(server.pid):.1f} MB; "
        f"{len(children)} processes: PSS {sum(pss):.0f} MB, {sum(pss) / len(pss):.2f} MB each, "
        f"RSS {sum(one.memory_info().rss for one in children) / len(pss) / 2**20:.1f} MB each"
    )


def _pss(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise LookupError(pid)


def main() -> bool:
    """Print the figures and the bars."""
    return all([yield_to_run(), jitter()])


if __name__ == "__main__":
    print(json.dumps(sys.argv[1:]))
    sys.exit(not jitter(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:5]))
