"""What a Python job's run costs, beside a command that starts an interpreter, in the same minutes.

    python -m tests.bench.python [samples]

Latency: from before `launch()` to the first statement of the function, of a process that waited for it and of a
started interpreter; one after another, each once another process waits again. Bar: p50 of what waited, 5 ms.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import anyio

from notifiers.clock import SYSTEM
from sensord.config import load
from sensord.launchers import Launcher
from sensord.launchers.command import open_commands
from sensord.launching import open_launchers
from tests.bench.figures import bar, summary
from tests.bench.spawn import a_run

MODULE = """
import time
import json, logging, decimal, sqlite3
def first(path: str):
    return {"at": time.monotonic_ns()}
"""
CHILD = "import os, time; os.write(1, b'%d' % time.monotonic_ns())"


async def warm_latency(launcher: Launcher) -> float:
    run = a_run()
    begin = time.monotonic_ns()
    outcome = await launcher.launch(run, lambda _: None)
    assert outcome.status == "succeeded", outcome
    await launcher.forget(run)
    return float(outcome.metadata["at"] - begin) / 1e6


async def command_latency(launcher: Launcher) -> float:
    run = a_run()
    begin = time.monotonic_ns()
    await launcher.launch(run, lambda _: None)
    log = launcher.log(run.id, 1, run.requested_at)
    assert log is not None
    await launcher.forget(run)
    return (int(log.read_text()) - begin) / 1e6


async def measure(samples: int) -> bool:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "work.py").write_text(MODULE)
        jobs = {
            "waited": {"python": "work:first", "warm": 2},
            "cold": {"python": "work:first", "warm": 0},
            "command": {"command": [sys.executable, "-c", CHILD]},
        }
        (folder / "sensord.yaml").write_text(json.dumps({"jobs": jobs}))
        config = load(folder / "sensord.yaml", {})
        config.state.mkdir()
        async with (
            open_commands(config.state, clock=SYSTEM, linger=0.1) as commands,
            open_launchers(config, commands, clock=SYSTEM) as launchers,
        ):
            await anyio.sleep(1)
            waited, cold, command = [], [], []
            for _ in range(samples):
                waited.append(await warm_latency(launchers["waited"]))
                await anyio.sleep(0.25)  # A run takes its time as well: meanwhile another process comes to wait.
                cold.append(await warm_latency(launchers["cold"]))
                command.append(await command_latency(launchers["command"]))
            print("  first statement, ms, of a process that waited:", summary(waited))
            print("  of a function in a new interpreter:          ", summary(cold))
            print("  of a command, a new interpreter:             ", summary(command))
            begin = time.perf_counter()
            async with anyio.create_task_group() as group:
                for _ in range(40):
                    group.start_soon(warm_latency, launchers["waited"])
            print(f"  40 at once, most of them cold: {40 / (time.perf_counter() - begin):.0f} runs/s")
            return bar("launch() → first statement of a Python job, p50, ms", statistics.median(waited), 5.0)


def main(samples: int = 60) -> bool:
    """Print the figures, and whether the bar holds."""
    return anyio.run(measure, samples)


if __name__ == "__main__":
    sys.exit(0 if main(*(int(word) for word in sys.argv[1:])) else 1)
