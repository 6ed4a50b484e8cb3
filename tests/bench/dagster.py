"""Beside a real Dagster daemon, on the same folder in the same run: close -> run started, and what a tick costs.

Dagster as quick as it can be set: `minimum_interval_seconds=1` (its loop makes 5 s of it), no queue of runs, ops in the
run's own process. Its tutorial's directory sensor is evaluated by both, by ours with the import changed alone; our
directory sensor is what one would use instead. Start it with `python -m tests.bench dagster`; it installs Dagster into
an environment of its own first, and takes some six minutes.
"""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import psutil

from tests.bench import scan
from tests.bench.dagster_daemon import Dagster, rows
from tests.bench.figures import bar, daemon, get, summary, wait_for
from tests.dagster.environment import dagster_python

FILES = 16
KNOWN = 10_000
TICKS = 3
OURS = """
import os
from sensord import RunRequest, sensor

MY_DIRECTORY = os.environ["IN"]

@sensor(job="log_file_job", minimum_interval_seconds=1)
def my_directory_sensor():
    for filename in os.listdir(MY_DIRECTORY):
        if os.path.isfile(os.path.join(MY_DIRECTORY, filename)):
            yield RunRequest(run_key=filename, run_config={"filename": filename})
"""
JOB = "import sys,time;now=time.time();open(sys.argv[1],'w').write(str(now))"
CONFIG = """
database: sqlite:///sensord.db
http: {{port: 0}}
log: {{level: warning}}
jobs:
  log_file_job: {{command: {command}}}
sensors:
  drop: {sensor}
"""


def _sensord(folder: Path, sensor: str, command: list[str]) -> Path:
    folder.mkdir()
    (folder / "team.py").write_text(OURS)
    (folder / "sensord.yaml").write_text(CONFIG.format(command=json.dumps(command), sensor=sensor))
    return folder


def _processor(process: psutil.Process) -> float:
    """Seconds of it and of everything below it, those included that ended."""
    total = 0.0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def latency(folder: Path) -> bool:
    """The same files for both, dropped while both look."""
    watched = folder / "in"
    watched.mkdir()
    theirs = Dagster(folder / "dagster", watched)
    out = folder / "out"
    out.mkdir()
    command = [sys.executable, "-c", JOB, f"{out}/{{{{ run.config.filename }}}}"]
    sensor = f'{{directory: {{path: "{watched}"}}, job: log_file_job, run_config: {{filename: "{{{{ file.name }}}}"}}}}'
    ours = _sensord(folder / "ours", sensor, command)
    closed: dict[str, float] = {}
    with theirs.running(), daemon(ours) as (_, url):
        wait_for(lambda: len(theirs.ticks()) >= 2, 180, pause=0.5)
        for number in range(FILES):
            time.sleep(random.uniform(4, 8))
            name = f"f{number:04}.csv"
            (watched / name).write_bytes(b"a,b\n1,2\n")
            closed[name] = time.time()
            print(f"\r  {number + 1} of {FILES} files dropped", end="", flush=True)
        print()
        for made in (theirs.out, out):
            wait_for(lambda made=made: len(list(made.iterdir())) == FILES, pause=0.5)
        wait_for(lambda: len(theirs.started()) == FILES, pause=0.5)
        started = theirs.started()
        runs = get(url, f"/api/runs?limit={FILES}")["items"]
    said = {run["run_config"]["filename"]: _seconds(run["started_at"]) for run in runs}
    taken = {
        "Dagster, close -> run started": [(started[name] - at) * 1e3 for name, at in closed.items()],
        "sensord, close -> run started": [(said[name] - at) * 1e3 for name, at in closed.items()],
        "Dagster, close -> first statement": _first(theirs.out, closed),
        "sensord, close -> first statement": _first(out, closed),
    }
    for text, values in taken.items():
        print(f"  {text} (ms): {summary(values)}")
    theirs_p50, ours_p50, theirs_first, ours_first = (summary(values)["p50"] for values in taken.values())
    return all(
        [
            bar("Dagster's p50 over ours, run started", theirs_p50 / ours_p50, 100, at_least=True),
            bar("Dagster's p50 over ours, first statement", theirs_first / ours_first, 25, at_least=True),
        ]
    )


def _first(out: Path, closed: dict[str, float]) -> list[float]:
    return [(float((out / name).read_text()) - at) * 1e3 for name, at in closed.items()]


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


def ticks(folder: Path) -> bool:
    """A tick with 10,000 known run_keys and nothing new: each system alone, then our directory sensor."""
    watched = folder / "known"
    watched.mkdir()
    names = [f"k{number:05}.csv" for number in range(KNOWN)]
    (watched / names[0]).touch()
    theirs = Dagster(folder / "dagster-known", watched)
    with theirs.running():
        wait_for(lambda: len(list(theirs.out.iterdir())) == 1, 180, pause=0.5)
    theirs.remember(names[1:])
    for name in names[1:]:
        (watched / name).touch()
    before = len(theirs.ticks())
    with theirs.running() as process:
        wait_for(lambda: len(theirs.ticks()) > before, 300, pause=0.5)  # The first one loads.
        first, spent = theirs.ticks()[-1][1], _processor(process)
        wait_for(lambda: len(theirs.ticks()) >= before + 1 + TICKS, 300, pause=0.5)
        made = [one for one in theirs.ticks() if one[0] >= first]
        theirs_cpu = (_processor(process) - spent) / len(made) * 1e3
    durations = [(end - start) * 1e3 for start, end in made]
    print(f"  Dagster, a tick (ms): {summary(durations)}; processor {theirs_cpu:.0f} ms")

    sensor = f"{{python: {{module: team, function: my_directory_sensor, env: {{IN: {watched}}}}}, job: log_file_job}}"
    ours = _sensord(folder / "ours-known", sensor, ["true"])
    with daemon(ours) as (pid, url):
        wait_for(lambda: _succeeded(ours) == KNOWN, 600, pause=1)
        time.sleep(5)
        process, looks = psutil.Process(pid), get(url, "/api/sensors/drop")["looks"]
        spent = _processor(process)
        time.sleep(20)
        count = get(url, "/api/sensors/drop")["looks"] - looks
        ours_cpu = (_processor(process) - spent) / count * 1e3
    print(f"  sensord, the same function: {count} ticks in 20 s, processor {ours_cpu:.1f} ms each")
    tree = folder / "tree"
    scan.make(tree, KNOWN)
    idle = scan.child("measure", str(tree))["rescan cpu ms"]
    print(f"  sensord, a directory sensor's pass over as many: processor {idle:.2f} ms")
    return all(
        [
            bar(
                "processor time of Dagster's tick over ours, the same function",
                theirs_cpu / ours_cpu,
                20,
                at_least=True,
            ),
            bar("processor time of Dagster's tick over our directory sensor's", theirs_cpu / idle, 300, at_least=True),
        ]
    )


def _succeeded(folder: Path) -> int:
    return int(rows(folder / "sensord.db", "SELECT count(*) FROM runs WHERE status = 'succeeded'")[0][0])


def main() -> bool:
    """Print the figures and the bars."""
    version = subprocess.run(
        [dagster_python(), "-c", "import dagster; print(dagster.__version__)"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    print(f"Dagster {version.stdout.strip()}: {FILES} files, 4 to 8 s apart", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="sensord-bench-"))
    try:
        return all([latency(folder), ticks(folder)])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
