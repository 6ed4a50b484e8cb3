"""What a run costs through the supervisor, next to the bare cost of a process in the same minutes.

    python -m tests.bench.spawn [--runs 2000] [--rounds 3]

Rates: `sh -c :` at 4 and 16 at once, through `launch()` (journal synced twice a run) and through a bare loop of
asyncio.create_subprocess_exec. Latency: from before the call to the child's first Python statement, through
`launch()` and through os.posix_spawn. Rounds alternate, so that both see the same machine; medians are compared.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import anyio

from notifiers.clock import SYSTEM, new_uuid7
from sensord.launchers import Run
from sensord.launchers.command import CommandConfig, Commands, open_commands

SHELL = ["/bin/sh", "-c", ":"]
FIRST = "import os, time; os.write(1, b'%d' % time.monotonic_ns())"
CHILD = [sys.executable, "-I", "-S", "-E", "-c", FIRST]


def a_run() -> Run:
    return Run(
        id=new_uuid7(),
        job="bench",
        attempt=1,
        run_key="key",
        run_config={"path": "/data/incoming/houses-2026-11-21.csv"},
        tags={},
        sensor=None,
        partition_key=None,
        requested_at=datetime.now(UTC),
    )


async def rate(one: Callable[[], Awaitable[None]], runs: int, at_once: int) -> float:
    left = iter(range(runs))

    async def work() -> None:
        for _ in left:
            await one()

    begin = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for _ in range(at_once):
            tasks.start_soon(work)
    return runs / (time.perf_counter() - begin)


async def bare() -> None:
    process = await asyncio.create_subprocess_exec(*SHELL)
    assert await process.wait() == 0


def launched(commands: Commands) -> Callable[[], Awaitable[None]]:
    launcher = commands.launcher("bench", CommandConfig(command=SHELL), timeout=None)

    async def one() -> None:
        run = a_run()
        outcome = await launcher.launch(run, lambda _: None)
        assert outcome.status == "succeeded", outcome
        await launcher.forget(run)

    return one


def raw_latency(folder: Path) -> float:
    path = folder / "first"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    begin = time.monotonic_ns()
    pid = os.posix_spawn(CHILD[0], CHILD, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, file, 1)])
    os.waitpid(pid, 0)
    os.close(file)
    return (int(path.read_text()) - begin) / 1e6


async def launch_latency(commands: Commands) -> float:
    launcher = commands.launcher("bench", CommandConfig(command=CHILD), timeout=None)
    run = a_run()
    begin = time.monotonic_ns()
    await launcher.launch(run, lambda _: None)
    log = launcher.log(run.id, 1, run.requested_at)
    assert log is not None
    await launcher.forget(run)
    return (int(log.read_text()) - begin) / 1e6


async def measure(runs: int, rounds: int, samples: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        async with open_commands(Path(name), clock=SYSTEM, linger=0.1) as commands:
            await rates(commands, runs, rounds)
            raw, ours = [], []
            for _ in range(samples):
                raw.append(raw_latency(Path(name)))
                ours.append(await launch_latency(commands))
            added = statistics.median(ours) - statistics.median(raw)
            print(f"first statement, p50: raw {statistics.median(raw):.2f} ms, launch() {added:+.2f} ms")
            print(f"first statement, p90: raw {p90(raw):.2f} ms, launch() {p90(ours):.2f} ms")


async def rates(commands: Commands, runs: int, rounds: int) -> None:
    for at_once in (1, 4, 16):
        theirs, ours = [], []
        for _ in range(rounds):
            theirs.append(await rate(bare, runs, at_once))
            ours.append(await rate(launched(commands), runs, at_once))
        limit, got = statistics.median(theirs), statistics.median(ours)
        print(f"{at_once:3} at once: bare {limit:6.0f}/s, launch() {got:6.0f}/s, ratio {got / limit:.2f}")


def p90(values: list[float]) -> float:
    return statistics.quantiles(values, n=10)[-1]


def main(runs: int = 2000, rounds: int = 3, samples: int = 100) -> None:
    """Print the figures; they are beside each other, and no bar hangs on them."""
    anyio.run(measure, runs, rounds, samples)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--samples", type=int, default=100)
    given = parser.parse_args()
    main(given.runs, given.rounds, given.samples)
